"""Accuracies of recipes as Markdown: methods by bit widths, acceptance criteria, and a model's confidence."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from export.core.console import format_seconds
from export.core.figures.units import format_bytes, format_percent
from export.core.records import Estimate
from export.models.confidence import ConfidenceFile
from export.page.reports.markdown import Verdict, table, verdict_table
from export.quantization.evaluation.records import WIDTHS, EvaluationTable, format_estimate
from export.quantization.recipes import NAME as RECIPE

SUMMARY_METHODS = ("minmax", "percentile", "basic", "ptq4vit", "repq", "smoothquant", "aqer", "gptq", "quarot")
SUMMARY_WIDTHS = ("W8A8", "W6A6", "W4A8", "W4A4")


@dataclass(frozen=True, slots=True)
class Criterion:
    """A lower bound for a recipe's top-1: `points` below float, or the 95 % interval of the recipe `other`."""

    recipe: str
    points: float | None = None
    other: str | None = None

    def judge(self, top1: dict[str, Estimate]) -> Verdict | None:
        """Compare; None where a recipe that it needs was not evaluated."""
        own, reference = top1.get(self.recipe), top1.get(self.other or "f32")
        if own is None or reference is None:
            return None
        lowest = reference.low - reference.value if self.points is None else -self.points / 100
        difference = own.value - reference.value
        passed = own.value >= reference.low if self.points is None else difference >= lowest
        return Verdict(
            criterion=f"top-1 of `{self.recipe}` minus {f'`{self.other}`' if self.other else 'float'}",
            measured=_points(difference),
            threshold=f"≥ {_points(lowest)}" + (" (its 95 % interval)" if self.other else ""),
            passed=passed,
        )


CRITERIA = (
    Criterion("w8a8_ptq4vit", points=0.3),
    Criterion("w6_rtn", points=0.3),
    Criterion("w6_gptq", points=0.3),
    Criterion("w4_gptq", points=1.0),
    *(Criterion(f"{width}_ptq4vit", other=f"{width}_basic") for width in WIDTHS),
    *(Criterion(f"{width}_gptq", other=f"{width}_rtn") for width in WIDTHS if "a" not in width),
)


def _points(share: float) -> str:
    return f"{100 * share:+.2f} points".replace("-", "−")


def verdicts(evaluation: EvaluationTable) -> list[Verdict]:
    """Return every acceptance criterion whose recipes were evaluated."""
    top1 = {row.recipe: row.top1 for row in evaluation.rows if row.top1 is not None}
    return [verdict for criterion in CRITERIA if (verdict := criterion.judge(top1)) is not None]


def _width(match: "re.Match[str]") -> str:
    activation = match["activation"] or ("8" if match["method"] == "dynamic" else "")
    return f"W{match['weight']}" + (f"A{activation}" if activation else "")


def _intro(evaluation: EvaluationTable, accuracy: dict[str, Estimate | None]) -> str:
    calibration = sum(row.calibration_seconds or 0 for row in evaluation.rows)
    inference = sum(row.evaluation_seconds for row in evaluation.rows)
    return (
        f"{evaluation.model}, n={evaluation.n:,} ({evaluation.data}), float: {format_estimate(accuracy.get('f32'))}; "
        f"calibrated on {evaluation.calibration_data}; {evaluation.machine}, {evaluation.threads} threads, which took "
        f"{format_seconds(calibration)} to calibrate and {format_seconds(inference)} to evaluate all "
        f"{sum(row.key != 'float' for row in evaluation.rows)} recipes."
    )


def _pivot(evaluation: EvaluationTable, methods: Sequence[str] = (), widths: Sequence[str] = ()) -> list[str]:
    """Return accuracies, a row per method, a column per width; of a model without labels the agreement with float."""
    accuracy = {row.recipe: row.top1 or row.knn or row.agreement for row in evaluation.rows}
    named = [match for name in accuracy if (match := RECIPE.fullmatch(name))]
    columns = widths or list(dict.fromkeys(map(_width, named)))
    rows = []
    for method in methods or dict.fromkeys(match["method"] for match in named):
        own = {_width(match): accuracy[match.string] for match in named if match["method"] == method}
        cells = [format_percent(share.value) if (share := own.get(width)) else "–" for width in columns]
        rows.append((f"`{method}`", *cells))
    return [_intro(evaluation, accuracy), "", *table(("method", *columns), rows)]


def evaluation_section(evaluation: EvaluationTable) -> str:
    """Return the accuracies of every method and width, of other recipes, and the acceptance criteria."""
    lines = [
        f"* `{row.recipe}`: {format_estimate(row.top1 or row.knn or row.agreement)}, {format_bytes(row.bytes)}; "
        + (f"{row.note}." if row.note else f"SQNR {row.sqnr_db:.1f} dB.")
        for row in evaluation.rows
        if row.key != "float" and not RECIPE.fullmatch(row.recipe)
    ]
    return "\n".join([*_pivot(evaluation), "", *lines, "", *verdict_table(verdicts(evaluation))])


def evaluation_summary(evaluation: EvaluationTable) -> str:
    """Return the usual methods at the usual widths."""
    return "\n".join(_pivot(evaluation, SUMMARY_METHODS, SUMMARY_WIDTHS))


def confidence_section(file: ConfidenceFile) -> str:
    """Return the figures of a model's confidence: accuracy, calibration error, false alarms, and what is unknown."""
    confidence, sets = file.confidence, file.unknown
    figures = [
        ("top-1", file.top1),
        ("calibration error at temperature 1", file.uncalibrated_ece),
        (f"calibration error at temperature {confidence.temperature:.3g}", file.ece),
        ("false alarms", confidence.false_alarms),
    ]
    figures += [(f"false alarms of `{row.recipe}`", row.false_alarms) for row in file.quantized]
    figures += [(f"top-1 of `{row.recipe}`", row.top1) for row in file.quantized]
    figures += [(f"called unknown: {one.data}", one.rejected) for one in sets]
    rows = [(name, format_estimate(figure), f"{figure.n:,}") for name, figure in figures]
    if sets:
        mean = sum(one.rejected.value for one in sets) / len(sets)
        rows.append((f"called unknown: mean of {len(sets)} sets", format_percent(mean), ""))
    lines = [
        f"{file.model}, {confidence.data}: fitted on {file.fitted_on:,}, measured on the others; temperature "
        f"{confidence.temperature:.3g}; unknown where the energy score at temperature "
        f"{confidence.energy_temperature:.3g} is below {confidence.threshold:.4g}; {file.machine}, "
        f"{file.threads} threads. Intervals of 95 %.",
        "",
        *table(("figure", "value", "images"), rows),
    ]
    return "\n".join(lines)
