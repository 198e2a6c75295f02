"""Tiny random ViTs in our engine: quantized, written as its file, and run in every build that this machine can run."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from engine_builds import compiled
from numpy.typing import NDArray
from safetensors import safe_open
from tiny import tiny
from torch import Tensor, nn

from export.conversion.converter_process import run_node
from export.conversion.engine.compile import Build
from export.conversion.engine.export import to_engine
from export.models.weights.randomise import randomise
from export.quantization.calibration.calibrate import calibrate
from export.quantization.integer_file import QuantizedModel
from export.quantization.recipes import Recipe, find_recipe

ENGINE_TESTS = Path(__file__).parents[1] / "engine"
EMULATION = ENGINE_TESTS / "emulated_dot.h"
# Builds that do as other machines' dot product does, with whatever this machine has: their instruction set, and what
# it takes activations for.
EMULATED = {
    "signed": ("RELAXED", "ACT_INT8"),
    "unsigned": ("RELAXED", "ACT_UINT8"),
    "unsigned-pairs": ("PAIRS", "ACT_UINT8"),
}
SIZE = 28
BASE: dict[str, Any] = {"img_size": SIZE, "patch_size": 7, "embed_dim": 48, "depth": 2, "num_heads": 3}
IMAGES, CALIBRATED = 2, 16


def emulations(sources: tuple[Path, ...] = ()) -> tuple[Build, ...]:
    """Return the builds that emulate a dot product, with further sources."""
    return tuple(
        Build(f"vit-{kind}.wasm", isa, False, sources, EMULATION, (f"EMULATED_ACTS={acts}",))
        for kind, (isa, acts) in EMULATED.items()
    )


@lru_cache(maxsize=1)
def all_builds() -> Path:
    """Return a folder of the engine's own builds and those that emulate."""
    return compiled("engine", emulations(), own=True)


@lru_cache(maxsize=1)
def kernel_builds() -> Path:
    """Return a folder of builds whose kernels can be called."""
    sources = (ENGINE_TESTS / "kernels.c",)
    return compiled("kernels", (Build("vit-plain.wasm", "PLAIN", False, sources), *emulations(sources)))


@dataclass(frozen=True)
class Quantized:
    """A float model, its quantized module, and the engine's file of it with images `[n, 3, H, W]` to run."""

    recipe: Recipe
    float_module: nn.Module
    module: nn.Module
    file: Path
    images: Tensor


def quantized(name: str, arguments: dict[str, Any], recipe: str | Recipe, folder: Path) -> Quantized:
    """Quantize timm's `name`, tiny and random, and write the engine's file."""
    module = make(name, arguments)
    chosen = find_recipe(recipe) if isinstance(recipe, str) else recipe
    height, width = module.patch_embed.img_size  # type: ignore[union-attr, misc]
    images = torch.randn(CALIBRATED, 3, height, width, generator=torch.Generator().manual_seed(2))  # type: ignore[arg-type]
    made = calibrate(module, chosen, images)
    file = folder / "model.vit"
    to_engine(QuantizedModel(tiny("vit")[0], chosen, made), file)
    return Quantized(chosen, module, made, file, images[:IMAGES])


def make(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Return timm's model, tiny but for what the arguments say."""
    chosen = BASE | {"num_classes": 10} | arguments
    module: nn.Module = timm.create_model(name, pretrained=False, **chosen)
    return randomise(module.eval(), seed=1).requires_grad_(False)


def run_of(file: Path) -> int:
    """Return for how many steps of 16-bit sums the file says that its weights leave room."""
    with safe_open(file, "numpy") as opened:
        return int(json.loads(opened.metadata()["plan"])["run"])


def run_modes(file: Path, images: Tensor, modes: list[tuple[str | None, int]], folder: Path) -> NDArray[np.float32]:
    """Return the outputs `[modes, n, K]` of the engine, in builds (None: this device's) with so many threads."""
    values = np.ascontiguousarray(images.numpy().transpose(0, 2, 3, 1), "<f4")
    source, target, log = folder / "images.f32", folder / "outputs.f32", folder / "log"
    values.tofile(source)
    request = {
        "model": str(file),
        "wasm": str(all_builds()),
        "inputs": str(source),
        "size": values[0].size,
        "output": str(target),
        "modes": [{"build": build, "threads": threads} for build, threads in modes],
    }
    (folder / "request.json").write_text(json.dumps(request))
    run_node(ENGINE_TESTS / "run_modes.mjs", [str(folder / "request.json")], log)
    return np.fromfile(target, "<f4").reshape(len(modes), len(values), -1)
