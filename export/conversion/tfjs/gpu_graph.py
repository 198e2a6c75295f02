"""A second graph over the weights of a TF.js graph model, which takes fewer GPU dispatches per inference.

`model_gpu.json` is a graph model next to `model.json`, but most of its constants are that one's: `shared` lists them,
each with its `name` here and the constants `of` which it is the concatenation along the last axis. The few others are
in a shard of its own.
"""

import json
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from export.conversion.tfjs.files import read_tensors, same_bits
from export.conversion.tfjs.graph import WEIGHT, Graph, named_graph
from export.core.errors import ConversionError

GPU_MODEL, SHARD = "model_gpu.json", "group1_gpu.bin"
PREFIX = "gpu/"  # of its constants' names: those of the other graph have none
Arrays = dict[str, NDArray[Any]]


def read_gpu_graph(saved_model: Path) -> Graph:
    """Return the graph for GPUs, as `named_graph` does."""
    return named_graph(saved_model, PREFIX)


def write_gpu_graph(graph: Graph, saved_model: Path, folder: Path) -> None:
    """Write `folder/model_gpu.json` of a graph whose weights are those of `saved_model`, stored in `folder` before.

    Raises what `write_sharing` raises; runs in the converter process.
    """
    write_sharing(graph, named_graph(saved_model).weights, folder)


def write_sharing(graph: Graph, constants: Arrays, folder: Path) -> None:
    """Write a graph whose weights are `constants`, those of the graph in `folder`.

    Raises `ConversionError` when a matrix of it is not among them bit for bit, for pages would load it twice, and when
    the bytes are not what they should be.
    """
    shared = {name: parts for name, values in graph.weights.items() if (parts := find_parts(values, constants))}
    unshared = {name: values for name, values in graph.weights.items() if name not in shared}
    for name, values in unshared.items():
        if name.endswith(f"/{WEIGHT}") and min(values.shape[-2:]) > 1:
            raise ConversionError(
                f"{name} {list(values.shape)} of the graph for GPUs is not one of the other graph's weights: "
                "a converter has changed it"
            )
    entries = [{"name": name, "shape": values.shape, "dtype": values.dtype.name} for name, values in unshared.items()]
    (folder / SHARD).write_bytes(b"".join(values.tobytes() for values in unshared.values()))
    model = {
        "format": "graph-model",
        "signature": graph.signature,
        "modelTopology": {"node": graph.nodes, "versions": {}},
        "weightsManifest": [{"paths": [SHARD], "weights": entries}],
        "shared": [{"name": name, "of": parts} for name, parts in shared.items()],
    }
    (folder / GPU_MODEL).write_text(json.dumps(model, separators=(",", ":"), sort_keys=True), "utf-8")
    for name, tensor in read_tensors(folder, GPU_MODEL).items():
        if not same_bits(tensor.values, unshared[name]):
            raise ConversionError(f"{folder / SHARD}: {name}, stored as {tensor.dtype}, has changed")


def find_parts(wanted: NDArray[Any], constants: Arrays) -> list[str]:
    """Return the constants whose concatenation along the last axis equals an array bit for bit, or an empty list.

    Vectors are not concatenated: one constant has to equal them.
    """
    found: list[str] = []
    column = 0
    while wanted.ndim and column < wanted.shape[-1]:
        rest = wanted[..., column:]
        name = next((name for name, part in constants.items() if _begins(rest, part)), None)
        if name is None or (wanted.ndim == 1 and constants[name].size < wanted.size):
            return []
        found.append(name)
        column += constants[name].shape[-1]
    return found


def _begins(values: NDArray[Any], part: NDArray[Any]) -> bool:
    """Tell whether an array's first columns are those of `part`, which has no more of them."""
    if part.ndim != values.ndim or part.dtype != values.dtype or part.shape[:-1] != values.shape[:-1]:
        return False
    columns = part.shape[-1]
    if not part.size or columns > values.shape[-1]:
        return False
    first = bool(values.flat[0] == part.flat[0])  # all but a few are told apart by that
    return first and same_bits(values[..., :columns], part)
