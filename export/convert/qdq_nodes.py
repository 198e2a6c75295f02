"""An ONNX graph of float layers rewritten to hold a recipe's own integers, layer by layer.

The nodes are made here: the quantization tool of ONNX Runtime knows one scale per tensor, not one per consumer, neither
activations of fewer than 8 bits nor weights of 3, 5, 6 and 7.
"""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from export.convert.held import Held, held, rounding_layers
from export.errors import ConversionError
from export.quant.layers import Product, QuantConv2d, QuantLayer, QuantLinear, Weight
from export.quant.quantizers import Quantizer, Uniform

MICROSOFT = "com.microsoft"
MULTIPLYING = ("MatMul", "Gemm", "Conv")
BLOCKS = (16, 32, 64, 128, 256)  # how many weights MatMulNBits lets share a scale
FLOAT_ACTIVATIONS = 1  # MatMulNBits' accuracy_level; 4 and its default may round activations
MIDDLE = 128  # the code of 0: kernels for unsigned codes do not saturate their 16-bit sums, those for signed do on AVX2


class Editor:
    """A graph while it is rewritten: nodes in order of computation and constants by name."""

    def __init__(self, graph: GraphProto) -> None:
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.nodes: list[NodeProto] = []
        self.readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for tensor in node.input:
                self.readers.setdefault(tensor, []).append(node)

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add a constant and return its name."""
        self.constants[name] = value
        return name

    def add(self, kind: str, inputs: list[str], output: str, **attributes: int) -> str:
        """Add a node that comes before those to be added, and return its output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output


def rewrite(model: onnx.ModelProto, module: nn.Module) -> Held:
    """Put the integers of a quantized module in the place of its float weights, in place; say what is held.

    The model is `to_onnx`'s of the `dequantized` module. Raises `ConversionError` for a layer that it lacks or whose
    weight is another.
    """
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, QuantLayer)}
    layers = {name: layer for name, layer in layers.items() if not isinstance(layer, Product) or layer.left is not None}
    editor = Editor(model.graph)
    weights: dict[str, str] = {}
    activations = {
        name: "recipe" if _is_expressible(layer) else "float32" for name, layer in rounding_layers(module).items()
    }
    for node in model.graph.node:
        name = layer_of(node.name)
        layer = layers.pop(name, None) if node.op_type in MULTIPLYING else None
        if isinstance(layer, QuantLinear | QuantConv2d):
            _check(editor, node, layer.weight, name)
            write = _write_rounding if activations.get(name) == "recipe" else _write_float
            weights[name] = write(editor, node, layer, name)
        elif isinstance(layer, Product) and activations[name] == "recipe":
            for index, quantizer in enumerate((layer.left, layer.right)):
                node.input[index] = _round(editor, node.input[index], quantizer, f"{name}.{('left', 'right')[index]}")
        editor.nodes.append(node)
    if layers:
        raise ConversionError(f"the ONNX model lacks layers of the quantized model: {sorted(layers)[:5]}")
    _replace(model, editor)
    return held(weights, activations)


def layer_of(node: str) -> str:
    """Return the module path of a node's name: `/blocks/blocks.0/attn/qkv/MatMul` is of `blocks.0.attn.qkv`."""
    path: list[str] = []
    for part in node.strip("/").split("/")[:-1]:
        if path and part.startswith(path[-1] + "."):
            path.pop()  # the container, which its member names again
        path.append(part)
    return ".".join(path)


def _is_expressible(layer: QuantLayer) -> bool:
    """Whether one scale and an 8-bit zero point say how activations are rounded.

    Scales per head do not: QuantizeLinear takes them along an axis, but ONNX Runtime then fuses it into a product that
    fails for them. Nor do scales that are found at run time per token, or two for one tensor.
    """
    wanted = (layer.left, layer.right) if isinstance(layer, Product) else (getattr(layer, "input", None),)
    return all(
        isinstance(found, Uniform) and found.scale.ndim == 0 and 0 <= found.zero_point.item() <= 255 for found in wanted
    )


