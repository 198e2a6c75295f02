"""Quantized models for the formats that hold integers: the embedded one, and tiny random members of the families."""

from pathlib import Path

import numpy as np
import torch
from families import tiny
from numpy.typing import NDArray
from torch import nn

from export.conversion.converter_process import ConverterProcess
from export.conversion.onnx.export import MODEL, to_onnx
from export.conversion.tensorflow import SAVED_MODEL, to_tf
from export.data.synthetic import golden_inputs
from export.models.choice.request import ModelRequest
from export.models.load import load
from export.quantization.calibration.assemble import dequantized
from export.quantization.calibration.calibrate import calibrate
from export.quantization.integer_file import QuantizedModel, load_quantized, write_quantized
from export.quantization.recipes import find_recipe


def quantized(model: str, recipe: str, folder: Path) -> tuple[nn.Module, NDArray[np.float32]]:
    """Return a quantized module and golden inputs; the embedded model as its file gives it back."""
    numbers = find_recipe(recipe)
    if model != "fashion":
        module, inputs, _ = tiny(model)
        return calibrate(module, numbers, torch.from_numpy(inputs)), inputs
    spec, module = load(ModelRequest(model="fashion", weights=None, checkpoint=None, labels=None))
    inputs = golden_inputs(spec)
    made = calibrate(module, numbers, torch.from_numpy(inputs))
    write_quantized(QuantizedModel(spec, numbers, made), folder / "model.safetensors")
    return load_quantized(folder / "model.safetensors").module, inputs


def float_onnx(module: nn.Module, inputs: NDArray[np.float32], folder: Path) -> Path:
    """Write the quantized module's float ONNX and return its path."""
    plain = dequantized(module)
    folder.mkdir(exist_ok=True)
    with torch.no_grad():
        outputs = plain(torch.from_numpy(inputs)).numpy()
    to_onnx(plain, inputs, outputs, folder, name="float", log=folder / "log")
    return folder / MODEL


def saved_model(tools: ConverterProcess, module: nn.Module, inputs: NDArray[np.float32], folder: Path) -> Path:
    """Write the quantized module's float SavedModel and return its path."""
    to_tf(tools, float_onnx(module, inputs, folder), inputs, folder, name="float")
    return folder / SAVED_MODEL
