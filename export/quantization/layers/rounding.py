"""Weights to integers by round to nearest (RTN), symmetric or asymmetric, per output channel or per tensor."""

import torch
from torch import Tensor

from export.quantization.layers.modules import Weight

MIN_SCALE = 2.0**-100  # the scale of a channel of zeros, whose quantized values are zeros


def absmax_scale(weight: Tensor, bits: int, granularity: str) -> Tensor:
    """Return `[out]` symmetric scales max|w| / (2^(b-1) - 1), per output channel or all alike."""
    rows = weight.detach().flatten(1).abs()
    absmax = rows.amax(1) if granularity == "channel" else rows.max().expand(len(rows))
    scale: Tensor = (absmax / (2 ** (bits - 1) - 1)).clamp_min(MIN_SCALE)
    return scale


def quantize_symmetric(weight: Tensor, scale: Tensor, bits: int) -> Weight:
    """Return the weight with quantized = clamp(round(w / scale), -2^(b-1), 2^(b-1) - 1), scale `[out]`."""
    column = scale.reshape(-1, *[1] * (weight.ndim - 1))
    quantized = (weight.detach() / column).round_().clamp_(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return Weight(bits, quantized, scale)


def quantize_asymmetric(weight: Tensor, bits: int, granularity: str) -> Weight:
    """Return the weight with codes 0 … 2^b-1 and a zero point, spanning its least and greatest value and 0."""
    rows = weight.detach().flatten(1)
    low, high = rows.amin(1).clamp_max(0), rows.amax(1).clamp_min(0)
    if granularity == "tensor":
        low, high = low.min().expand_as(low), high.max().expand_as(high)
    scale = ((high - low) / (2**bits - 1)).clamp_min(MIN_SCALE)
    zero_point = (-low / scale).round_()
    column = (-1, *[1] * (weight.ndim - 1))
    quantized = (weight.detach() / scale.reshape(column)).round_()
    quantized = torch.clamp(quantized, -zero_point.reshape(column), 2**bits - 1 - zero_point.reshape(column))
    return Weight(bits, quantized, scale, zero_point)
