"""Where a model is trained, and in which arithmetic."""

import torch
from torch import nn


def choose_device() -> torch.device:
    """Return the GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def has_fast_bfloat16(device: torch.device) -> bool:
    """Say whether bfloat16 is computed in hardware; emulated it is far slower than float32."""
    return device.type == "cuda" or bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def uses_bfloat16(module: nn.Module, device: torch.device) -> bool:
    """Say whether a module is computed in bfloat16: where it is fast, and on a CPU without depthwise convolutions.

    EfficientNets and MobileNets, which consist of these, take longer than in float32 there.
    """
    depthwise = any(
        isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels > 1 for layer in module.modules()
    )
    return has_fast_bfloat16(device) and not (depthwise and device.type == "cpu")
