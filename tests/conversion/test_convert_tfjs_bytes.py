"""The published bytes, read here without the converter's help: uint8 is really there, and only where it should be."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from families import FAMILIES, Chain
from numpy.typing import NDArray
from torch import nn

from export.conversion.tfjs.files import check_tensors, read_tensors
from export.core.errors import ConversionError

pytestmark = pytest.mark.conversion
GetChain = Callable[[str], Chain]
WIDTHS = {"float32": 4, "int32": 4, "uint8": 1, "float16": 2, "bool": 1}


def entries(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "model.json").read_text())["weightsManifest"][0]["weights"]


def shards(folder: Path) -> bytes:
    group = json.loads((folder / "model.json").read_text())["weightsManifest"][0]
    assert sorted(path.name for path in folder.glob("*.bin")) == sorted(group["paths"])
    return b"".join((folder / path).read_bytes() for path in group["paths"])


def raw(folder: Path) -> dict[str, tuple[dict[str, Any], NDArray[Any]]]:
    """Cut the shards by the manifest's own words."""
    data, offset, cut = shards(folder), 0, {}
    for entry in entries(folder):
        dtype = entry.get("quantization", entry)["dtype"]
        count = int(np.prod(entry["shape"], dtype=int))
        cut[entry["name"]] = entry, np.frombuffer(data, dtype, count, offset).reshape(entry["shape"])
        offset += count * WIDTHS[dtype]
    assert offset == len(data), "the manifest and the shards must add up"
    return cut


@pytest.mark.parametrize("family", FAMILIES)
def test_uint8_is_really_there(family: str, chain: GetChain) -> None:
    made = chain(family)
    floats, bytes_ = raw(made.folder / "f32"), raw(made.folder / "u8")
    assert list(floats) == list(bytes_)
    coded = {name for name, (entry, _) in bytes_.items() if "quantization" in entry}
    assert coded == set(made.stored["u8"].names) and all(name.endswith("/weight") for name in coded)
    for name, (entry, stored) in bytes_.items():
        parent = floats[name][1]
        if name not in coded:
            assert stored.dtype == parent.dtype and np.array_equal(stored, parent), name
            continue
        coding = entry["quantization"]
        assert coding["dtype"] == "uint8" and entry["dtype"] == "float32"
        assert len(np.unique(stored)) > 50, "a weight that uses few of the 256 levels was not quantized to its range"
        error = np.abs(stored * coding["scale"] + coding["min"] - parent)
        assert error.max() <= coding["scale"] / 2 + 4 * np.finfo(np.float32).eps * np.abs(parent).max(), name
    saved = len(shards(made.folder / "f32")) - len(shards(made.folder / "u8"))
    assert saved == 3 * made.stored["u8"].bytes
    assert made.stored["u8"].bytes + made.stored["u8"].other_bytes == len(shards(made.folder / "u8"))


@pytest.mark.parametrize("family", FAMILIES)
def test_float16_is_really_there_and_scalars_stay(family: str, chain: GetChain) -> None:
    made = chain(family)
    floats, halves = raw(made.folder / "f32"), raw(made.folder / "f16")
    for name, (entry, stored) in halves.items():
        parent = floats[name][1]
        if parent.dtype == np.float32 and parent.size > 1:
            assert entry["quantization"]["dtype"] == "float16"
            assert np.array_equal(stored, parent.astype(np.float16)), name
        else:
            assert "quantization" not in entry and np.array_equal(stored, parent), name


@pytest.mark.parametrize("family", FAMILIES)
def test_no_variant_is_another_under_a_new_name(family: str, chain: GetChain) -> None:
    folder = chain(family).folder
    assert len({hashlib.sha256(shards(folder / recipe)).hexdigest() for recipe in ("f32", "f16", "u8")}) == 3


@pytest.mark.parametrize("family", ["vit", "deit", "dino", "swin"])
def test_what_is_quantized_is_what_torch_calls_a_weight(family: str, chain: GetChain) -> None:
    """Matched by value: matrices may be transposed on the way, so the sorted values are compared."""
    made = chain(family)
    floats = {name: values for name, (_, values) in raw(made.folder / "f32").items() if values.dtype == np.float32}
    coded = {np.sort(floats[name], axis=None).tobytes() for name in made.stored["u8"].names}
    layers = [layer for layer in made.module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert coded == {np.sort(layer.weight.detach().numpy(), axis=None).tobytes() for layer in layers}
    float_only = [values for name, values in floats.items() if name not in made.stored["u8"].names]
    others = {np.sort(values, axis=None).tobytes() for values in float_only}
    for name, parameter in made.module.named_parameters():
        if name in ("cls_token", "pos_embed") or "norm" in name or name.endswith("bias"):
            assert np.sort(parameter.detach().numpy(), axis=None).tobytes() in others, name


def test_the_graph_is_signed_with_the_page_s_names(chain: GetChain) -> None:
    model = json.loads((chain("vit").folder / "u8" / "model.json").read_text())
    assert model["format"] == "graph-model"
    assert model["signature"]["inputs"]["pixels"]["tensorShape"]["dim"] == [{"size": str(n)} for n in (1, 28, 28, 3)]
    assert model["signature"]["outputs"]["logits"]["tensorShape"]["dim"] == [{"size": "1"}, {"size": "10"}]
    names = [node["name"] for node in model["modelTopology"]["node"]]
    assert len(names) == len(set(names)) and {"pixels", "logits"} <= set(names)


def test_reading_back_gives_the_values_the_runtime_sees(chain: GetChain) -> None:
    tensors = read_tensors(chain("vit").folder / "u8")
    coded = [tensor for tensor in tensors.values() if tensor.dtype == "uint8"]
    assert len(coded) == len(chain("vit").stored["u8"].names)
    for tensor in coded:
        assert tensor.values.dtype == np.float32
        assert len(np.unique(tensor.values)) <= 256


@pytest.mark.parametrize("damage", ["flip", "cut", "grow", "not chosen", "other name"])
def test_bytes_that_are_not_what_they_claim_are_refused(damage: str, chain: GetChain, tmp_path: Path) -> None:
    made = chain("vit")
    parent = {name: tensor.values for name, tensor in read_tensors(made.folder / "f32").items()}
    chosen = set(made.stored["u8"].names)
    for path in (made.folder / "u8").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    check_tensors(tmp_path, parent, chosen, "uint8")
    shard = tmp_path / "group1-shard1of1.bin"
    data = bytearray(shard.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0x40
    elif damage == "cut":
        del data[-1:]
    elif damage == "grow":
        data.append(0)
    elif damage == "not chosen":
        chosen.pop()
    else:
        parent["stranger"] = parent.pop(next(iter(parent)))
    shard.write_bytes(data)
    with pytest.raises(ConversionError):
        check_tensors(tmp_path, parent, chosen, "uint8")
