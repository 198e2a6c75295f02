"""What `pack_weights` writes, read here bit by bit without the converter's help, for graphs made by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny import tiny
from torch import nn

from export.conversion.tfjs.files import read_tensors
from export.conversion.tfjs.packed import pack_weights
from export.core.errors import ConversionError
from export.quantization.integer_file import QuantizedModel, write_quantized
from export.quantization.layers.modules import QuantConv2d, QuantLinear, Weight
from export.quantization.layers.rounding import absmax_scale, quantize_asymmetric, quantize_symmetric
from export.quantization.methods import METHODS
from export.quantization.recipes import quantizing

Arrays = dict[str, NDArray[Any]]
BITS = (3, 4, 5, 6, 7, 8)


def rounded(shape: tuple[int, ...], bits: int, *, granularity: str, symmetric: bool, seed: int = 0) -> Weight:
    weight = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) + 0.3
    made = quantize_symmetric(weight, absmax_scale(weight, bits, granularity), bits)
    if not symmetric:
        made = quantize_asymmetric(weight, bits, granularity)
    return Weight(bits, made.quantized + 0.0, made.scale, made.zero_point)  # a file gives 0 back, never -0


def integer_file(weights: list[Weight], path: Path) -> Path:
    """Write an artifact whose layers are `0`, `1`, …"""
    layers = [
        QuantLinear(weight, None, None)
        if weight.quantized.ndim == 2
        else QuantConv2d(nn.Conv2d(weight.quantized.shape[1], weight.quantized.shape[0], 1), weight, None, None)
        for weight in weights
    ]
    write_quantized(QuantizedModel(tiny("vit")[0], quantizing(METHODS["rtn"], 4, None), nn.Sequential(*layers)), path)
    return path


def graph_model(constants: Arrays, folder: Path) -> Path:
    """Write what the float32 variant is made of, in two shards that cut a constant in two."""
    folder.mkdir()
    data = b"".join(values.tobytes() for values in constants.values())
    paths = ["group1-shard1of2.bin", "group1-shard2of2.bin"]
    for path, part in zip(paths, (data[:10], data[10:]), strict=True):
        (folder / path).write_bytes(part)
    entries = [{"name": name, "shape": values.shape, "dtype": values.dtype.name} for name, values in constants.items()]
    model = {"format": "graph-model", "weightsManifest": [{"paths": paths, "weights": entries}]}
    (folder / "model.json").write_text(json.dumps(model))
    return folder


def read_by_hand(folder: Path) -> dict[str, tuple[str, NDArray[Any]]]:
    """Return each constant's stored kind and its values, by nothing but the documented format."""
    (group,) = json.loads((folder / "model.json").read_text())["weightsManifest"]
    data, offset, found = b"".join((folder / path).read_bytes() for path in group["paths"]), 0, {}
    for entry in group["weights"]:
        if "packed" in entry:
            values, size = unpack_by_hand(entry["packed"], data[offset:])
            kind, values = f"packed{entry['packed']['bits']}", values.reshape(entry["shape"])
        else:
            coding = entry.get("quantization", {})
            kind = coding.get("dtype", entry["dtype"])
            stored = np.frombuffer(data, kind, int(np.prod(entry["shape"], dtype=int)), offset)
            size = stored.nbytes
            if "scale" in coding:  # as TensorFlow.js: in float64, then rounded to float32
                stored = stored.astype(np.float64) * coding["scale"] + coding["min"]
            values = stored.astype(entry["dtype"]).reshape(entry["shape"])
        found[entry["name"]] = kind, values
        offset += size
    assert offset == len(data)
    return found


