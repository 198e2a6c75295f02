"""Architectures that are small enough to compare within seconds, for entries of the catalog."""

from typing import Any

Kind = tuple[str, dict[str, Any]]
VIT: Kind = ("vit_tiny_patch16_224", {"img_size": 28, "patch_size": 7, "embed_dim": 24, "depth": 2, "num_heads": 3})
SWIN: Kind = (
    "swin_tiny_patch4_window7_224",
    {"img_size": 28, "patch_size": 2, "embed_dim": 12, "depths": (1, 1), "num_heads": (2, 4), "window_size": 7},
)
RESNET: Kind = ("resnet18", {"layers": [1, 1, 1, 1], "channels": [16, 16, 32, 32]})
CLASSES = ("0", "1", "2")
