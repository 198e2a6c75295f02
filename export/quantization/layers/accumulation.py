"""Int16 accumulation depth: how many products of 8 bits the `vit` engine may sum in int16 where there is no VNNI.

Its instruction there gives the sums of two neighbouring products of bytes as int16, saturated. A weight allows an
accumulation depth of n steps when in each of two interleaved sums, of weights 4i, 4i+1 and 4i+2, 4i+3 over n values of
i, those of one sign add up to 128 at most: 128 · 255 < 2¹⁵, so no activations 0 … 255 saturate it. b bits always allow
2^(7-b).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

WEIGHTS_PER_STEP = 4  # neighbouring weights of an output that one instruction takes
ACCUMULATION_DEPTHS = (8, 4, 2, 1)
WEIGHT_SUM_LIMIT = 128
BITS_OF_DEPTH_1 = 7  # the most with which any two neighbouring weights allow a depth of one step


def fits_int16(low: Tensor, high: Tensor, weight_low: Tensor, weight_high: Tensor) -> bool:
    """Return whether two products of quantized activations low … high and weights fit in int16, for all heads."""
    shift = torch.where((weight_low < -128) | (weight_high > 127), -128 - weight_low, 0)
    magnitude = (weight_high + shift).maximum(-weight_low - shift)
    return bool(((high - low) * 2 * magnitude <= 2**15 - 1).all())


def weight_rows(weight: Tensor) -> Tensor:
    """Return a weight as rows `[out, in]` in the engine's order: patches with channels last."""
    return weight.permute(0, 2, 3, 1).flatten(1) if weight.ndim == 4 else weight


def greatest_sums(rows: Tensor, depth: int) -> Tensor:
    """Return `[out]`: the greatest sum of weights of one sign, as a magnitude, in any `depth` steps of `[out, in]`."""
    span = WEIGHTS_PER_STEP * depth
    padded = F.pad(rows, (0, -rows.shape[1] % span)).reshape(len(rows), -1, depth, 2, WEIGHTS_PER_STEP // 2)
    sums = padded.clamp_min(0).sum((2, 4)).maximum(padded.clamp_max(0).sum((2, 4)).neg())
    return sums.flatten(1).amax(1)


def accumulation_depth(quantized: Tensor) -> int:
    """Return the greatest of `ACCUMULATION_DEPTHS` that all rows of a quantized weight allow, or 0."""
    rows = weight_rows(quantized).float()
    depths = ACCUMULATION_DEPTHS
    return next((depth for depth in depths if greatest_sums(rows, depth).max() <= WEIGHT_SUM_LIMIT), 0)
