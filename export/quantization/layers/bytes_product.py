"""Products of integers in int8, which are exact and several times as fast as in float32 where the CPU has VNNI."""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST, GREATEST = -128, 127  # of int8
DEPTH = 1024  # of the product that is tried: as deep as one in float32 is exact


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """Return `x [..., in] @ weight [out, in]ᵀ` of integers that are float32: float32, or exact int32 in inference.

    The latter where the weight and every row of `x` fit in int8, rows once an offset each is subtracted.
    """
    if not (torch.is_inference_mode_enabled() and x.device.type == "cpu" and multiplies_bytes()):
        return F.linear(x, weight)
    rows, offsets = x.flatten(0, -2), None
    if not _fit(*rows.aminmax()):
        low, high = rows.amin(1), rows.amax(1)  # both at once is ten times as slow
        offsets = low - LEAST
        rows, high = rows - offsets[:, None], high - offsets
        if not high.max() <= GREATEST:  # nor what is not a number
            return F.linear(x, weight)
    if not _fit(*weight.aminmax()):
        return F.linear(x, weight)
    integers = weight.to(torch.int8)
    sums = torch._int_mm(rows.to(torch.int8), integers.T)
    if offsets is not None:
        sums.addr_(offsets.to(torch.int32), integers.sum(1, dtype=torch.int32))
    return sums.reshape(*x.shape[:-1], -1)


def _fit(low: Tensor, high: Tensor) -> bool:
    return bool(low >= LEAST and high <= GREATEST)


@cache
def multiplies_bytes() -> bool:
    """Say whether this CPU multiplies int8 fast, and PyTorch on it exactly, also where sums of pairs exceed int16."""
    if not getattr(torch.cpu, "_is_vnni_supported", bool)():
        return False
    ends = torch.tensor([LEAST, GREATEST], dtype=torch.int8)
    left, right = ends.repeat_interleave(16)[:, None].expand(-1, DEPTH), ends[:, None].expand(-1, DEPTH)
    exact = torch.mm(left.double(), right.double().T)  # attention's own torch.matmul is routed through `Product`
    return torch.equal(torch._int_mm(left.contiguous(), right.contiguous().T).double(), exact)
