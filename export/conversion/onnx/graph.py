"""An ONNX graph while it is rewritten, and the integers of a layer in the shapes that its nodes take them in."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, NodeProto, helper, numpy_helper
from torch import Tensor

from export.quantization.layers.modules import Weight

MICROSOFT = "com.microsoft"
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

    def write(self, model: onnx.ModelProto) -> None:
        """Put the nodes, and those constants that they use, in the place of the model's own."""
        graph = model.graph
        used = {tensor for node in self.nodes for tensor in node.input}
        kept = [numpy_helper.from_array(value, name) for name, value in self.constants.items() if name in used]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(self.nodes)
        graph.initializer.extend(kept)
        if any(node.domain == MICROSOFT for node in self.nodes):
            model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))


def layer_of(node: str) -> str:
    """Return the module path of a node's name: `/blocks/blocks.0/attn/qkv/MatMul` is of `blocks.0.attn.qkv`."""
    path: list[str] = []
    for part in node.strip("/").split("/")[:-1]:
        if path and part.startswith(path[-1] + "."):
            path.pop()  # the container, which its member names again
        path.append(part)
    return ".".join(path)


def is_turned(node: NodeProto) -> bool:
    """Whether a node takes its weight as [in, out]."""
    return bool(node.op_type == "MatMul")


def turn(node: NodeProto, values: NDArray[Any]) -> NDArray[Any]:
    """Return a weight or its scales, outputs first, as the node takes them."""
    return values.T.copy() if is_turned(node) else values


def store(editor: Editor, node: NodeProto, values: NDArray[Any], name: str) -> str:
    """Add a layer's integers, outputs first, as the node takes them; return the constant's name."""
    return editor.constant(f"{name}.weight{'_transposed' if is_turned(node) else ''}", turn(node, values))


def unsigned_codes(weight: Weight) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return unsigned codes and their zero point per output channel; levels = codes - zero point."""
    if weight.zero_point is not None:
        return weight.codes().cpu().numpy(), array(weight.zero_point).astype(np.uint8)
    codes = (array(weight.quantized) + MIDDLE).astype(np.uint8)
    return codes, np.full(len(codes), MIDDLE, np.uint8)


def array(tensor: Tensor) -> NDArray[np.float32]:
    """Return the values."""
    values: NDArray[np.float32] = tensor.detach().cpu().numpy()
    return values
