"""The table of capabilities: the command for each, the published figures, and ours where they were measured."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from export.core.figures.units import format_bytes
from export.page.reports.bitwidths import BitwidthStudies, bitwidth_summary
from export.page.reports.comparison.records import Comparison, ModelComparison
from export.page.reports.comparison.tables import study_table
from export.page.reports.markdown import UNKNOWN, spread, table
from export.page.reports.reproduction import layers
from export.page.reports.reproduction.capabilities import CAPABILITIES, Capability
from export.page.reports.reproduction.projects import PROJECTS
from export.quantization.evaluation.records import EvaluationTable, format_estimate

Figures = Mapping[str, Any]
UNTRAINED = ("random", "outliers")  # weights whose accuracy means nothing


def reproduction_section(figures: Figures) -> str:
    """Return the projects and a row for every capability; `figures` are those of all kept files, by name."""
    projects = [f"* {key}: {one.name} ({one.source})" for key, one in PROJECTS.items()]
    rows = [_row(one, figures) for one in CAPABILITIES]
    header = ("no.", "project", "capability", "command", "published", "ours")
    return "\n".join([*projects, "", *table(header, rows), "", _why_sizes_differ()])


def _why_sizes_differ() -> str:
    """Return the size of DeiT-T's integers, and that with the two extra copies that the published one has."""
    dim, depth, patch, classes, tokens = 192, 12, 3 * 16 * 16, 1000, 197
    qkv = depth * 3 * dim * dim
    weights = depth * 12 * dim * dim + (patch + classes) * dim
    others = depth * 9 * dim + dim + classes + (2 * depth + 1) * 2 * dim + (tokens + 1) * dim
    return (
        f"Sizes: a DeiT-T has {weights:,} weights, which are {format_bytes(weights)} as int8; biases, normalisation "
        f"and positions in float32 make it {format_bytes(weights + 4 * others)}, and scales a little more. The "
        "published 8.32 MB hold the weights of queries, keys and values three times, once with each of their scales: "
        f"{format_bytes(weights + 2 * qkv)}."
    )


def _row(one: Capability, figures: Figures) -> tuple[str, ...]:
    commands = "<br>".join(f"`{command}`" for command in one.commands)
    return str(one.number), ", ".join(one.projects), one.title, commands, one.published, _ours(one, figures)


def _ours(one: Capability, figures: Figures) -> str:
    parts = [_evaluated(figures["evaluation"], one.recipes)] if one.recipes else []
    if one.measured:
        parts.append(MEASURED[one.measured](figures))
    return "<br>".join(part for part in parts if part) or UNKNOWN


def _evaluated(evaluation: EvaluationTable, recipes: tuple[str, ...]) -> str:
    found = {row.recipe: row for row in evaluation.rows}
    shares = [f"`{name}` {format_estimate(found[name].top1)}" for name in recipes if name in found]
    return f"`{evaluation.model}`, n={evaluation.n:,}: {', '.join(shares)}" if shares else ""


def _sizes(figures: Figures) -> str:
    evaluation: EvaluationTable = figures["evaluation"]
    names = ("f32", "w8a8_basic", "w8a8_ptq4vit", "torch_ao_dynamic")
    found = {row.recipe: row.bytes for row in evaluation.rows}
    return f"`{evaluation.model}`: {', '.join(format_bytes(found[name]) for name in names if name in found)}"


def _bitwidths(figures: Figures, data: str) -> str:
    studies: BitwidthStudies = figures["bitwidths"]
    found = [study for study in studies.studies if data in study["data"].lower()]
    return "<br>".join(bitwidth_summary(study, ("affine", "lsq")) for study in found)


def _page(figures: Figures) -> str:
    return "[measured in Chromium](results.md#the-page-measured-in-a-browser)"


def _models(figures: Figures) -> tuple[ModelComparison, ...]:
    comparison: Comparison | None = figures.get("comparison")
    return comparison.models if comparison is not None else ()


def _throughput(figures: Figures) -> str:
    parts = []
    for model in _models(figures):
        for speed in model.speeds:
            if speed.recipe == "torch_ao_dynamic":
                ratio = speed.ratio
                written = spread(ratio.value, ratio.low, ratio.high, ratio.n, lambda value: f"{value:.2f}")
                parts.append(f"`{model.model}`, batch {speed.batch}, dynamic × float: {written}")
    return "<br>".join(parts)


def _ablation(figures: Figures) -> str:
    parts = []
    for model in _models(figures):
        cells = [(row.cell, row.accuracy) for row in model.rows if row.cell is not None]
        for cell, found in cells:
            steps = (("Hessian", cell.hessian), ("softmax", cell.softmax_twin), ("GELU", cell.gelu_twin))
            named = " + ".join(name for name, has in steps if has) or "none"
            parts.append(f"`{model.model}`, {cell.bits} bits, {named}: {format_estimate(found)}")
    return "<br>".join(parts)


def _study(figures: Figures) -> str:
    return "[its table](results.md#comparison)" if any(map(study_table, _models(figures))) else ""


def _dynamic(figures: Figures) -> str:
    parts = []
    for model in _models(figures):
        seconds = {
            f"{one.recipe} on {one.device}": 1 / one.images_per_second.value for one in model.speeds if one.batch == 1
        }
        if model.features:
            parts.append(f"`{model.model}`: {', '.join(f'{name} {value:.4f} s' for name, value in seconds.items())}")
        if model.dynamic is not None:
            same = "the same outputs bit for bit" if model.dynamic.equal else "other outputs"
            parts.append(f"`{model.model}`: Linear, and Linear and Conv: {same}, {model.dynamic.both_bytes:,} bytes")
    return "<br>".join(parts)


def _features(figures: Figures) -> str:
    return "<br>".join(
        f"`{model.model}` `{row.evaluation.recipe}`: k-NN {format_estimate(row.evaluation.knn)}"
        for model in _models(figures)
        for row in model.rows
        if row.evaluation.knn is not None and model.weights not in UNTRAINED
    )


def _operators(figures: Figures) -> str:
    return "<br>".join(
        f"`{model.model}`: {', '.join(f'{one.name} {one.ours}' for one in model.operators if one.share > 0)}"
        for model in _models(figures)
        if model.operators
    )


MEASURED: dict[str, Callable[[Figures], str]] = {
    "ablation": _ablation,
    "bits": layers.bits,
    "bitwidths": partial(_bitwidths, data="fashion"),
    "bitwidths of photographs": partial(_bitwidths, data="cifar"),
    "dynamic": _dynamic,
    "features": _features,
    "ladder": layers.ladder,
    "layers": layers.layers,
    "operators": _operators,
    "page": _page,
    "sensitivity": layers.sensitivity,
    "sizes": _sizes,
    "study": _study,
    "throughput": _throughput,
}
