"""The embedded weights as a file: matrices as int8 with a scale per row, everything else as float16; exact both ways.

A matrix `NAME` of int8 has its scales `float32 [rows]` beside it as `NAME.scale`; the float model's weights are the
products, so the packed file is the float model itself.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor

SCALE = ".scale"
BOUND = 127
SMALLEST = 20_000  # values in a tensor that is worth packing


def pack_weights(state: dict[str, Tensor]) -> bytes:
    """Return a safetensors file of the weights rounded to 8 bits per row, small tensors to float16."""
    packed: dict[str, Tensor] = {}
    for name, value in state.items():
        if value.ndim < 2 or value.shape[0] == 1 or value.numel() < SMALLEST:
            packed[name] = value.half().contiguous()
            continue
        rows = value.float().flatten(1)
        scale = rows.abs().amax(1).clamp_min(torch.finfo(torch.float32).tiny) / BOUND
        packed[name] = (rows / scale[:, None]).round().to(torch.int8).view(value.shape)
        packed[name + SCALE] = scale
    return bytes(to_safetensors(packed, metadata={"format": "pt"}))


def read_packed_weights(path: Path) -> dict[str, Tensor]:
    """Return the float32 weights of a file that may hold packed matrices."""
    tensors = load_file(path)
    return {
        name: _unpack(value, tensors.get(name + SCALE))
        for name, value in tensors.items()
        if not (name.endswith(SCALE) and name.removesuffix(SCALE) in tensors)
    }


def _unpack(value: Tensor, scale: Tensor | None) -> Tensor:
    if scale is None:
        return value.float()
    return value.float() * scale.view(-1, *[1] * (value.ndim - 1))
