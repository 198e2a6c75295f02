"""ONNX nodes for dynamic quantization: activations quantized at run time, products of 8-bit integers."""

from onnx import NodeProto, TensorProto, helper

from export.conversion.onnx.graph import Editor, to_numpy, unsigned_codes
from export.quantization.layers.modules import QuantLayer, QuantLinear
from export.quantization.layers.quantizers import Dynamic

DYNAMIC_QUANTIZE = "DynamicQuantizeLinear"  # to 8 bits, with one scale and zero point for the whole tensor
BITS = 8


def is_dynamic(layer: QuantLayer) -> bool:
    """Tell whether the file quantizes a layer's input to 8 bits at run time: as the recipe does, in linear layers."""
    return isinstance(layer, QuantLinear) and isinstance(layer.input, Dynamic) and layer.input.bits == BITS


def write_dynamic(editor: Editor, node: NodeProto, layer: QuantLinear, name: str) -> str:
    """Replace a MatMul or Gemm by a product of integers; return the type that the weight is stored in.

    The nodes are those that ONNX Runtime fuses into one. The recipe has one scale per token, these have one per tensor.
    """
    codes, scale, zero_point = _add_dynamic_quantize(editor, node.input[0])
    quantized, zero_points = unsigned_codes(layer.weight)
    inputs = [
        codes,
        editor.constant(f"{name}.weight_transposed", quantized.T.copy()),
        zero_point,
        editor.constant(f"{name}.zero_point", zero_points),
    ]
    sums = editor.add("MatMulInteger", inputs, f"{name}.sums")
    total = editor.add("Cast", [sums], f"{name}.total", to=TensorProto.FLOAT)
    unit = editor.add("Mul", [scale, editor.constant(f"{name}.scale", to_numpy(layer.weight.scale))], f"{name}.unit")
    last = ("Mul", [total, unit])
    if node.op_type == "Gemm" and len(node.input) == 3:
        last = ("Add", [editor.add(*last, f"{name}.product"), node.input[2]])
    node.CopyFrom(helper.make_node(*last, node.output, node.name))
    return "uint8"


def _add_dynamic_quantize(editor: Editor, tensor: str) -> list[str]:
    """Return codes, scale and zero point of a tensor; layers that share their input share these."""
    outputs = [f"{tensor}.{part}" for part in ("codes", "scale", "zero_point")]
    if not any(list(node.output) == outputs for node in editor.nodes):
        editor.nodes.append(helper.make_node(DYNAMIC_QUANTIZE, [tensor], outputs, outputs[0]))
    return outputs
