"""Which constants of a graph another one's consist of, and what is stored of that one."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from export.conversion.tfjs.gpu_graph import GPU_MODEL, PREFIX, SHARD, find_parts, write_sharing
from export.conversion.tfjs.graph import Graph
from export.core.errors import ConversionError

Arrays = dict[str, NDArray[Any]]


def constants() -> Arrays:
    draw = np.random.default_rng(0).standard_normal
    return {
        "a": draw((3, 2), np.float32),
        "b": draw((3, 4), np.float32),
        "c": draw((3, 2), np.float32),
        "row": draw(4, np.float32),
        "one": draw(1, np.float32),
        "list": np.array([1, 2], np.int32),
    }


def test_what_stands_side_by_side_is_found() -> None:
    found = constants()
    a, b = found["a"], found["b"]
    for names in ("a", "cab", "aab"):
        assert find_parts(np.concatenate([found[name] for name in names], -1), found) == list(names)
    assert find_parts(found["row"].copy(), found) == ["row"]
    assert find_parts(found["list"].copy(), found) == ["list"]
    for other in (np.concatenate([a, b[:, :3]], -1), a.T, a[:2], b + 1):
        assert find_parts(other, found) == []


def test_lists_are_found_whole_and_scalars_not_at_all() -> None:
    found = constants()
    assert find_parts(np.concatenate([found["row"], found["one"]]), found) == []
    assert find_parts(found["a"], {"none": found["a"][:, :0]} | found) == ["a"]
    assert find_parts(np.float32(1) + np.zeros((), np.float32), found | {"scalar": np.ones((), np.float32)}) == []


def test_equal_means_bit_for_bit() -> None:
    zeros = {"plus": np.zeros((2, 2), np.float32)}
    assert find_parts(zeros["plus"].copy(), zeros) == ["plus"]
    assert find_parts(-zeros["plus"], zeros) == []
    assert find_parts(zeros["plus"].astype(np.float64), zeros) == []


def write(own: Arrays, folder: Path) -> dict[str, Any]:
    """Write a second graph that has these constants alone."""
    write_sharing(Graph([], {PREFIX + name: values for name, values in own.items()}), constants(), folder)
    model: dict[str, Any] = json.loads((folder / GPU_MODEL).read_text())
    return model


def test_only_what_is_new_is_stored(tmp_path: Path) -> None:
    known, column = constants(), np.full((3, 1), 1 / 3, np.float32)
    joined = np.concatenate([known["b"], known["a"]], -1)
    own = {"joined/weight": joined, "mean/weight": column, "list/index": np.array([3], np.int32)}
    model = write(own, tmp_path)
    assert model["shared"] == [{"name": "gpu/joined/weight", "of": ["b", "a"]}]
    (group,) = model["weightsManifest"]
    assert group["paths"] == [SHARD] and [entry["name"] for entry in group["weights"]] == [
        "gpu/mean/weight",
        "gpu/list/index",
    ]
    assert (tmp_path / SHARD).read_bytes() == column.tobytes() + np.array([3], np.int32).tobytes()


def test_a_matrix_that_is_not_the_other_s_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match=r"gpu/x/weight \[3, 2\] .* is not one of the other graph.s weights"):
        write({"x/weight": constants()["a"] * 2}, tmp_path)
    assert not list(tmp_path.iterdir())
