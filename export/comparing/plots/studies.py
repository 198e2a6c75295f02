"""Plots of an ablation, of studies over calibration images and seeds, and of other runtimes."""

import statistics
from pathlib import Path

from export.comparing.plots.bars import Bar, draw_bars
from export.comparing.plots.style import colour, drawing
from export.core.figures.units import format_ms
from export.page.reports.comparison.records import Cell, ComparisonRow, ModelComparison
from export.page.reports.comparison.tables import accuracies, measure_name, study_groups


def draw_studies(model: ModelComparison, folder: Path) -> list[str]:
    """Write the plots for which there are figures; return their names without suffix."""
    drawn = []
    for name, draw in (("ablation", _draw_ablation), ("images", _draw_images), ("runtimes", _draw_runtimes)):
        path = folder / f"{name}_{model.model}"
        if draw(path, model):
            drawn.append(path.name)
    return drawn


def _describe(cell: Cell) -> str:
    steps = (("Hessian", cell.hessian), ("softmax twin", cell.softmax_twin), ("GELU twin", cell.gelu_twin))
    return " + ".join(name for name, has in steps if has) or "none"


def _draw_ablation(path: Path, model: ModelComparison) -> bool:
    cells: dict[Cell, list[ComparisonRow]] = {}
    for row in model.rows:
        if row.cell is not None:
            cells.setdefault(row.cell, []).append(row)
    bars = []
    for cell, rows in cells.items():
        values = [100 * value for value in accuracies(rows)]
        if values:
            estimates = [row.accuracy for row in rows if row.accuracy is not None]
            low = min([100 * one.low for one in estimates] or values)
            high = max([100 * one.high for one in estimates] or values)
            mean = statistics.mean(values)
            bars.append(Bar(f"{cell.bits} bits", _describe(cell), mean, low, high, f"{mean:.2f}"))
    if bars:
        draw_bars(path, f"Steps of {next(iter(cells)).method} on {model.title}", f"{measure_name(model)}, %", bars)
    return bool(bars)


def _draw_images(path: Path, model: ModelComparison) -> bool:
    """Draw accuracy by the number of calibration images, where there are several."""
    groups = study_groups(model)
    if len({images for _, images in groups}) < 2:
        return False
    with drawing(path, f"Calibration images of {model.title}", 4.5) as (axes,):
        for number, recipe in enumerate(dict.fromkeys(recipe for recipe, _ in groups)):
            own = sorted((images, accuracies(rows)) for (name, images), rows in groups.items() if name == recipe)
            counts = [images for images, values in own if values]
            means = [100 * statistics.mean(values) for _, values in own if values]
            deviations = [100 * statistics.stdev(values) if len(values) > 1 else 0.0 for _, values in own if values]
            axes.errorbar(counts, means, yerr=deviations, marker="o", capsize=3, color=colour(number), label=recipe)
        axes.set_xscale("log", base=2)
        axes.set_xlabel("calibration images; bars are the standard deviation over seeds")
        axes.set_ylabel(f"{measure_name(model)}, %")
        axes.grid(color="#dddddd")
        axes.legend()
    return True


def _draw_runtimes(path: Path, model: ModelComparison) -> bool:
    ordered = sorted(model.peers, key=lambda peer: (peer.threads, peer.latency_ms.value))
    bars = [
        Bar(
            f"{peer.threads} threads" if peer.threads > 1 else "1 thread",
            f"{peer.runtime} ({peer.where})".replace("`", ""),
            peer.latency_ms.value,
            peer.latency_ms.low,
            peer.latency_ms.high,
            f"{format_ms(peer.latency_ms.value)} (× {peer.ratio:.2f})",
        )
        for peer in ordered
    ]
    if bars:
        draw_bars(path, f"One picture of {model.title}", "latency in ms, median with p10 and p90", bars)
    return bool(bars)
