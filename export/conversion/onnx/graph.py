"""An ONNX graph while it is rewritten, and a layer's integers in the layout of its node."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, helper, numpy_helper
from torch import Tensor

from export.quantization.layers.modules import Weight

MICROSOFT = "com.microsoft"
UNSIGNED_ZERO_POINT = 128  # kernels for unsigned codes do not saturate their int16 sums, those for signed do on AVX2


class Editor:
    """A graph while it is rewritten: `nodes` in order of computation, `constants` by name, `readers` by tensor."""

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
        """Append a node, named after its output, and return that output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def write(self, model: onnx.ModelProto) -> None:
        """Replace the model's nodes and constants, by those constants that the nodes read."""
        graph = model.graph
        used = {tensor for node in self.nodes for tensor in node.input}
        kept = [numpy_helper.from_array(value, name) for name, value in self.constants.items() if name in used]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(self.nodes)
        graph.initializer.extend(kept)
        if any(node.domain == MICROSOFT for node in self.nodes):
            model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))


def layer_name(node: str) -> str:
    """Return the layer's name in the module from a node's: `/blocks/blocks.0/attn/qkv/MatMul` → `blocks.0.attn.qkv`."""
    path: list[str] = []
    for part in node.strip("/").split("/")[:-1]:
        if path and part.startswith(path[-1] + "."):
            path.pop()  # the container, which its member names again
        path.append(part)
    return ".".join(path)


def is_transposed(node: NodeProto) -> bool:
    """Tell whether a node takes its weight as [in, out]."""
    return bool(node.op_type == "MatMul")


def in_node_layout(node: NodeProto, values: NDArray[Any]) -> NDArray[Any]:
    """Return a weight or its scales, output channels first, in the layout that the node takes."""
    return values.T.copy() if is_transposed(node) else values


def add_weight(editor: Editor, node: NodeProto, values: NDArray[Any], name: str) -> str:
    """Add a layer's integers, output channels first, in the node's layout; return the constant's name."""
    return editor.constant(f"{name}.weight{'_transposed' if is_transposed(node) else ''}", in_node_layout(node, values))


def unsigned_codes(weight: Weight) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return uint8 codes and zero point per output channel; quantized = codes - zero point."""
    if weight.zero_point is not None:
        return weight.codes().cpu().numpy(), to_numpy(weight.zero_point).astype(np.uint8)
    codes = (to_numpy(weight.quantized) + UNSIGNED_ZERO_POINT).astype(np.uint8)
    return codes, np.full(len(codes), UNSIGNED_ZERO_POINT, np.uint8)


def to_numpy(tensor: Tensor) -> NDArray[np.float32]:
    """Return the float32 values of a tensor on any device."""
    values: NDArray[np.float32] = tensor.detach().cpu().numpy()
    return values