def _check(editor: Editor, node: NodeProto, weight: Weight, name: str) -> None:
    values = weight.dequantized().cpu().numpy()
    found = editor.constants.get(node.input[1])
    if found is None or not np.array_equal(found, _turn(node, values)):
        raise ConversionError(
            f"{name}: the ONNX model's weight is not that of the quantized model", hint="make both again"
        )


def _write_rounding(editor: Editor, node: NodeProto, layer: QuantLinear | QuantConv2d, name: str) -> str:
    """Round the input and multiply integers: ONNX Runtime fuses DequantizeLinear into products and convolutions."""
    codes, zero_points = _codes(layer.weight)
    inputs = [
        _store(editor, node, codes, name),
        editor.constant(f"{name}.scale", _array(layer.weight.scale)),
        editor.constant(f"{name}.zero_point", zero_points),
    ]
    node.input[0] = _round(editor, node.input[0], layer.input, f"{name}.input")
    axis = 1 if _is_turned(node) else 0
    node.input[1] = editor.add("DequantizeLinear", inputs, f"{name}.dequantized", axis=axis)
    if node.op_type == "MatMul":
        _lift_bias(editor, node, name)
    elif node.op_type == "Gemm":
        _round_bias(editor, node, layer, name)
    return "uint8"


def _write_float(editor: Editor, node: NodeProto, layer: QuantLinear | QuantConv2d, name: str) -> str:
    """Keep activations in float: 4-bit products where the levels fit, else integers that become float when loaded."""
    weight = layer.weight
    if isinstance(layer, QuantLinear) and weight.bits <= 4 and weight.zero_point is None:
        _write_blocks(editor, node, layer, name)
        return "uint4"
    levels = _array(weight.levels)
    column = (-1, *[1] * (levels.ndim - 1))
    stored: NDArray[Any] = levels.astype(np.int8)
    zero_points = None
    if not np.array_equal(stored, levels):
        stored, zero_points = _codes(weight)
    # Cast and Mul, not DequantizeLinear: ONNX Runtime computes these once when it loads the file, but would run the
    # latter every time, or fuse it into a product that rounds the activations as well.
    value = editor.add("Cast", [_store(editor, node, stored, name)], f"{name}.float", to=TensorProto.FLOAT)
    if zero_points is not None:
        points = _turn(node, zero_points.astype(np.float32).reshape(column))
        value = editor.add("Sub", [value, editor.constant(f"{name}.zero_point", points)], f"{name}.levels")
    scale = editor.constant(f"{name}.scale", _turn(node, _array(weight.scale).reshape(column)))
    node.input[1] = editor.add("Mul", [value, scale], f"{name}.dequantized")
    return str(stored.dtype)


