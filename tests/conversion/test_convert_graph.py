"""Names and roles of constants, on graphs made by hand."""

import numpy as np
import pytest

from export.conversion.tfjs.graph import Node, rename
from export.conversion.tfjs.graph_model import STORAGES, choose
from export.core.errors import ConversionError


def node(name: str, op: str, *inputs: str) -> Node:
    return {
        "name": name,
        "op": op,
        "input": list(inputs),
        "attr": {"_noise": {}, "T": {"type": "DT_FLOAT"}},
        "device": "x",
    }


NODES = [
    node("noise/w", "Const"),
    node("noise/b", "Const"),
    node("eps", "Const"),
    node("axis", "Const"),
    node("tied", "Const"),
    node("unused", "Const"),
    node("out", "Identity", "zz"),
    node("zz", "_FusedMatMul", "split:1", "tied", "noise/b"),
    node("aa", "MatMul", "in", "noise/w"),
    node("shift", "AddV2", "aa", "tied"),
    node("split", "Split", "axis", "scaled", "^aa"),
    node("scaled", "Mul", "shift", "eps"),
    node("in", "Placeholder"),
]
CONSTANTS = {
    "noise/w": np.ones((4, 4), np.float32),
    "noise/b": np.ones(4, np.float32),
    "eps": np.float32(1e-6).reshape(()),
    "axis": np.zeros((), np.int32),
    "unused": np.ones(9, np.float32),
    "tied": np.ones((4, 4), np.float32),
}


def test_constants_are_named_after_what_they_are_for() -> None:
    graph = rename(NODES, CONSTANTS, {"in": "pixels"}, {"out": "logits"})
    assert set(graph.weights) == {
        "matmul_0/weight",
        "matmul_1/parameter",
        "addv2_0/parameter",
        "mul_0/scalar",
        "split_0/index",
    }, "a matrix that is also added is no weight, and what nothing uses is gone"


def test_nodes_come_after_their_inputs_and_keep_how_they_are_wired() -> None:
    graph = rename(NODES, CONSTANTS, {"in": "pixels"}, {"out": "logits"})
    wired = {one["name"]: one.get("input", []) for one in graph.nodes}
    assert wired["matmul_1"] == ["split_0:1", "addv2_0/parameter", "matmul_1/parameter"]
    assert wired["split_0"] == ["split_0/index", "mul_0", "^matmul_0"]
    assert wired["logits"] == ["matmul_1"] and wired["pixels"] == []
    order = [one["name"] for one in graph.nodes]
    for name, inputs in wired.items():
        assert all(order.index(text.strip("^").split(":")[0]) < order.index(name) for text in inputs)
    assert all(set(one) <= {"name", "op", "input", "attr"} and "_noise" not in one["attr"] for one in graph.nodes)


def test_neither_order_nor_names_of_the_source_matter() -> None:
    swap = {"noise/w": "a", "aa": "b/c", "zz": "d", "shift": "e"}

    def other(text: str) -> str:
        return next((text.replace(old, new) for old, new in swap.items() if text.strip("^").split(":")[0] == old), text)

    nodes = [one | {"name": other(one["name"]), "input": [other(text) for text in one["input"]]} for one in NODES]
    constants = {other(name): values for name, values in CONSTANTS.items()}
    expected = rename(NODES, CONSTANTS, {"in": "pixels"}, {"out": "logits"})
    found = rename(nodes[::-1], constants, {"in": "pixels"}, {"out": "logits"})
    assert found.nodes == expected.nodes and list(found.weights) == list(expected.weights)


def test_a_pattern_that_matches_nothing_is_an_error() -> None:
    with pytest.raises(ConversionError, match=r"'\*/weight'.*(?s:.*)conv2d_0/parameter"):
        choose(["conv2d_0/parameter", "add_0/scalar"], STORAGES["u8"].patterns)


def test_patterns_choose_by_role() -> None:
    names = ["a/weight", "a/parameter", "a/2/parameter", "b/scalar", "c/index", "weights/parameter"]
    assert choose(names, STORAGES["u8"].patterns) == ["a/weight"]
    assert choose(names, STORAGES["f16"].patterns) == ["a/weight", "a/parameter", "a/2/parameter", "weights/parameter"]
    assert choose(names, STORAGES["f32"].patterns) == []