def unpack_by_hand(packed: dict[str, Any], data: bytes) -> tuple[NDArray[np.float32], int]:
    bits, rows, columns = packed["bits"], packed["shape"][0], int(np.prod(packed["shape"][1:]))
    width = -(-columns * bits // 8)
    scales = np.frombuffer(data, "<f4", rows, rows * width)
    values = np.empty((rows, columns), np.float32)
    for row in range(rows):
        whole = int.from_bytes(data[row * width : (row + 1) * width], "little")
        assert whole >> (columns * bits) == 0, "a row is padded with zeros"
        point = data[rows * (width + 4) + row] if packed["zero_points"] else 1 << (bits - 1)
        levels = [(whole >> (column * bits) & ((1 << bits) - 1)) - point for column in range(columns)]
        values[row] = np.array(levels, np.float32) * scales[row]
    size = rows * (width + 4) + (rows if packed["zero_points"] else 0)
    return np.ascontiguousarray(values.reshape(packed["shape"]).transpose(packed["axes"])), size


def assert_same_bytes(folder: Path, constants: Arrays) -> dict[str, str]:
    found = read_by_hand(folder)
    assert list(found) == list(constants)
    for name, values in constants.items():
        assert found[name][1].dtype == values.dtype and found[name][1].tobytes() == values.tobytes(), name
    return {name: kind for name, (kind, _) in found.items()}


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", BITS)
def test_every_bit_width_keeps_every_weight_bit_for_bit(bits: int, symmetric: bool, tmp_path: Path) -> None:
    shapes = [(5, 7), (6, 6), (4, 3, 3, 3), (8, 1, 3, 3), (6, 5, 1, 1)]
    weights = [
        rounded(shape, bits, granularity="channel", symmetric=symmetric, seed=seed) for seed, shape in enumerate(shapes)
    ]
    values = [weight.dequantized().numpy() for weight in weights]
    rest = np.random.default_rng(0).standard_normal(9)
    constants: Arrays = {
        "matmul_0/weight": values[0].T.copy(),
        "half": rest.astype(np.float16).astype(np.float32),
        "matmul_1/weight": values[1].copy(),
        "large": np.array([1e9, 1.0], np.float32),
        "conv2d_0/weight": values[2].transpose(2, 3, 1, 0).copy(),
        "index": np.array([1, -2], np.int32),
        "depthwise_0/weight": values[3].transpose(2, 3, 0, 1).copy(),
        "epsilon": np.array(1e-12, np.float32),
        "conv2d_1/weight": values[4].transpose(2, 3, 1, 0).copy(),
        "full": rest.astype(np.float32),
    }
    folder = graph_model(constants, tmp_path / "tfjs")
    own = pack_weights(folder, integer_file(weights, tmp_path / "model.safetensors"))
    kinds = assert_same_bytes(folder, constants)
    packed = {name for name in constants if name.endswith("/weight")}
    assert {name for name, kind in kinds.items() if kind == f"packed{bits}"} == packed == set(own)
    others = ("half", "large", "index", "epsilon", "full")
    assert [kinds[name] for name in others] == ["float16", "float32", "int32", "float32", "float32"]
    wanted = [
        rows * ((columns * bits + 7) // 8 + 4 + (not symmetric))
        for rows, columns in [(5, 7), (6, 6), (4, 27), (8, 9), (6, 5)]
    ]
    assert list(own.values()) == wanted


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", BITS)
def test_one_scale_is_uint8_that_the_stock_decoder_restores_exactly(bits: int, symmetric: bool, tmp_path: Path) -> None:
    weight = rounded((33, 50), bits, granularity="tensor", symmetric=symmetric, seed=bits)
    constants: Arrays = {"matmul_0/weight": weight.dequantized().numpy().T.copy()}
    folder = graph_model(constants, tmp_path / "tfjs")
    pack_weights(folder, integer_file([weight], tmp_path / "model.safetensors"))
    assert assert_same_bytes(folder, constants) == {"matmul_0/weight": "uint8"}


def test_layers_with_equal_weights_share_what_they_are_equal_to(tmp_path: Path) -> None:
    """A converter may keep one constant for both, or one for each."""
    weight = rounded((5, 7), 4, granularity="channel", symmetric=True)
    file = integer_file([weight, weight], tmp_path / "model.safetensors")
    values = weight.dequantized().numpy().T.copy()
    for count in (1, 2, 3):
        constants: Arrays = {f"matmul_{index}/weight": values for index in range(count)}
        folder = graph_model(constants, tmp_path / f"tfjs{count}")
        assert len(pack_weights(folder, file)) == count
        assert set(assert_same_bytes(folder, constants).values()) == {"packed4"}


def test_a_weight_that_is_off_by_one_bit_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    weights = [rounded((5, 7), 4, granularity="channel", symmetric=True, seed=seed) for seed in (0, 1)]
    file = integer_file(weights, tmp_path / "model.safetensors")
    changed = weights[1].dequantized().numpy().T.copy()
    changed[0, 0] = np.nextafter(changed[0, 0], np.float32(9))
    folder = graph_model({"a": weights[0].dequantized().numpy(), "b": changed}, tmp_path / "tfjs")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ConversionError, match="quantized weight of 1:"):
        pack_weights(folder, file)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_shards_that_are_cut_or_too_long_are_refused(tmp_path: Path) -> None:
    weight = rounded((5, 7), 3, granularity="channel", symmetric=False)
    constants: Arrays = {"a": np.ones(3, np.float32), "b": weight.dequantized().numpy()}
    folder = graph_model(constants, tmp_path / "tfjs")
    pack_weights(folder, integer_file([weight], tmp_path / "model.safetensors"))
    (shard,) = folder.glob("*.bin")
    whole = shard.read_bytes()
    for damaged in (whole[:-1], whole[:8], b"", whole + b"\0"):
        shard.write_bytes(damaged)
        with pytest.raises(ConversionError, match="shards"):
            read_tensors(folder)