def _write_blocks(editor: Editor, node: NodeProto, layer: QuantLinear, name: str) -> None:
    """Make the product one of 4-bit codes 0 … 15, 8 being 0; every block of a row has the row's scale."""
    codes = (_array(layer.weight.levels) + 8).astype(np.uint8)
    rows, columns = codes.shape
    size = min(BLOCKS, key=lambda size: -(-columns // size) * (size // 2 + 4))
    blocks = -(-columns // size)
    codes = np.pad(codes, ((0, 0), (0, blocks * size - columns)), constant_values=8).reshape(rows, blocks, size)
    inputs = [
        node.input[0],
        editor.constant(f"{name}.weight_blocks", codes[..., ::2] | codes[..., 1::2] << 4),
        editor.constant(f"{name}.scale", np.repeat(_array(layer.weight.scale), blocks)),
    ]
    if node.op_type == "Gemm" and len(node.input) == 3:
        inputs += ["", "", node.input[2]]
    attributes = {"K": columns, "N": rows, "bits": 4, "block_size": size, "accuracy_level": FLOAT_ACTIVATIONS}
    made = helper.make_node("MatMulNBits", inputs, node.output, node.name, domain=MICROSOFT, **attributes)
    node.CopyFrom(made)


def _round(editor: Editor, tensor: str, quantizer: Quantizer | None, name: str) -> str:
    """Return the name of the tensor rounded as the quantizer does."""
    assert isinstance(quantizer, Uniform)
    low, high = (bound.item() * quantizer.scale.numpy() for bound in quantizer.bounds())
    zero = MIDDLE if quantizer.signed else int(quantizer.zero_point)
    if quantizer.bits < 8:
        bounds = [editor.constant(f"{name}.low", low), editor.constant(f"{name}.high", high)]
        tensor = editor.add("Clip", [tensor, *bounds], f"{name}.clipped")
    scale = editor.constant(f"{name}.scale", _array(quantizer.scale))
    zero_point = editor.constant(f"{name}.zero_point", np.array(zero, np.uint8))
    codes = editor.add("QuantizeLinear", [tensor, scale, zero_point], f"{name}.codes")
    return editor.add("DequantizeLinear", [codes, scale, zero_point], f"{name}.rounded")


def _lift_bias(editor: Editor, node: NodeProto, name: str) -> None:
    """Give a bias that is added behind a product three axes: of one, ONNX Runtime makes a Gemm that multiplies floats.

    The product's input has at least three, for those with two are exported as Gemm.
    """
    for reader in editor.readers.get(node.output[0], []):
        for index, tensor in enumerate(reader.input):
            value = editor.constants.get(tensor)
            if reader.op_type == "Add" and value is not None and value.ndim == 1:
                reader.input[index] = editor.constant(f"{name}.bias", value[None, None])


def _round_bias(editor: Editor, node: NodeProto, layer: QuantLinear | QuantConv2d, name: str) -> None:
    """Round a Gemm's bias to the unit of its sums, without which the products are not fused; where int32 holds it."""
    assert isinstance(layer.input, Uniform)
    if len(node.input) < 3:
        return
    scale = _array(layer.input.scale * layer.weight.scale)
    levels = np.rint(editor.constants[node.input[2]].astype(np.float64) / scale)
    if np.abs(levels).max() < 2**31:
        inputs = [
            editor.constant(f"{name}.bias", levels.astype(np.int32)),
            editor.constant(f"{name}.bias_scale", scale),
            editor.constant(f"{name}.bias_zero_point", np.zeros(len(scale), np.int32)),
        ]
        node.input[2] = editor.add("DequantizeLinear", inputs, f"{name}.bias_dequantized", axis=0)


def _is_turned(node: NodeProto) -> bool:
    """Whether a node takes its weight as [in, out]."""
    return bool(node.op_type == "MatMul")


def _turn(node: NodeProto, values: NDArray[Any]) -> NDArray[Any]:
    return values.T.copy() if _is_turned(node) else values


def _store(editor: Editor, node: NodeProto, values: NDArray[Any], name: str) -> str:
    return editor.constant(f"{name}.weight{'_transposed' if _is_turned(node) else ''}", _turn(node, values))


def _codes(weight: Weight) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return unsigned codes and their zero point per output channel; levels = codes - zero point."""
    if weight.zero_point is not None:
        return weight.codes().cpu().numpy(), _array(weight.zero_point).astype(np.uint8)
    codes = (_array(weight.levels) + MIDDLE).astype(np.uint8)
    return codes, np.full(len(codes), MIDDLE, np.uint8)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    values: NDArray[np.float32] = tensor.detach().cpu().numpy()
    return values


def _replace(model: onnx.ModelProto, editor: Editor) -> None:
    graph = model.graph
    used = {tensor for node in editor.nodes for tensor in node.input}
    kept = [numpy_helper.from_array(value, name) for name, value in editor.constants.items() if name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(editor.nodes)
    graph.initializer.extend(kept)
    if any(node.domain == MICROSOFT for node in editor.nodes):
        model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))
