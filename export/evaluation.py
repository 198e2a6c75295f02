"""The records of an evaluation: what each recipe keeps of a model, its size and cost; as JSON and Markdown."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from export.errors import ArtifactError, RequestError
from export.figures import format_bytes, format_percent
from export.spec import Record
from export.statistics import Figure
from export.store import write_atomically

SCHEMA_VERSION = 1
UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share(Record):
    """A share of `n` images with its 95 % Wilson interval."""

    value: float
    n: int
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRow(Record):
    """One recipe on one model; `key` says what it was computed from. None: not measured, or without a meaning here.

    `top1` needs labels, `knn` and `linear_probe` labels and a model without a head, `cosine` (mean) the latter.
    `agreement` is the share of images with the float model's answer; `sqnr_db` that of all outputs.
    `calibration_peak_bytes` is the largest memory of the whole process while calibrating.
    """

    recipe: str
    title: str
    key: str
    bytes: int
    sqnr_db: float | None
    top1: Share | None = None
    agreement: Share | None = None
    knn: Share | None = None
    linear_probe: Share | None = None
    cosine: float | None = None
    calibration_seconds: float | None = None
    calibration_peak_bytes: int | None = None
    evaluation_seconds: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationTable(Record):
    """The whole file: model, data and machine, the float model's row first."""

    schema_version: int
    model: str
    weights_sha256: str
    data: str
    calibration_data: str
    n: int
    machine: str
    threads: int
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
        return EvaluationTable.from_json(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError, ArtifactError) as error:
        raise RequestError(f"{path} is not a table of evaluations: {error}") from error


def markdown(table: EvaluationTable) -> str:
    """Return the table as Markdown, columns that no row has a figure for left out."""
    columns: dict[str, Callable[[EvaluationRow], str]] = {
        "recipe": lambda row: row.recipe,
        "file": lambda row: format_bytes(row.bytes),
        "top-1": lambda row: _share(row.top1),
        "k-NN": lambda row: _share(row.knn),
        "linear probe": lambda row: _share(row.linear_probe),
        "same answer as float": lambda row: _share(row.agreement),
        "cosine to float": lambda row: UNKNOWN if row.cosine is None else f"{row.cosine:.4f}",
        "SQNR of the outputs": lambda row: UNKNOWN if row.sqnr_db is None else f"{row.sqnr_db:.1f} dB",
        "calibration": lambda row: UNKNOWN if row.calibration_seconds is None else f"{row.calibration_seconds:.1f} s",
        "peak memory": lambda row: (
            UNKNOWN if row.calibration_peak_bytes is None else format_bytes(row.calibration_peak_bytes)
        ),
    }
    cells = {name: [write(row) for row in table.rows] for name, write in columns.items()}
    shown = {name: column for name, column in cells.items() if set(column) != {UNKNOWN}}
    lines = [
        f"{table.model} on {table.n:,} images ({table.data}), calibrated on {table.calibration_data}; "
        f"{table.machine}, {table.threads} threads. Shares with their 95 % Wilson interval.",
        "",
        f"| {' | '.join(shown)} |",
        f"|{'---|' * len(shown)}",
    ]
    lines += [f"| {' | '.join(cells)} |" for cells in zip(*shown.values(), strict=True)]
    return "\n".join(lines)


def _share(found: Share | None) -> str:
    if found is None:
        return UNKNOWN
    return f"{format_percent(found.value)} ({format_percent(found.low)} – {format_percent(found.high)})"
