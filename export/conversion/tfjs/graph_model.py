"""A graph model's files: constants stored as a recipe that quantizes nothing stores them.

The converter process imports this: it needs no PyTorch.
"""

import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from export.conversion.tfjs.files import MODEL, check_tensors
from export.conversion.tfjs.graph import named_graph
from export.core.errors import ConversionError


@dataclass(frozen=True, slots=True)
class Storage:
    """How a recipe stores constants: those whose name matches a pattern as `dtype`, all others as they are."""

    dtype: str
    patterns: tuple[str, ...]


# The names are those of `graph.rename`: <consumer>/<role>. uint8 takes the factors of matrix products and
# convolutions and leaves biases, LayerNorm, class token, position embeddings and masks alone; float16 takes
# every array, but no scalar: an epsilon of 1e-12 would become zero.
STORAGES: dict[str, Storage] = {
    "f32": Storage("float32", ()),
    "f16": Storage("float16", ("*/weight", "*/parameter")),
    "u8": Storage("uint8", ("*/weight",)),
}


@dataclass(frozen=True, slots=True)
class Stored:
    """What a variant holds: the constants stored as `dtype`, their bytes, and the bytes of all others."""

    dtype: str
    names: tuple[str, ...]
    bytes: int
    other_bytes: int


def write_graph_model(saved_model: Path, folder: Path, storage: Storage) -> Stored:
    """Write one variant and prove from its bytes that it is what it claims to be; runs in the converter process."""
    from tensorflowjs import write_weights

    graph = named_graph(saved_model)
    chosen = choose(list(graph.weights), storage.patterns)
    manifest = write_weights.write_weights(
        [[{"name": key, "data": value} for key, value in graph.weights.items()]],
        str(folder),
        write_manifest=False,
        quantization_dtype_map={storage.dtype: chosen} if chosen else None,
    )
    model = {
        "format": "graph-model",
        "signature": graph.signature,
        "modelTopology": {"node": graph.nodes, "versions": {}},
        "weightsManifest": manifest,
    }
    (folder / MODEL).write_text(json.dumps(model, separators=(",", ":"), sort_keys=True), "utf-8")
    check_tensors(folder, graph.weights, set(chosen), storage.dtype)
    width = np.dtype(storage.dtype).itemsize
    own = sum(graph.weights[key].size * width for key in chosen)
    return Stored(storage.dtype, tuple(chosen), own, shard_bytes(folder) - own)


def shard_bytes(folder: Path) -> int:
    """Return the size of the weights in a graph model's folder."""
    return sum(path.stat().st_size for path in folder.glob("*.bin"))


def choose(names: list[str], patterns: tuple[str, ...]) -> list[str]:
    """Return the names that match a pattern, in order; raises `ConversionError` for a pattern that matches none."""
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConversionError(
                f"no constant of the model matches {pattern!r}: nothing would be stored in fewer bits",
                hint=f"the model's first constants: {', '.join(names[:8])}",
            )
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]
