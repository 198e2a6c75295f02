"""The records of an evaluation: accuracy, agreement, size and cost of each recipe; as JSON and Markdown."""

import json
from collections.abc import Callable
from pathlib import Path

from export.core.errors import ArtifactError, RequestError
from export.core.files import write_atomically
from export.core.schema import Count, NonNegative, Number, PositiveInt, Proportion, Record
from export.core.stats import Figure
from export.core.units import format_bytes, format_percent

SCHEMA_VERSION = 1
UNKNOWN = "not measured"
WIDTHS = ("w8a8", "w6a6", "w4a8", "w4a4", "w8", "w6", "w5", "w4", "w3")


class Share(Record, frozen=True, kw_only=True):
    """A share of `n` images with its 95 % Wilson interval."""

    value: Proportion
    n: PositiveInt
    low: Proportion
    high: Proportion


class EvaluationRow(Record, frozen=True, kw_only=True):
    """One recipe on one model; `key` says what it was computed from. None: not measured, or without a meaning here.

    `top1` needs labels, `knn` and `linear_probe` labels and a model without a head, `cosine` (mean) the latter.
    `agreement` is the share of images with the float model's answer; `sqnr_db` that of all outputs.
    `calibration_peak_bytes` is the largest memory of the whole process while calibrating.
    """

    recipe: str
    title: str
    key: str
    bytes: Count
    sqnr_db: Number | None
    top1: Share | None = None
    agreement: Share | None = None
    knn: Share | None = None
    linear_probe: Share | None = None
    cosine: Number | None = None
    calibration_seconds: NonNegative | None = None
    calibration_peak_bytes: Count | None = None
    evaluation_seconds: NonNegative
    note: str = ""


class EvaluationTable(Record, frozen=True, kw_only=True):
    """The whole file: model, data and machine, the float model's row first."""

    schema_version: int
    model: str
    weights_sha256: str
    data: str
    calibration_data: str
    n: PositiveInt
    machine: str
    threads: Count
    tools: dict[str, str]
    rows: tuple[EvaluationRow, ...]


def share(figure: Figure) -> Share:
    """Return a proportion as a record."""
    assert figure.low is not None and figure.high is not None
    return Share(value=figure.value, n=figure.n, low=figure.low, high=figure.high)


def write_table(table: EvaluationTable, path: Path) -> None:
    """Write the table as JSON, and as Markdown beside it."""
    write_atomically(path, (json.dumps(table.to_json(), indent=1, ensure_ascii=False) + "\n").encode())
    write_atomically(path.with_suffix(".md"), (markdown(table) + "\n").encode())


def read_table(path: Path) -> EvaluationTable:
    """Read what `write_table` wrote; raises `RequestError` when it is none."""
    try:
        return EvaluationTable.parse(path.read_bytes())
    except (OSError, ArtifactError) as error:
        raise RequestError(
            f"{path} is not a table of evaluations: {error}", hint="evaluate again with --out of another folder"
        ) from error


def markdown(table: EvaluationTable) -> str:
    """Return the table as Markdown, columns that no row has a figure for left out."""
    columns: dict[str, Callable[[EvaluationRow], str]] = {
        "recipe": lambda row: row.recipe,
        "size": lambda row: format_bytes(row.bytes),
        "top-1": lambda row: write_share(row.top1),
        "k-NN": lambda row: write_share(row.knn),
        "linear probe": lambda row: write_share(row.linear_probe),
        "agreement with float": lambda row: write_share(row.agreement),
        "cosine with float": lambda row: UNKNOWN if row.cosine is None else f"{row.cosine:.4f}",
        "SQNR of the outputs": lambda row: UNKNOWN if row.sqnr_db is None else f"{row.sqnr_db:.1f} dB",
        "calibration time": lambda row: (
            UNKNOWN if row.calibration_seconds is None else f"{row.calibration_seconds:.1f} s"
        ),
        "peak memory of calibration": lambda row: (
            UNKNOWN if row.calibration_peak_bytes is None else format_bytes(row.calibration_peak_bytes)
        ),
    }
    cells = {name: [write(row) for row in table.rows] for name, write in columns.items()}
    shown = {name: column for name, column in cells.items() if set(column) != {UNKNOWN}}
    lines = [
        f"{table.model}, n={table.n:,} ({table.data}), calibrated on {table.calibration_data}; {table.machine}, "
        f"{table.threads} threads. Shares have their 95 % Wilson interval.",
        "",
        f"| {' | '.join(shown)} |",
        f"|{'---|' * len(shown)}",
    ]
    lines += [f"| {' | '.join(cells)} |" for cells in zip(*shown.values(), strict=True)]
    lines += ["", *(f"* `{row.recipe}`: {row.note}." for row in table.rows if row.note)]
    return "\n".join(lines)


def write_share(share: Share | None) -> str:
    """Return a share with its interval: `92.7 % (92.2 % – 93.2 %)`."""
    if share is None:
        return UNKNOWN
    return f"{format_percent(share.value)} ({format_percent(share.low)} – {format_percent(share.high)})"
