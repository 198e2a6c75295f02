"""Layers of a float .tflite model whose outputs keep the axes of their inputs; runs in the converter process.

TensorFlow's converter leaves out a reshape [1, n, k] → [n, k] before a layer, since a layer ignores it. LiteRT's
WebGPU delegate then refuses the model: it takes the first axis for a batch.
"""

from typing import Any

import numpy as np

LAYER = "FULLY_CONNECTED"
READERS = (LAYER, "RESHAPE")  # to which the number of axes is all the same
ELEMENTWISE = ("ADD", "SUB", "MUL", "GELU", "RELU", "TANH", "LOGISTIC", "HARD_SWISH")


def keep_ranks(model: Any) -> int:
    """Give the outputs [n, m] of layers on inputs [1, n, k] their axis back, in place; return of how many.

    Elementwise operations behind them follow. A layer stays as it is where its output is the model's, or where
    another operation reads it, for which the axis matters.
    """
    (graph,) = model.subgraphs
    kinds = _kinds(model, graph)
    readers: dict[int, list[Any]] = {}
    for operator in graph.operators:
        for index in operator.inputs:
            readers.setdefault(int(index), []).append(operator)
    changed = 0
    for operator in graph.operators:
        rank = len(graph.tensors[operator.inputs[0]].shape)
        if kinds[id(operator)] != LAYER or rank != 3 or len(graph.tensors[operator.outputs[0]].shape) != 2:
            continue
        following = _following(graph, kinds, readers, int(operator.outputs[0]))
        if following is not None:
            operator.builtinOptions.keepNumDims = True
            changed += 1
            for index in following:
                tensor = graph.tensors[index]
                tensor.shape, tensor.shapeSignature = np.array([1, *tensor.shape], np.int32), None
    return changed


def _kinds(model: Any, graph: Any) -> dict[int, str]:
    from ai_edge_litert import schema_py_generated as schema

    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    return {id(one): names[model.operatorCodes[one.opcodeIndex].builtinCode] for one in graph.operators}


def _following(graph: Any, kinds: dict[int, str], readers: dict[int, list[Any]], first: int) -> set[int] | None:
    """Return the tensors that get an axis when the first does, or None where one must not."""
    found, waiting = {first}, [first]
    while waiting:
        index = waiting.pop()
        if index in graph.outputs:
            return None
        for operator in readers.get(index, []):
            kind, output = kinds[id(operator)], int(operator.outputs[0])
            if kind in ELEMENTWISE and len(graph.tensors[output].shape) == 2 and output not in found:
                found.add(output)
                waiting.append(output)
            elif kind not in (*READERS, *ELEMENTWISE):
                return None
    return found
