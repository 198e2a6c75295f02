"""The records of an evaluation: accuracy, agreement, size and cost of each recipe; as JSON and Markdown."""

import json
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from export.core.errors import ArtifactError, RequestError
from export.core.figures.stats import Figure
from export.core.figures.units import format_bytes, format_percent
from export.core.files import write_atomically
from export.core.records import Estimate
from export.core.schema import Count, NonNegative, Number, PositiveInt, Record

SCHEMA_VERSION = 1
UNKNOWN = "not measured"
WIDTHS = ("w8a8", "w6a6", "w4a8", "w4a4", "w8", "w6", "w5", "w4", "w3")


class EvaluationRow(Record, frozen=True, kw_only=True):
    """One recipe on one model; `key` is the hash of all that decides it. None: not measured, or without a meaning here.

    `top1` needs labels, `knn` and `linear_probe` labels and a model without a head, `cosine` (mean) the latter.
    `agreement` is the proportion of images with the float model's prediction; `sqnr_db` is over all outputs.
    `calibration_peak_bytes` is the peak memory of the whole process while calibrating.
    """

    recipe: str
    title: str
    key: str
    bytes: Count
    sqnr_db: Number | None
    top1: Estimate | None = None
    agreement: Estimate | None = None
    knn: Estimate | None = None
    linear_probe: Estimate | None = None
    cosine: Number | None = None
    calibration_seconds: NonNegative | None = None
    calibration_peak_bytes: Count | None = None
    evaluation_seconds: NonNegative
    note: str = ""


class EvaluationTable(Record, frozen=True, kw_only=True):
    """The whole file: model, data and machine, and `rows`, the float model's first."""

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


def to_estimate(figure: Figure) -> Estimate:
    """Return the record of a figure with an interval."""
    assert figure.low is not None and figure.high is not None
    return Estimate(value=figure.value, n=figure.n, low=figure.low, high=figure.high)


def write_table(table: EvaluationTable, path: Path) -> None:
    """Write the table as JSON to `path`, and as Markdown to the same name ending in .md."""
    write_atomically(path, (json.dumps(table.to_json(), indent=1, ensure_ascii=False) + "\n").encode())
    write_atomically(path.with_suffix(".md"), (markdown(table) + "\n").encode())


def read_table(path: Path) -> EvaluationTable:
    """Read a table that `write_table` wrote; raises `RequestError` for any other file."""
    try:
        return EvaluationTable.parse(path.read_bytes())
    except (OSError, ArtifactError) as error:
        raise RequestError(
            f"{path} is not a table of evaluations: {error}", hint="pass another folder with --out"
        ) from error


def read_tables(*paths: Path) -> EvaluationTable:
    """Return the last table with the rows of those before it that are of the same model, images and machine.

    Of one recipe the last row is kept. Raises what `read_table` does.
    """
    *earlier, last = (read_table(path) for path in paths)
    rows: dict[str, EvaluationRow] = {}
    for table in (*(one for one in earlier if replace(one, rows=last.rows) == last), last):
        rows.update({row.recipe: row for row in table.rows})
    return replace(last, rows=tuple(rows.values()))


def markdown(table: EvaluationTable) -> str:
    """Return the table as Markdown, without the columns that no row has a figure for."""
    columns: dict[str, Callable[[EvaluationRow], str]] = {
        "recipe": lambda row: row.recipe,
        "size": lambda row: format_bytes(row.bytes),
        "top-1": lambda row: format_estimate(row.top1),
        "k-NN": lambda row: format_estimate(row.knn),
        "linear probe": lambda row: format_estimate(row.linear_probe),
        "agreement with float": lambda row: format_estimate(row.agreement),
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
        f"{table.threads} threads. Proportions have their 95 % Wilson interval.",
        "",
        f"| {' | '.join(shown)} |",
        f"|{'---|' * len(shown)}",
    ]
    lines += [f"| {' | '.join(cells)} |" for cells in zip(*shown.values(), strict=True)]
    lines += ["", *(f"* `{row.recipe}`: {row.note}." for row in table.rows if row.note)]
    return "\n".join(lines)


def format_estimate(estimate: Estimate | None) -> str:
    """Return a proportion with its interval: `92.7 % (92.2 % – 93.2 %)`."""
    if estimate is None:
        return UNKNOWN
    low, high = format_percent(estimate.low), format_percent(estimate.high)
    return f"{format_percent(estimate.value)} ({low} – {high})"
