"""Analyses as Markdown: which layers cost most, outliers, everything in integers, and bits chosen within limits."""

from collections.abc import Iterable

from export.core.figures.fidelity import EQUAL_DB
from export.core.figures.stats import proportion
from export.core.figures.units import format_decibels
from export.core.records import Estimate
from export.page.reports.analysis.records import KEPT, AnalysisFile, AnalysisSummary, LayerSensitivity, ModelAnalyses
from export.page.reports.markdown import UNKNOWN, table
from export.quantization.analysis.records import CumulativeRow, MixedPrecision
from export.quantization.analysis.report import ladder_table, mixed_table
from export.quantization.evaluation.records import format_estimate, to_estimate

WORST, MOST_OUTLIERS = 8, 6  # rows of the tables


def analysis_section(file: AnalysisFile | None) -> str:
    """Return the tables of all models, or that nothing was measured."""
    if file is None or not file.models:
        return UNKNOWN
    parts = [part for name, model in file.models.items() for part in _of_model(name, model)]
    return "\n\n".join([*parts, f"Source: [{KEPT.name}](../{KEPT.as_posix()})."])


def _of_model(name: str, model: ModelAnalyses) -> Iterable[str]:
    for recipe, summary in model.recipes.items():
        yield f"### `{name}`, `{recipe}`"
        yield _intro(summary, f"float: {format_estimate(summary.float_top1)}; " if summary.float_top1 else "")
        yield "\n".join(layers_table(summary))
        yield all_layers(summary)
        if summary.outliers:
            yield "\n".join(outliers_table(summary))
        if summary.ladder:
            yield ladder_table(summary.ladder)
    for mixed in model.limits:
        yield f"### `{name}`, bits by layer within {mixed.limit}"
        yield _intro(mixed)
        yield mixed_table(mixed)
        yield bits_of_layers(mixed)


def _intro(found: AnalysisSummary | MixedPrecision, more: str = "") -> str:
    threads = f", {found.threads} thread{'s' * (found.threads != 1)}" if isinstance(found, AnalysisSummary) else ""
    tools = ", ".join(f"{name} {version}" for name, version in found.tools.items())
    return (
        f"n={found.n:,} ({found.data}), {more}calibrated on {found.calibration_data}; {found.machine}{threads}; "
        f"{tools}. `{found.command}`"
    )


def layers_table(summary: AnalysisSummary) -> list[str]:
    """Return the layers that cost the outputs most when they alone are quantized, the worst first."""
    kinds = {(row.layer, row.tensors): row for row in summary.layers}
    after = {row.layer: row for row in summary.cumulative}

    def row(layer: LayerSensitivity) -> tuple[str, ...]:
        parts = (kinds.get((layer.layer, tensors)) for tensors in ("weights", "activations"))
        return (
            f"`{layer.layer}`",
            decibels(layer.sqnr_db),
            *(decibels(part.sqnr_db) if part else "–" for part in parts),
            decibels(layer.own_sqnr_db),
            format_estimate(_estimate(layer.agreement, summary.n)),
            format_estimate(_estimate(layer.top1, summary.n)),
            _after(after.get(layer.layer)),
        )

    header = (
        "layer",
        "SQNR of the outputs",
        "weights alone",
        "activations alone",
        "of the layer's output",
        "agreement",
        "top-1",
        "of its output, all layers quantized",
    )
    return table(header, map(row, summary.ranked[:WORST]))


def _after(row: CumulativeRow | None) -> str:
    return UNKNOWN if row is None else decibels(row.sqnr_db)


def _estimate(share: float | None, n: int) -> Estimate | None:
    return None if share is None else to_estimate(proportion(round(share * n), n))


def all_layers(summary: AnalysisSummary) -> str:
    """Return how far the last layer's output lies from the float model's when all layers are quantized."""
    last = summary.cumulative[-1]
    return (
        f"With all layers quantized, the output of the last one (`{last.layer}`) has {decibels(last.sqnr_db)} and a "
        f"cosine of {last.cosine:.4f}."
    )


def outliers_table(summary: AnalysisSummary) -> list[str]:
    """Return the tensors with the largest outliers."""
    rows = [
        (f"`{one.layer}`", one.operand, f"{one.low:.3g} to {one.high:.3g}", one.warning)
        for one in summary.outliers[:MOST_OUTLIERS]
    ]
    return table(("layer", "tensor", "range", f"outliers, {len(summary.outliers)} tensors in all"), rows)


def bits_of_layers(mixed: MixedPrecision) -> str:
    """Return the layers by their bits, the most common ones unnamed."""
    by_bits: dict[int, list[str]] = {}
    for layer, bits in sorted(mixed.bits.items(), key=lambda item: item[1]):
        by_bits.setdefault(bits, []).append(layer)
    common = max(by_bits, key=lambda bits: len(by_bits[bits]))
    rest = "all" if len(by_bits) == 1 else "the other"
    names = {bits: ", ".join(f"`{layer}`" for layer in layers) for bits, layers in by_bits.items()}
    names[common] = f"{rest} {len(by_bits[common])} layers"
    return "; ".join(f"{bits} bits: {text}" for bits, text in names.items()) + "."


def decibels(value: float) -> str:
    """Write an SQNR, also of equal outputs."""
    return format_decibels(None if value >= EQUAL_DB else value)
