"""The float model as an artifact: spec, weights and golden inputs and outputs, from which every later stage starts."""

import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import nn

from export.core.records import ModelSpec
from export.models.architecture import create
from export.models.weights.undrawn import UndrawnWeights

SPEC, WEIGHTS, GOLDEN = "spec.json", "weights.safetensors", "golden.npz"


def write_model(spec: ModelSpec, module: nn.Module, inputs: NDArray[np.float32], folder: Path) -> None:
    """Write spec, float weights and the golden `inputs [n, 3, H, W]` with the module's outputs `[n, K]`."""
    (folder / SPEC).write_text(json.dumps(spec.to_json(), indent=1, ensure_ascii=False) + "\n", "utf-8")
    weights = {name: value.contiguous() for name, value in module.state_dict().items()}
    (folder / WEIGHTS).write_bytes(to_safetensors(weights))
    np.savez(folder / GOLDEN, inputs=inputs, outputs=run_model(module, inputs))


def read_model(folder: Path) -> tuple[ModelSpec, nn.Module]:
    """Rebuild the float module, in evaluation mode on the CPU, from its artifact alone."""
    spec = ModelSpec.read(folder / SPEC)
    with UndrawnWeights():
        module = create(spec.timm_name, spec.arguments)
    module.load_state_dict(load_file(folder / WEIGHTS))
    return spec, module.eval()


def read_golden(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the golden inputs `[n, 3, H, W]` and the float model's outputs `[n, K]`."""
    with np.load(folder / GOLDEN) as arrays:
        return arrays["inputs"], arrays["outputs"]


@torch.inference_mode()
def run_model(module: nn.Module, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """Run inputs `[n, 3, H, W]` one at a time, as a browser does, and return outputs `[n, K]`."""
    outputs = [module(torch.from_numpy(single[None])).float().numpy() for single in inputs]
    return np.concatenate(outputs)
