"""What analyses of layers found, for the table of capabilities: a line for each model and recipe."""

from collections.abc import Iterator, Mapping
from typing import Any

from export.page.reports.analysis.records import AnalysisFile, AnalysisSummary
from export.page.reports.analysis.tables import all_layers, decibels
from export.quantization.analysis.records import LadderRow, MixedRow
from export.quantization.evaluation.records import format_estimate

Figures = Mapping[str, Any]
NAMED = 3  # layers


def _recipes(figures: Figures) -> Iterator[tuple[str, AnalysisSummary]]:
    """Yield what was found with where it was."""
    file: AnalysisFile | None = figures.get("analysis")
    for name, model in file.models.items() if file is not None else ():
        for recipe, summary in model.recipes.items():
            yield f"`{name}`, `{recipe}`, n={summary.n:,}", summary


def ladder(figures: Figures) -> str:
    """Return everything in integers, step by step."""
    return "<br>".join(
        f"{place}: {'; '.join(f'{row.step} {_quality(row)}' for row in summary.ladder)}"
        for place, summary in _recipes(figures)
        if summary.ladder
    )


def sensitivity(figures: Figures) -> str:
    """Return the layers that cost the outputs most."""
    return "<br>".join(
        f"{place}: {', '.join(f'`{row.layer}` {decibels(row.sqnr_db)}' for row in summary.ranked[:NAMED])}"
        for place, summary in _recipes(figures)
    )


def layers(figures: Figures) -> str:
    """Return the error of the last layer, and how many tensors have outliers."""
    return "<br>".join(
        f"{place}: {all_layers(summary)} Tensors with outliers: {len(summary.outliers)}."
        for place, summary in _recipes(figures)
    )


def bits(figures: Figures) -> str:
    """Return the bits chosen within limits beside uniform ones."""
    file: AnalysisFile | None = figures.get("analysis")
    return "<br>".join(
        f"`{name}`, n={mixed.n:,}, {mixed.limit}: "
        + ", ".join(f"`{row.recipe}` {_quality(row)}, {row.weight_bytes:,} B" for row in (mixed.chosen, *mixed.uniform))
        for name, model in (file.models.items() if file is not None else ())
        for mixed in model.limits
    )


def _quality(row: LadderRow | MixedRow) -> str:
    return decibels(row.sqnr_db) if row.top1 is None else format_estimate(row.top1)
