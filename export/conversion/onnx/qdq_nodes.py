"""An ONNX graph of float layers rewritten to hold a recipe's own integers, layer by layer, as QDQ nodes where it can.

The nodes are created here: ONNX Runtime's quantization tool supports one scale per tensor, not one per consumer,
neither activations of fewer than 8 bits nor weights of 3, 5, 6 and 7.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper
from torch import nn

from export.conversion.coverage import QuantizationCoverage, coverage_of, rounding_layers
from export.conversion.onnx.dynamic_nodes import is_dynamic, write_dynamic
from export.conversion.onnx.graph import (
    MICROSOFT,
    UNSIGNED_ZERO_POINT,
    Editor,
    add_weight,
    in_node_layout,
    is_transposed,
    layer_name,
    to_numpy,
    unsigned_codes,
)
from export.core.errors import ConversionError
from export.quantization.layers.modules import Product, QuantConv2d, QuantLayer, QuantLinear, Weight
from export.quantization.layers.quantizers import Quantizer, Uniform

MULTIPLYING = ("MatMul", "Gemm", "Conv")
BLOCKS = (16, 32, 64, 128, 256)  # how many weights MatMulNBits lets share a scale
FLOAT_ACTIVATIONS = 1  # MatMulNBits' accuracy_level; 4 and its default may round activations


def insert_integers(model: onnx.ModelProto, module: nn.Module) -> QuantizationCoverage:
    """Replace the float weights of a model by the integers of a quantized module, in place; return the coverage.

    The model is `to_onnx`'s of the `dequantized` module. Raises `ConversionError` for a layer that it lacks or whose
    weight is not the module's.
    """
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, QuantLayer)}
    layers = {name: layer for name, layer in layers.items() if not isinstance(layer, Product) or layer.left is not None}
    editor = Editor(model.graph)
    weights: dict[str, str] = {}
    activations = {name: _activation_coverage(layer) for name, layer in rounding_layers(module).items()}
    for node in model.graph.node:
        name = layer_name(node.name)
        layer = layers.pop(name, None) if node.op_type in MULTIPLYING else None
        if isinstance(layer, QuantLinear | QuantConv2d):
            _check(editor, node, layer.weight, name)
            weights[name] = WRITERS[activations.get(name, "float32")](editor, node, layer, name)
        elif isinstance(layer, Product) and activations[name] == "recipe":
            for index, quantizer in enumerate((layer.left, layer.right)):
                node.input[index] = _add_qdq(editor, node.input[index], quantizer, f"{name}.{('left', 'right')[index]}")
        editor.nodes.append(node)
    if layers:
        raise ConversionError(f"the ONNX model lacks layers of the quantized model: {sorted(layers)[:5]}")
    editor.write(model)
    return coverage_of(weights, activations)


def _activation_coverage(layer: QuantLayer) -> str:
    """Return how the file quantizes a layer's activations: see `QuantizationCoverage`.

    As the recipe does with one scale and an 8-bit zero point. Not with scales per head: QuantizeLinear takes them along
    an axis, but ONNX Runtime then fuses it into a product that fails for them. Nor with twin ranges.
    """
    quantizers = (layer.left, layer.right) if isinstance(layer, Product) else (getattr(layer, "input", None),)
    if all(
        isinstance(quantizer, Uniform) and quantizer.scale.ndim == 0 and 0 <= quantizer.zero_point.item() <= 255
        for quantizer in quantizers
    ):
        return "recipe"
    return "runtime_tensor" if is_dynamic(layer) else "float32"


def _check(editor: Editor, node: NodeProto, weight: Weight, name: str) -> None:
    values = weight.dequantized().cpu().numpy()
    value = editor.constants.get(node.input[1])
    if value is None or not np.array_equal(value, in_node_layout(node, values)):
        raise ConversionError(
            f"{name}: the ONNX model's weight is not that of the quantized model", hint="build both again with --force"
        )


def _write_qdq(editor: Editor, node: NodeProto, layer: QuantLinear | QuantConv2d, name: str) -> str:
    """Quantize the input and multiply integers: ONNX Runtime fuses DequantizeLinear into products and convolutions."""
    codes, zero_points = unsigned_codes(layer.weight)
    inputs = [
        add_weight(editor, node, codes, name),
        editor.constant(f"{name}.scale", to_numpy(layer.weight.scale)),
        editor.constant(f"{name}.zero_point", zero_points),
    ]
    node.input[0] = _add_qdq(editor, node.input[0], layer.input, f"{name}.input")
    axis = 1 if is_transposed(node) else 0
    node.input[1] = editor.add("DequantizeLinear", inputs, f"{name}.dequantized", axis=axis)
    if node.op_type == "MatMul":
        _lift_bias(editor, node, name)
    elif node.op_type == "Gemm":
        _quantize_bias(editor, node, layer, name)
    return "uint8"


def _write_float(editor: Editor, node: NodeProto, layer: QuantLinear | QuantConv2d, name: str) -> str:
    """Keep activations in float: 4-bit products where weights fit, else integers that are dequantized on loading."""
    weight = layer.weight
    if isinstance(layer, QuantLinear) and weight.bits <= 4 and weight.zero_point is None:
        _write_blocks(editor, node, layer, name)
        return "uint4"
    quantized = to_numpy(weight.quantized)
    column = (-1, *[1] * (quantized.ndim - 1))
    stored: NDArray[Any] = quantized.astype(np.int8)
    zero_points = None
    if not np.array_equal(stored, quantized):
        stored, zero_points = unsigned_codes(weight)
    # Cast and Mul, not DequantizeLinear: ONNX Runtime computes these once when it loads the file, but would run the
    # latter every time, or fuse it into a product that rounds the activations as well.
    value = editor.add("Cast", [add_weight(editor, node, stored, name)], f"{name}.float", to=TensorProto.FLOAT)
    if zero_points is not None:
        points = in_node_layout(node, zero_points.astype(np.float32).reshape(column))
        value = editor.add("Sub", [value, editor.constant(f"{name}.zero_point", points)], f"{name}.quantized")
    scale = editor.constant(f"{name}.scale", in_node_layout(node, to_numpy(weight.scale).reshape(column)))
    node.input[1] = editor.add("Mul", [value, scale], f"{name}.dequantized")
    return str(stored.dtype)


def _write_blocks(editor: Editor, node: NodeProto, layer: QuantLinear, name: str) -> None:
    """Replace the product by one of 4-bit codes 0 … 15, zero point 8; every block of a row has the row's scale."""
    codes = (to_numpy(layer.weight.quantized) + 8).astype(np.uint8)
    rows, columns = codes.shape
    size = min(BLOCKS, key=lambda size: -(-columns // size) * (size // 2 + 4))
    blocks = -(-columns // size)
    codes = np.pad(codes, ((0, 0), (0, blocks * size - columns)), constant_values=8).reshape(rows, blocks, size)
    inputs = [
        node.input[0],
        editor.constant(f"{name}.weight_blocks", codes[..., ::2] | codes[..., 1::2] << 4),
        editor.constant(f"{name}.scale", np.repeat(to_numpy(layer.weight.scale), blocks)),
    ]
    if node.op_type == "Gemm" and len(node.input) == 3:
        inputs += ["", "", node.input[2]]
    attributes = {"K": columns, "N": rows, "bits": 4, "block_size": size, "accuracy_level": FLOAT_ACTIVATIONS}
    product = helper.make_node("MatMulNBits", inputs, node.output, node.name, domain=MICROSOFT, **attributes)
    node.CopyFrom(product)


def _add_qdq(editor: Editor, tensor: str, quantizer: Quantizer | None, name: str) -> str:
    """Return the name of the tensor quantized and dequantized as the quantizer does (QDQ)."""
    assert isinstance(quantizer, Uniform)
    low, high = (bound.item() * quantizer.scale.numpy() for bound in quantizer.bounds())
    zero_point_value = UNSIGNED_ZERO_POINT if quantizer.signed else int(quantizer.zero_point)
    if quantizer.bits < 8:
        bounds = [editor.constant(f"{name}.low", low), editor.constant(f"{name}.high", high)]
        tensor = editor.add("Clip", [tensor, *bounds], f"{name}.clipped")
    scale = editor.constant(f"{name}.scale", to_numpy(quantizer.scale))
    zero_point = editor.constant(f"{name}.zero_point", np.array(zero_point_value, np.uint8))
    codes = editor.add("QuantizeLinear", [tensor, scale, zero_point], f"{name}.codes")
    return editor.add("DequantizeLinear", [codes, scale, zero_point], f"{name}.rounded")


def _lift_bias(editor: Editor, node: NodeProto, name: str) -> None:
    """Give a bias that is added to a product three axes: with one, ONNX Runtime fuses a Gemm that multiplies floats.

    The product's input has at least three, for those with two are exported as Gemm.
    """
    for reader in editor.readers.get(node.output[0], []):
        for index, tensor in enumerate(reader.input):
            value = editor.constants.get(tensor)
            if reader.op_type == "Add" and value is not None and value.ndim == 1:
                reader.input[index] = editor.constant(f"{name}.bias", value[None, None])


def _quantize_bias(editor: Editor, node: NodeProto, layer: QuantLinear | QuantConv2d, name: str) -> None:
    """Quantize a Gemm's bias to int32 by the scale of its sums, without which it is not fused; where int32 holds it."""
    assert isinstance(layer.input, Uniform)
    if len(node.input) < 3:
        return
    scale = to_numpy(layer.input.scale * layer.weight.scale)
    quantized = np.rint(editor.constants[node.input[2]].astype(np.float64) / scale)
    if np.abs(quantized).max() < 2**31:
        inputs = [
            editor.constant(f"{name}.bias", quantized.astype(np.int32)),
            editor.constant(f"{name}.bias_scale", scale),
            editor.constant(f"{name}.bias_zero_point", np.zeros(len(scale), np.int32)),
        ]
        node.input[2] = editor.add("DequantizeLinear", inputs, f"{name}.bias_dequantized", axis=0)


WRITERS: dict[str, Callable[[Editor, NodeProto, Any, str], str]] = {
    "recipe": _write_qdq,
    "runtime_tensor": write_dynamic,
    "float32": _write_float,
}
