"""The plots of a comparison: size reduction, accuracy loss, throughput, and size by accuracy with the Pareto front."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from export.comparing.plots.bars import Bar, draw_bars
from export.comparing.plots.style import colour, drawing
from export.core.figures.units import format_bytes
from export.page.reports.comparison.records import Comparison, ComparisonRow, ModelComparison
from export.page.reports.comparison.tables import accuracies, loss, measure_name, plain_rows

FEW = 12  # recipes that are all named beside their points


def draw_comparison(comparison: Comparison, folder: Path) -> list[str]:
    """Write the plots for which there are figures, as SVG and PNG; return their names without suffix."""
    plots = {
        "size_reduction": ("Size reduction", "smaller than the float model, %", _sizes(comparison)),
        "accuracy_loss": ("Accuracy loss", "points below the float model, with 95 % interval", _losses(comparison)),
        "throughput": ("Throughput in PyTorch", "images a second, median with p10 and p90", _speeds(comparison)),
    }
    drawn = [name for name, (_, _, bars) in plots.items() if bars]
    for name in drawn:
        title, axis, bars = plots[name]
        draw_bars(folder / name, title, axis, bars)
    for model in comparison.models:
        if len(_points(model)) > 2:
            name = f"pareto_{model.model}"
            _draw_pareto(folder / name, model)
            drawn.append(name)
    return drawn


def _by_recipe(model: ModelComparison) -> dict[str, list[ComparisonRow]]:
    """Return the rows of each recipe: several where calibration was repeated."""
    found: dict[str, list[ComparisonRow]] = {}
    for row in plain_rows(model):
        found.setdefault(row.evaluation.recipe, []).append(row)
    return found


def _sizes(comparison: Comparison) -> list[Bar]:
    bars = []
    for model in comparison.models:
        size = model.rows[0].evaluation.bytes
        for recipe, rows in _by_recipe(model).items():
            reduction = 100 * (1 - rows[0].evaluation.bytes / size)
            text = f"{format_bytes(rows[0].evaluation.bytes)} (−{reduction:.0f} %)" if reduction else format_bytes(size)
            bars.append(Bar(model.model, recipe, reduction, reduction, reduction, text))
    return bars


def _losses(comparison: Comparison) -> list[Bar]:
    bars = []
    for model in comparison.models:
        reference = model.rows[0].accuracy
        if reference is None:
            continue
        for recipe, rows in list(_by_recipe(model).items())[1:]:
            found = [value for row in rows if (value := loss(row, model)) is not None]
            estimates = [row.accuracy for row in rows if row.accuracy is not None]
            if not found:
                continue
            mean = 100 * statistics.mean(found)
            low = 100 * (reference.value - max(one.high for one in estimates))
            high = 100 * (reference.value - min(one.low for one in estimates))
            bars.append(Bar(model.model, recipe, mean, low, high, f"{mean:+.2f}".replace("-", "−")))
    return bars


def _speeds(comparison: Comparison) -> list[Bar]:
    bars = []
    for model in comparison.models:
        for speed in model.speeds:
            rate = speed.images_per_second
            where = "" if speed.device == "cpu" else f" on {speed.device}"
            text = f"{rate.value:.3g} (× {speed.ratio.value:.2f})"
            group = f"{model.model}, batch {speed.batch}"
            bars.append(Bar(group, f"{speed.recipe}{where}", rate.value, rate.low, rate.high, text))
    return bars


def _points(model: ModelComparison) -> list[tuple[str, float, float]]:
    """Return recipe, size in MB and mean accuracy in percent."""
    points = []
    for recipe, rows in _by_recipe(model).items():
        values = accuracies(rows)
        if values:
            points.append((recipe, rows[0].evaluation.bytes / 1e6, 100 * statistics.mean(values)))
    return points


def front(points: Sequence[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """Return the points than which no other is both as small and as accurate, by size."""
    best: list[tuple[str, float, float]] = []
    for point in sorted(points, key=lambda one: (one[1], -one[2])):
        if not best or point[2] > best[-1][2]:
            best.append(point)
    return best


def _draw_pareto(path: Path, model: ModelComparison) -> None:
    points = _points(model)
    best = front(points)
    with drawing(path, f"Size and accuracy of {model.title}", 5.0) as (axes,):
        axes.plot([size for _, size, _ in best], [value for _, _, value in best], color=colour(0), label="Pareto front")
        for group, marker, tint in ((points, "o", "#999999"), (best, "o", colour(0))):
            axes.scatter([size for _, size, _ in group], [value for _, _, value in group], marker=marker, color=tint)
        for recipe, size, value in points if len(points) <= FEW else best:
            axes.annotate(recipe, (size, value), textcoords="offset points", xytext=(4, -9), fontsize=7)
        axes.set_xscale("log")
        axes.set_xlabel("file, MB")
        axes.set_ylabel(f"{measure_name(model)}, %")
        axes.grid(color="#dddddd")
        axes.legend()
