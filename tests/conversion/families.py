"""Tiny random members of every family, each carried once through the whole chain."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import nn

from export.conversion.converter_process import ConverterProcess
from export.conversion.onnx.export import MODEL, to_onnx
from export.conversion.tensorflow import SAVED_MODEL, to_tf
from export.conversion.tfjs.export import to_tfjs
from export.conversion.tfjs.graph_model import STORAGES, Stored
from export.core.figures.fidelity import Comparison
from export.models.weights.randomise import randomise

# family: (input size, timm's name, arguments that make it tiny)
FAMILIES: dict[str, tuple[int, str, dict[str, Any]]] = {
    "vit": (28, "vit_tiny_patch16_224", {"patch_size": 7, "embed_dim": 48, "depth": 2, "num_classes": 10}),
    "deit": (48, "deit_tiny_patch16_224", {"embed_dim": 36, "depth": 1, "num_classes": 5}),
    "dino": (32, "vit_small_patch16_224.dino", {"patch_size": 8, "embed_dim": 48, "depth": 1, "num_classes": 0}),
    "swin": (
        56,
        "swin_tiny_patch4_window7_224",
        {"embed_dim": 16, "depths": (2, 1), "num_heads": (2, 4), "window_size": 7, "num_classes": 10},
    ),
    "resnet": (64, "resnet50", {"layers": (1, 1, 1, 1), "channels": (8, 12, 16, 20), "num_classes": 10}),
}
IMAGES = 4


@dataclass(frozen=True)
class Chain:
    """A model, its golden tensors and everything that was made of it."""

    module: nn.Module
    inputs: NDArray[np.float32]
    outputs: NDArray[np.float32]
    folder: Path
    comparisons: dict[str, Comparison]
    stored: dict[str, Stored]


def tiny(family: str) -> tuple[nn.Module, NDArray[np.float32], NDArray[np.float32]]:
    size, name, arguments = FAMILIES[family]
    if family != "resnet":
        arguments = arguments | {"img_size": size}
    module = randomise(timm.create_model(name, pretrained=False, **arguments).eval(), seed=1)
    inputs = np.random.default_rng(2).standard_normal((IMAGES, 3, size, size), dtype=np.float32)
    with torch.no_grad():
        return module, inputs, module(torch.from_numpy(inputs)).numpy()


def carry(family: str, tools: ConverterProcess, folder: Path) -> Chain:
    module, inputs, outputs = tiny(family)
    for name in ("onnx", "tf", *STORAGES):
        (folder / name).mkdir()
    found = {"onnx": to_onnx(module, inputs, outputs, folder / "onnx", name=family, log=tools.log)}
    found["tf"] = to_tf(tools, folder / "onnx" / MODEL, inputs, folder / "tf", name=family)
    stored = {}
    for recipe in STORAGES:
        saved_model = folder / "tf" / SAVED_MODEL
        (found[recipe],), stored[recipe] = to_tfjs(
            tools, saved_model, inputs, folder / recipe, recipe=recipe, name=family
        )
    return Chain(module, inputs, outputs, folder, found, stored)
