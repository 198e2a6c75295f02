"""How many products with weights can be summed in 16 bits: what the `vit` engine can use where the machine has no VNNI.

Its instruction there gives sums of two neighbouring products of bytes as int16, saturated. A weight leaves room for a
run of n steps when in each of two interleaved sums, of weights 4i, 4i+1 and 4i+2, 4i+3 over n values of i, those of one
sign add up to 128 at most: 128 · 255 < 2¹⁵, so no activations 0 … 255 overflow it. b bits always have room for 2^(7-b).
"""

import torch
import torch.nn.functional as F
from torch import Tensor

STEP = 4  # neighbouring weights of an output that one instruction takes
RUNS = (8, 4, 2, 1)
MOST = 128
BITS_WITH_ROOM = 7  # the most with which any two neighbours leave room for one step


def leave_room(low: Tensor, high: Tensor, weight_low: Tensor, weight_high: Tensor) -> bool:
    """Return whether levels low … high times those in the weight's place do for one step; per head, all of them."""
    shift = torch.where((weight_low < -128) | (weight_high > 127), -128 - weight_low, 0)
    magnitude = (weight_high + shift).maximum(-weight_low - shift)
    return bool(((high - low) * 2 * magnitude <= 2**15 - 1).all())


def in_rows(weight: Tensor) -> Tensor:
    """Return a weight as rows `[out, in]` in the engine's order: patches with channels last."""
    return weight.permute(0, 2, 3, 1).flatten(1) if weight.ndim == 4 else weight


def greatest_sums(rows: Tensor, run: int) -> Tensor:
    """Return `[out]`: the greatest sum of weights of one sign, as a magnitude, in any run of steps of rows."""
    span = STEP * run
    padded = F.pad(rows, (0, -rows.shape[1] % span)).reshape(len(rows), -1, run, 2, STEP // 2)
    sums = padded.clamp_min(0).sum((2, 4)).maximum(padded.clamp_max(0).sum((2, 4)).neg())
    return sums.flatten(1).amax(1)


def longest_run(levels: Tensor) -> int:
    """Return the longest of `RUNS` that all rows of integer levels leave room for, or 0."""
    rows = in_rows(levels).float()
    return next((run for run in RUNS if greatest_sums(rows, run).max() <= MOST), 0)
