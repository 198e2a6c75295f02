"""Weights to integers by rounding to nearest, and the step from chosen numbers to a module of quantized layers."""

import torch
from torch import Tensor

from export.quantization.layers.modules import Weight

TINY = 2.0**-100  # the scale of a channel of zeros, whose levels are zeros


def largest_scale(weight: Tensor, bits: int, granularity: str) -> Tensor:
    """Return `[out]` scales max|w| / (2^(b-1) - 1), per output channel or all alike."""
    rows = weight.detach().flatten(1).abs()
    largest = rows.amax(1) if granularity == "channel" else rows.max().expand(len(rows))
    scale: Tensor = (largest / (2 ** (bits - 1) - 1)).clamp_min(TINY)
    return scale


def round_weight(weight: Tensor, scale: Tensor, bits: int) -> Weight:
    """Return the symmetric integer weight, levels = clamp(round(w / scale), -2^(b-1), 2^(b-1) - 1); scale `[out]`."""
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    levels = (weight.detach() / column).round_().clamp_(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return Weight(bits, levels, scale)


def round_weight_asymmetric(weight: Tensor, bits: int, granularity: str) -> Weight:
    """Return the weight with codes 0 … 2^b-1 and a zero point, spanning its least and largest value and 0."""
    rows = weight.detach().flatten(1)
    low, high = rows.amin(1).clamp_max(0), rows.amax(1).clamp_min(0)
    if granularity == "tensor":
        low, high = low.min().expand_as(low), high.max().expand_as(high)
    scale = ((high - low) / (2**bits - 1)).clamp_min(TINY)
    zero_point = (-low / scale).round_()
    column = (-1, *[1] * (weight.ndim - 1))
    levels = (weight.detach() / scale.reshape(column)).round_()
    levels = torch.clamp(levels, -zero_point.reshape(column), 2**bits - 1 - zero_point.reshape(column))
    return Weight(bits, levels, scale, zero_point)
