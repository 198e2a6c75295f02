"""TensorFlow → .tflite with a recipe's own integers, or floats; LiteRT rounds activations by scales of its own."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from export.conversion.converter_process import Converter
from export.conversion.coverage import (
    QuantizationCoverage,
    coverage_of,
    keeping_float,
    rounding_layers,
    weighted_layers,
)
from export.conversion.litert.integers import TfliteWeight, run_tflite, write_tflite
from export.core.figures.fidelity import Comparison, compare
from export.quantization.layers.modules import QuantConv2d, QuantLinear

MODEL = "model.tflite"


def to_tflite(
    tools: Converter,
    module: nn.Module,
    saved_model: Path,
    golden_inputs: NDArray[np.float32],
    folder: Path,
    *,
    name: str,
) -> tuple[Comparison, QuantizationCoverage]:
    """Write `folder/model.tflite`: `pixels` float32 [1, H, W, 3] → `logits` float32 [1, K].

    `module` is quantized or float, `saved_model` is `to_tf`'s of it `dequantized`; `golden_inputs` is [n, 3, H, W].
    Where the recipe rounds a layer's activations, LiteRT does so at run time, to 8 bits; attention's products stay
    float. The parent in the comparison is the module with float activations. Raises `ConversionError` when a tool
    fails or the bytes are not the recipe's integers.
    """
    weights = [_integers(layer, named) for named, layer in weighted_layers(module).items()]
    target = (folder / MODEL).absolute()
    tools.run(write_tflite, saved_model.absolute(), target, weights)
    child = tools.run(run_tflite, target, golden_inputs)
    rounded = {weight.layer for weight in weights if weight.rounds_input}
    rounding = rounding_layers(module)
    found = coverage_of(
        {weight.layer: f"int{weight.bits}" for weight in weights},
        {layer: "runtime" if layer in rounded else "float32" for layer in rounding},
    )
    with torch.no_grad():
        plain = keeping_float(module, dict.fromkeys(rounding, "float32"))
        parent = plain(torch.from_numpy(golden_inputs)).numpy()
    edge = "weights" if found.compute_dtype == "float32" else "activations"
    whose, kind = ("safetensors", "integers") if weights else ("torch", "floats")
    return compare(parent, child, edge=edge, parent=whose, subject=f"{name}: LiteRT with {kind}"), found


def _integers(layer: QuantLinear | QuantConv2d, name: str) -> TfliteWeight:
    """Return a layer's weight as .tflite holds it: channels last, and no zero points where the values fit in int8."""
    weight = layer.weight
    quantized = weight.quantized.numpy()
    zero_point = np.zeros(len(quantized), np.int64)
    if weight.zero_point is not None and np.abs(quantized).max() > 127:
        zero_point = weight.zero_point.numpy().astype(np.int64) - 128
        quantized = weight.codes().numpy().astype(np.float32) - 128
    stored = np.ascontiguousarray(np.moveaxis(quantized, 1, -1), np.int8)
    bits = 4 if stored.min() >= -8 and stored.max() <= 7 and weight.bits <= 4 else 8
    # LiteRT multiplies no integers that have zero points, but makes floats of them when it loads the file.
    rounds_input = layer.input is not None and not zero_point.any()
    return TfliteWeight(name, stored, weight.scale.numpy(), zero_point, bits, rounds_input)
