"""Tiny random members of the families, small enough to quantize by every method within seconds."""

from functools import lru_cache
from typing import Any

import timm
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from export.core.records import ModelSpec, Preprocess
from export.models.weights.randomise import randomise
from export.quantization.recipes import Recipe

# family: (input size, timm's name, arguments)
TINY: dict[str, tuple[int, str, dict[str, Any]]] = {
    "vit": (28, "vit_tiny_patch16_224", {"img_size": 28, "patch_size": 7, "embed_dim": 48, "depth": 2}),
    "distilled": (32, "deit_tiny_distilled_patch16_224", {"img_size": 32, "embed_dim": 36, "depth": 1}),
    "swin": (
        56,
        "swin_tiny_patch4_window7_224",
        {"img_size": 56, "embed_dim": 16, "depths": [2, 1], "num_heads": [2, 4], "window_size": 7},
    ),
    "resnet": (32, "resnet18", {"layers": [1, 1, 1, 1], "channels": [8, 12, 16, 20]}),
}


@lru_cache(maxsize=8)
def tiny(family: str) -> tuple[ModelSpec, nn.Module, Tensor]:
    """Return spec, float module and images `[16, 3, H, W]`; not to be changed."""
    size, name, arguments = TINY[family]
    arguments = arguments | {"num_classes": 10}
    module = randomise(timm.create_model(name, pretrained=False, **arguments).eval(), seed=1).requires_grad_(False)
    spec = ModelSpec(
        name=family,
        title=family,
        timm_name=name,
        weights="random",
        weights_sha256="0" * 64,
        preprocess=Preprocess(
            size=size, crop_pct=1.0, crop_mode="center", interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
        ),
        labels=tuple(f"class {index}" for index in range(10)),
        features=False,
        outputs=10,
        parameters=sum(value.numel() for value in module.parameters()),
        licence="none",
        source="none",
        arguments=arguments,
    )
    return spec, module, torch.randn(16, 3, size, size, generator=torch.Generator().manual_seed(2))


def searching_less(recipe: Recipe) -> Recipe:
    """Return the recipe with fewer candidates for each scale: what holds of any scales holds of these too."""
    assert recipe.quantization is not None
    calibration = recipe.quantization.calibration
    fewer = replace(calibration, candidates=min(calibration.candidates, 10))
    return replace(recipe, quantization=replace(recipe.quantization, calibration=fewer))


@torch.no_grad()
def sqnr(reference: Tensor, found: Tensor) -> float:
    """Return 10·log10(Σ reference² / Σ (reference - found)²)."""
    return float(10 * torch.log10(reference.square().sum() / (reference - found).square().sum()))
