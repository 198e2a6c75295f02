"""Layers of a float .tflite model whose outputs keep the axes of their inputs; runs in the converter process.

TensorFlow's converter removes a reshape [1, n, k] → [n, k] before a layer, since a layer ignores it. LiteRT's WebGPU
delegate then rejects the model: it takes the first axis for a batch.
"""

from typing import Any

import numpy as np

LAYER = "FULLY_CONNECTED"
READERS = (LAYER, "RESHAPE")  # which accept any number of axes
ELEMENTWISE = ("ADD", "SUB", "MUL", "GELU", "RELU", "TANH", "LOGISTIC", "HARD_SWISH")


def keep_ranks(model: Any) -> int:
    """Let layers with inputs [1, n, k] and outputs [n, m] keep the first axis, in place; return how many were changed.

    So do the elementwise operations that read them. A layer stays as it is where its output is the model's, or where an
    operation reads it for which the axis matters.
    """
    (graph,) = model.subgraphs
    operations = _operations(model, graph)
    readers: dict[int, list[Any]] = {}
    for operator in graph.operators:
        for index in operator.inputs:
            readers.setdefault(int(index), []).append(operator)
    changed = 0
    for operator in graph.operators:
        rank = len(graph.tensors[operator.inputs[0]].shape)
        if operations[id(operator)] != LAYER or rank != 3 or len(graph.tensors[operator.outputs[0]].shape) != 2:
            continue
        following = _widened_tensors(graph, operations, readers, int(operator.outputs[0]))
        if following is not None:
            operator.builtinOptions.keepNumDims = True
            changed += 1
            for index in following:
                tensor = graph.tensors[index]
                tensor.shape, tensor.shapeSignature = np.array([1, *tensor.shape], np.int32), None
    return changed


def _operations(model: Any, graph: Any) -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    return {id(operator): names[model.operatorCodes[operator.opcodeIndex].builtinCode] for operator in graph.operators}


def _widened_tensors(
    graph: Any, operations: dict[int, str], readers: dict[int, list[Any]], first: int
) -> set[int] | None:
    """Return the tensors that get an axis when the first does, or None where one must not."""
    following, waiting = {first}, [first]
    while waiting:
        index = waiting.pop()
        if index in graph.outputs:
            return None
        for operator in readers.get(index, []):
            operation, output = operations[id(operator)], int(operator.outputs[0])
            if operation in ELEMENTWISE and len(graph.tensors[output].shape) == 2 and output not in following:
                following.add(output)
                waiting.append(output)
            elif operation not in (*READERS, *ELEMENTWISE):
                return None
    return following
