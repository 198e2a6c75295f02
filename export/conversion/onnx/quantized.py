"""Float ONNX → ONNX that holds a recipe's own integers and rounds activations by its scales, or at run time."""

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from export.conversion.coverage import QuantizationCoverage, keeping_float, weighted_layers
from export.conversion.onnx.export import MODEL, run_onnx
from export.conversion.onnx.qdq_nodes import insert_integers
from export.core.errors import ConversionError
from export.core.figures.fidelity import Comparison, compare


def to_qdq(
    module: nn.Module, onnx_model: Path, golden_inputs: NDArray[np.float32], folder: Path, *, name: str
) -> tuple[Comparison, QuantizationCoverage]:
    """Write `folder/model.onnx`: `pixels` float32 [1, 3, H, W] → `logits` float32 [1, K].

    `module` is quantized, `onnx_model` is `to_onnx`'s of it `dequantized`; `golden_inputs` is [n, 3, H, W]. Where the
    recipe rounds the activations of linear layers at run time, ONNX Runtime does so with one scale per tensor. The
    parent in the comparison is the module, its activations in float where the record says that the file's are. Raises
    `ConversionError` when the two do not belong together or the bytes are not the recipe's integers.
    """
    graph = onnx.load(str(onnx_model))
    found = insert_integers(graph, module)
    try:
        onnx.checker.check_model(graph)
    except onnx.checker.ValidationError as error:
        raise ConversionError(f"{name}: the graph with integers is not a valid ONNX model: {error}") from error
    onnx.save(graph, str(folder / MODEL))
    check_integers(folder / MODEL, module)
    with torch.no_grad():
        parent = keeping_float(module, found.activations)(torch.from_numpy(golden_inputs)).numpy()
    edge = "weights" if found.compute_dtype == "float32" else "activations"
    child = run_onnx(folder / MODEL, golden_inputs)
    subject = f"{name}: ONNX with integers"
    return compare(parent, child, edge=edge, parent="safetensors", subject=subject), found


def check_integers(path: Path, module: nn.Module) -> None:
    """Prove from the bytes that quantized values and scales are the recipe's, bit for bit.

    Raises `ConversionError` naming the first layer of which they are not.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(str(path)).graph.initializer}
    for name, layer in weighted_layers(module).items():
        quantized, scale = read_quantized(constants, name, layer.weight.quantized.shape[1])
        if not np.array_equal(quantized, layer.weight.quantized.numpy()) or not np.array_equal(
            scale, layer.weight.scale.numpy()
        ):
            raise ConversionError(f"{path}: the integers of {name} differ from those of the quantized model")


def read_quantized(
    constants: dict[str, NDArray[np.generic]], name: str, columns: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return a layer's quantized values `[out, in, …]` and scales `[out]` from a file's constants.

    `columns` is the size of their second axis. Raises `ConversionError` where there are none.
    """
    scale = constants[f"{name}.scale"].astype(np.float32)
    if f"{name}.weight_blocks" in constants:
        packed = constants[f"{name}.weight_blocks"].astype(np.int64)
        codes = np.stack([packed & 15, packed >> 4], axis=-1).reshape(len(packed), -1)
        scales = scale.reshape(len(packed), -1)
        if (scales != scales[:, :1]).any():
            raise ConversionError(f"the blocks of a row of {name} have different scales")
        return codes[:, :columns] - 8, scales[:, 0]
    turned = constants.get(f"{name}.weight_transposed")
    stored = constants.get(f"{name}.weight") if turned is None else turned.T
    if stored is None or not np.issubdtype(stored.dtype, np.integer):
        raise ConversionError(f"the file has no integers of {name}")
    points = constants.get(f"{name}.zero_point", np.zeros(1)).astype(np.int64)
    return stored.astype(np.int64) - points.reshape(-1, *[1] * (stored.ndim - 1)), scale.reshape(-1)
