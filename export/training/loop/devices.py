"""Where a model is trained, and in which arithmetic."""

import torch
from torch import nn


def choose_device() -> torch.device:
    """Return the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_fast_bfloat16(device: torch.device) -> bool:
    """Say whether bfloat16 is computed in hardware; emulated it is far slower than float32."""
    return device.type == "cuda" or bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def trains_in_bfloat16(module: nn.Module, device: torch.device) -> bool:
    """Say whether a module is trained faster in bfloat16 than in float32; grouped convolutions on a CPU are not."""
    grouped = any(isinstance(layer, nn.Conv2d) and layer.groups > 1 for layer in module.modules())
    return has_fast_bfloat16(device) and not (grouped and device.type == "cpu")
