"""The records of an evaluation: the accuracy, SQNR, size and cost of each recipe; as JSON and Markdown."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from export.core.errors import ArtifactError, RequestError
from export.core.files import write_atomically
from export.core.schema import Count, NonNegative, Number, PositiveInt, Proportion, Record
from export.core.stats import Figure
from export.core.units import format_bytes, format_percent
from export.quantization.recipes import NAME as RECIPE

SCHEMA_VERSION = 1
UNKNOWN = "not measured"
WIDTHS = ("w8a8", "w6a6", "w4a8", "w4a4", "w8", "w6", "w5", "w4", "w3")


class Estimate(Record, frozen=True, kw_only=True):
    """A proportion `value` of `n` images with its 95 % Wilson interval `low` … `high`."""

    value: Proportion
    n: PositiveInt
    low: Proportion
    high: Proportion


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
            f"{path} is not a table of evaluations: {error}", hint="evaluate again with --out of another folder"
        ) from error


def markdown(table: EvaluationTable) -> str:
    """Return the table as Markdown, without the columns that no row has a figure for."""
    columns: dict[str, Callable[[EvaluationRow], str]] = {
        "recipe": lambda row: row.recipe,
        "file": lambda row: format_bytes(row.bytes),
        "top-1": lambda row: _format_estimate(row.top1),
        "k-NN": lambda row: _format_estimate(row.knn),
        "linear probe": lambda row: _format_estimate(row.linear_probe),
        "same answer as float": lambda row: _format_estimate(row.agreement),
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
        f"{table.machine}, {table.threads} threads. Proportions with their 95 % Wilson interval.",
        "",
        f"| {' | '.join(shown)} |",
        f"|{'---|' * len(shown)}",
    ]
    lines += [f"| {' | '.join(cells)} |" for cells in zip(*shown.values(), strict=True)]
    lines += ["", *(f"* `{row.recipe}`: {row.note}." for row in table.rows if row.note)]
    return "\n".join(lines)


def _format_estimate(found: Estimate | None) -> str:
    if found is None:
        return UNKNOWN
    return f"{format_percent(found.value)} ({format_percent(found.low)} – {format_percent(found.high)})"


def pivot(table: EvaluationTable) -> str:
    """Return the accuracies as Markdown, a row per method, a column per bit width; without labels the agreement."""
    accuracy = {row.recipe: row.top1 or row.knn or row.agreement for row in table.rows}
    named = [match for name in accuracy if (match := RECIPE.fullmatch(name))]
    widths = list(dict.fromkeys(_width(match) for match in named))
    methods = dict.fromkeys(match["method"] for match in named)
    reference = accuracy.get("f32")
    lines = [
        f"{table.model}, {table.n:,} images ({table.data}), float: {_format_estimate(reference)}; calibrated on "
        f"{table.calibration_data}.",
        "",
        f"| method | {' | '.join(widths)} |",
        f"|---|{'---|' * len(widths)}",
    ]
    for method in methods:
        of_method = {_width(match): accuracy[match.string] for match in named if match["method"] == method}
        cells = [format_percent(top1.value) if (top1 := of_method.get(width)) else "–" for width in widths]
        lines.append(f"| `{method}` | {' | '.join(cells)} |")
    others = [row for row in table.rows if row.note]
    lines += ["", *(f"* `{row.recipe}`: {_format_estimate(accuracy[row.recipe])}, {_about(row)}." for row in others)]
    return "\n".join(lines)


def _about(row: EvaluationRow) -> str:
    return f"{format_bytes(row.bytes)}; {row.note}"


def _width(match: "re.Match[str]") -> str:
    activation = match["activation"] or ("8" if match["method"] == "dynamic" else "")
    return f"W{match['weight']}" + (f"A{activation}" if activation else "")


@dataclass(frozen=True, slots=True)
class AccuracyCriterion:
    """An acceptance criterion for the top-1 accuracy of `recipe`.

    It is at most `points` percentage points below float, or not below the interval of the recipe `other`.
    """

    recipe: str
    points: float | None = None
    other: str | None = None


CRITERIA = (
    AccuracyCriterion("w8a8_ptq4vit", points=0.3),
    AccuracyCriterion("w6_rtn", points=0.3),
    AccuracyCriterion("w6_gptq", points=0.3),
    AccuracyCriterion("w4_gptq", points=1.0),
    *(AccuracyCriterion(f"{width}_ptq4vit", other=f"{width}_basic") for width in WIDTHS),
    *(AccuracyCriterion(f"{width}_gptq", other=f"{width}_rtn") for width in WIDTHS if "a" not in width),
)


def check_criteria(table: EvaluationTable) -> list[str]:
    """Return a line for every criterion whose recipes are in the table: PASS or FAIL, the threshold, and the loss."""
    accuracy = {row.recipe: row.top1 for row in table.rows if row.top1 is not None}
    lines = []
    for criterion in CRITERIA:
        top1, other = accuracy.get(criterion.recipe), accuracy.get(criterion.other or "f32")
        if top1 is None or other is None:
            continue
        loss = 100 * (other.value - top1.value)
        if criterion.points is not None:
            passes, threshold = loss <= criterion.points, f"at most {criterion.points} points below float"
        else:
            passes, threshold = top1.value >= other.low, f"not below the interval of {criterion.other}"
        lines.append(f"{'PASS' if passes else 'FAIL'}: {criterion.recipe}, {threshold} ({-loss:+.2f} points)")
    return lines
