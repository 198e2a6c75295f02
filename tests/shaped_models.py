"""Tiny random VisionTransformers of every kind that can be rewritten for a runtime."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from export.models.architecture import create
from export.models.weights.randomise import randomise

SMALL: dict[str, Any] = {
    "img_size": 28,
    "patch_size": 7,
    "embed_dim": 48,
    "depth": 2,
    "num_heads": 3,
    "num_classes": 10,
}
VIT, DEIT = "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"

# kind: (timm's name, arguments beside `SMALL`)
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "class token": (VIT, {}),
    "distillation token": (DEIT, {}),
    "distilled features": (DEIT, {"num_classes": 0}),
    "class token and mean": ("vit_class_and_mean", {"reg_tokens": 2}),
    "registers and LayerScale, features": (VIT, {"reg_tokens": 3, "init_values": 0.01, "num_classes": 0}),
    "positions of patches alone": (VIT, {"no_embed_class": True, "init_values": 0.1}),
    "normalised queries and keys": (VIT, {"qk_norm": True, "init_values": 0.1}),
    "mean": (VIT, {"global_pool": "avg", "class_token": False}),
    "mean after the norm": (VIT, {"global_pool": "avg", "fc_norm": False, "reg_tokens": 2}),
    "mean with the prefix": (VIT, {"global_pool": "avg", "pool_include_prefix": True}),
    "mean, features": (VIT, {"global_pool": "avg", "num_classes": 0}),
    "norm after pooling": (VIT, {"fc_norm": True}),
    "norm before the blocks, quick GELU": (VIT, {"pre_norm": True, "act_layer": "quick_gelu"}),
    "tanh GELU, no bias of queries": (VIT, {"act_layer": "gelu_tanh", "qkv_bias": False}),
    "no last norm": (VIT, {"final_norm": False}),
    "no positions": (VIT, {"pos_embed": "none"}),
    "not square, no bias of projections": (VIT, {"img_size": (28, 35), "proj_bias": False}),
    "any image size": (VIT, {"dynamic_img_size": True}),
}


@lru_cache(maxsize=32)
def model(kind: str) -> tuple[nn.Module, Tensor]:
    """Return a module in float32 and an image `[1, 3, H, W]`; not to be changed."""
    name, arguments = KINDS[kind]
    chosen = SMALL | arguments
    module = randomise(create(name, chosen).eval(), seed=1).requires_grad_(False)
    size = chosen["img_size"]
    height, width = size if isinstance(size, tuple) else (size, size)
    return module, torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
