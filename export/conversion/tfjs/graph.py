"""A TF.js graph under names of our own: a constant's role is in its name, and equal models have equal bytes."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from export.conversion.tensorflow import INPUT, OUTPUT
from export.conversion.tfjs.files import MODEL
from export.core.errors import ConversionError

Node = dict[str, Any]

# Operations that multiply by weights, and which of their inputs can be one.
WEIGHT_INPUTS: dict[str, tuple[int, ...]] = {
    "MatMul": (0, 1),
    "_FusedMatMul": (0, 1),
    "BatchMatMul": (0, 1),
    "BatchMatMulV2": (0, 1),
    "Conv2D": (1,),
    "_FusedConv2D": (1,),
    "DepthwiseConv2dNative": (1,),
    "FusedDepthwiseConv2dNative": (1,),
}
# A constant's role is the last part of its name, which the patterns of a storage choose by:
WEIGHT = "weight"  # a factor of a matrix product or convolution, and nothing else
PARAMETER = "parameter"  # another float array: bias, LayerNorm, class token, position embedding, mask
SCALAR = "scalar"  # one float: an epsilon, a scale
INDEX = "index"  # integers: shapes, axes, permutations


@dataclass(frozen=True, slots=True)
class Graph:
    """`nodes` in order of computation, without the values of constants, which `weights` has by node name.

    `signature` names the inputs and outputs.
    """

    nodes: list[Node]
    weights: dict[str, NDArray[Any]]
    signature: dict[str, Any] = field(default_factory=dict)


def named_graph(saved_model: Path, prefix: str = "") -> Graph:
    """Freeze, fuse and name the graph of a SavedModel by the stock converter, once for all variants of a model.

    The names of constants begin with `prefix`. Raises `ConversionError` for a graph with other inputs or outputs than
    ours; runs in the converter process.
    """
    return _named_graph(saved_model, prefix, (saved_model / "saved_model.pb").stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _named_graph(saved_model: Path, prefix: str, changed: int) -> Graph:
    from tensorflowjs import read_weights
    from tensorflowjs.converters.tf_saved_model_conversion_v2 import convert_tf_saved_model

    stock = Path("stock_tfjs").absolute()  # in the process's working folder, which is its scratch
    convert_tf_saved_model(str(saved_model), str(stock), weight_shard_size_bytes=sys.maxsize)
    model = json.loads((stock / MODEL).read_text("utf-8"))
    weights = read_weights.read_weights(model["weightsManifest"], str(stock), flatten=True)
    ends = {kind: model["signature"][kind] for kind in ("inputs", "outputs")}
    if set(ends["inputs"]) != {INPUT} or set(ends["outputs"]) != {OUTPUT}:
        inputs, outputs = sorted(ends["inputs"]), sorted(ends["outputs"])
        raise ConversionError(f"the graph has inputs {inputs} and outputs {outputs}, expected {INPUT} and {OUTPUT}")
    old = {kind: {entry["name"].split(":")[0]: key for key, entry in ends[kind].items()} for kind in ends}
    constants = {entry["name"]: entry["data"] for entry in weights}
    graph = rename(model["modelTopology"]["node"], constants, old["inputs"], old["outputs"], prefix=prefix)
    signature = {kind: {key: entry | {"name": f"{key}:0"} for key, entry in ends[kind].items()} for kind in ends}
    return replace(graph, signature=signature)


def rename(
    nodes: list[Node],
    weights: dict[str, NDArray[Any]],
    inputs: dict[str, str],
    outputs: dict[str, str],
    *,
    prefix: str = "",
) -> Graph:
    """Return the graph with `inputs` and `outputs` (old name → new) and all other nodes named and ordered by use.

    An operation is named by its type and number (`matmul_3`), a constant by its first consumer and its role
    (`matmul_3/weight`), after `prefix`. TensorFlow's own names depend on what was converted before in the same process.
    """
    ordered = list(_in_order({node["name"]: node for node in nodes}, outputs))
    uses = _uses(ordered)
    names = inputs | outputs
    counter: Counter[str] = Counter()
    for node in ordered:
        if node["op"] != "Const" and node["name"] not in names:
            kind = node["op"].strip("_").removeprefix("Fused").lower()
            names[node["name"]] = f"{kind}_{counter[kind]}"
            counter[kind] += 1
    for node in ordered:
        if node["op"] == "Const":
            consumer = names[uses[node["name"]][0][0]["name"]]
            role = _role(weights[node["name"]], uses[node["name"]])
            counter[f"{consumer}/{role}"] += 1
            number = counter[f"{consumer}/{role}"]
            own = f"{consumer}/{role}" if number == 1 else f"{consumer}/{number}/{role}"
            names[node["name"]] = prefix + own
    values = {names[node["name"]]: weights[node["name"]] for node in ordered if node["op"] == "Const"}
    return Graph([_renamed(node, names) for node in ordered], values)


def _in_order(by_name: dict[str, Node], outputs: dict[str, str]) -> Iterator[Node]:
    """Yield the nodes that the outputs depend on in topological order."""
    seen: set[str] = set()
    stack = [(name, False) for name in sorted(outputs, reverse=True)]
    while stack:
        name, ready = stack.pop()
        if ready:
            yield by_name[name]
        elif name not in seen:
            seen.add(name)
            stack.append((name, True))
            stack.extend((_source(text), False) for text in reversed(by_name[name].get("input", [])))


def _source(text: str) -> str:
    """Return the node of an input such as `^node` (only awaited) or `node:1` (its second output)."""
    return text.removeprefix("^").split(":")[0]


def _uses(nodes: list[Node]) -> dict[str, list[tuple[Node, int]]]:
    """Return by node the (consumer, input number) pairs, in order of computation."""
    uses: dict[str, list[tuple[Node, int]]] = {}
    for node in nodes:
        for number, text in enumerate(node.get("input", [])):
            uses.setdefault(_source(text), []).append((node, number))
    return uses


def _role(value: NDArray[Any], uses: list[tuple[Node, int]]) -> str:
    if value.dtype.kind != "f":
        return INDEX
    if value.ndim >= 2 and all(number in WEIGHT_INPUTS.get(node["op"], ()) for node, number in uses):
        return WEIGHT
    return PARAMETER if value.size > 1 else SCALAR


def _renamed(node: Node, names: dict[str, str]) -> Node:
    inputs = [text.replace(_source(text), names[_source(text)], 1) for text in node.get("input", [])]
    attributes = {key: value for key, value in node.get("attr", {}).items() if not key.startswith("_")}
    kept: Node = {"name": names[node["name"]], "op": node["op"]}
    if inputs:
        kept["input"] = inputs
    if attributes:
        kept["attr"] = attributes
    return kept
