"""Histograms of weights and activations, and which of them have outliers that a shared scale pays for."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from export.quantization.analysis.records import DistributionRow, Operand
from export.quantization.layers.discovery import PRODUCTS, QuantizableLayer

BINS = 64
# The largest channel's (token's) magnitude over the median one's from which a scale for all of them is a bad fit: it
# leaves the median channel 8 bits less log2 of the ratio.
OUTLIER_RATIO = 16.0


@dataclass(frozen=True)
class _Operand:
    """Values with their channels as rows of `by_channel`, and the tokens as rows of `by_token`, if there are any."""

    name: Operand
    values: Tensor
    by_channel: Tensor
    by_token: Tensor | None


def measure_distributions(
    module: nn.Module, layers: Sequence[QuantizableLayer], images: Tensor
) -> list[DistributionRow]:
    """Return a row for every weight and every input of the layers, for normalised images `[n, 3, H, W]`."""
    rows: dict[str, list[DistributionRow]] = {layer.name: [] for layer in layers}

    def describe(layer: QuantizableLayer, inputs: tuple[Tensor, ...]) -> None:
        rows[layer.name] = [_row(layer.name, operand) for operand in _operands(layer, inputs)]

    handles = [
        module.get_submodule(layer.name).register_forward_pre_hook(
            lambda _, inputs, layer=layer: describe(layer, inputs)  # type: ignore[misc]
        )
        for layer in layers
    ]
    try:
        with torch.inference_mode():
            module(images)
    finally:
        for handle in handles:
            handle.remove()
    return [row for layer in layers for row in rows[layer.name]]


def _operands(layer: QuantizableLayer, inputs: tuple[Tensor, ...]) -> list[_Operand]:
    if layer.role in PRODUCTS:
        left, right = inputs
        return [
            _Operand("left", left, left.flatten(0, -2).T, left.flatten(0, -2)),
            _Operand("right", right, right.flatten(0, -3).transpose(0, 1).flatten(1), None),
        ]
    weight, (x,) = layer.module.weight, inputs
    assert isinstance(weight, Tensor)
    found = [_Operand("weight", weight, weight.flatten(1), None)]
    if isinstance(layer.module, nn.Conv2d):
        return [*found, _Operand("input", x, x.transpose(0, 1).flatten(1), None)]
    tokens = x.flatten(0, -2)
    return [*found, _Operand("input", x, tokens.T, tokens)]


def _row(layer: str, operand: _Operand) -> DistributionRow:
    values = operand.values.detach().float().flatten()
    low, high = (float(bound) for bound in values.aminmax())
    ratios = {"channel": _ratio(operand.by_channel)}
    if operand.by_token is not None:
        ratios["token"] = _ratio(operand.by_token)
    warnings = [
        f"the largest {what} is {ratio:.0f} times the median one"
        for what, ratio in ratios.items()
        if ratio > OUTLIER_RATIO
    ]
    return DistributionRow(
        layer=layer,
        operand=operand.name,
        low=low,
        high=high,
        deviation=float(values.std()) if len(values) > 1 else 0.0,
        histogram=tuple(int(count) for count in torch.histc(values, BINS, low, high)) if high > low else (len(values),),
        channel_ratio=ratios["channel"],
        token_ratio=ratios.get("token"),
        warning="; ".join(warnings),
    )


def _ratio(rows: Tensor) -> float:
    """Return the largest row's greatest magnitude over the median row's."""
    greatest = rows.detach().float().abs().amax(1)
    median = float(greatest.median())
    return float(greatest.max()) / median if median > 0 else 0.0
