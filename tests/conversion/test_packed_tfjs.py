"""TF.js variants of recipes that quantize: the bytes hold the integers, and stand for the weights bit for bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny

from export.conversion.converter_process import ConverterProcess
from export.conversion.onnx.export import MODEL, to_onnx
from export.conversion.tensorflow import SAVED_MODEL, to_tf
from export.conversion.tfjs.export import to_tfjs
from export.conversion.tfjs.files import read_tensors
from export.conversion.tfjs.packed import integer_weights, pack_weights
from export.core.errors import ConversionError
from export.models.weights.float_artifact import run_model
from export.quantization.calibration.assemble import dequantized
from export.quantization.calibration.calibrate import calibrate
from export.quantization.integer_file import QuantizedModel, load_quantized, write_quantized
from export.quantization.methods import METHODS
from export.quantization.recipes import quantizing

pytestmark = pytest.mark.conversion


def entries(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "model.json").read_text())["weightsManifest"][0]["weights"]


def variant(tools: ConverterProcess, family: str, method: str, bits: int, folder: Path) -> tuple[Path, Path]:
    """Return the integer file and the TF.js folder made of it."""
    spec, module, images = tiny(family)
    recipe = quantizing(METHODS[method], bits, None if METHODS[method].weight_only else 8)
    file = folder / "model.safetensors"
    write_quantized(QuantizedModel(spec, recipe, calibrate(module, recipe, images)), file)
    plain, inputs = dequantized(load_quantized(file).module), images[:2].numpy()
    for name in ("onnx", "tf", "tfjs"):
        (folder / name).mkdir()
    to_onnx(plain, inputs, run_model(plain, inputs), folder / "onnx", name=family, log=tools.log)
    to_tf(tools, folder / "onnx" / MODEL, inputs, folder / "tf", name=family)
    (found,), _ = to_tfjs(
        tools, folder / "tf" / SAVED_MODEL, inputs, folder / "tfjs", recipe=recipe.name, name=family, integers=file
    )
    assert found.sqnr_db is None or found.sqnr_db > 80
    return file, folder / "tfjs"


@pytest.mark.parametrize(
    ("family", "method", "bits"),
    [("vit", "quarot", 4), ("distilled", "rtn", 3), ("swin", "rtn", 5), ("resnet", "rtn", 6)],
)
def test_packed_integers_are_the_recipe_s(
    family: str, method: str, bits: int, tools: ConverterProcess, tmp_path: Path
) -> None:
    file, folder = variant(tools, family, method, bits, tmp_path)
    weights = {layer: weight.values() for layer, weight in integer_weights(file).items()}
    module = load_quantized(file).module
    for layer, values in weights.items():
        assert torch.equal(module.get_submodule(f"{layer}.weight").dequantized(), torch.from_numpy(values))  # type: ignore[operator]
    packed = {entry["name"]: entry["packed"] for entry in entries(folder) if "packed" in entry}
    assert len(packed) == len(weights) and {record["bits"] for record in packed.values()} == {bits}
    stored = read_tensors(folder)
    for name, record in packed.items():
        back = stored[name].values.reshape([record["shape"][axis] for axis in record["axes"]])
        original = back.transpose(np.argsort(record["axes"]))
        assert any(np.array_equal(original, values) for values in weights.values() if values.shape == original.shape)
    rest = {entry["name"]: entry for entry in entries(folder) if "packed" not in entry}
    assert any(entry.get("quantization", {}).get("dtype") == "float16" for entry in rest.values())
    assert sum(path.stat().st_size for path in folder.glob("*.bin")) < sum(value.nbytes for value in weights.values())


def test_one_scale_per_tensor_is_plain_uint8_of_the_stock_format(tools: ConverterProcess, tmp_path: Path) -> None:
    file, folder = variant(tools, "vit", "affine", 7, tmp_path)
    weights = list(integer_weights(file).values())
    coded = [entry for entry in entries(folder) if entry.get("quantization", {}).get("dtype") == "uint8"]
    assert len(coded) == len(weights) and not any("packed" in entry for entry in entries(folder))
    data, offset = (folder / "group1-shard1of1.bin").read_bytes(), 0
    for entry in entries(folder):
        kind = entry.get("quantization", entry)["dtype"]
        count = int(np.prod(entry["shape"], dtype=int))
        if kind == "uint8":  # as TensorFlow.js decodes: in float64, then rounded to float32
            codes = np.frombuffer(data, np.uint8, count, offset).astype(np.float64)
            coding = entry["quantization"]
            values = (codes * coding["scale"] + coding["min"]).astype(np.float32)
            assert any(np.array_equal(np.sort(values), np.sort(weight.values().ravel())) for weight in weights)
        offset += count * np.dtype(kind).itemsize
    assert offset == len(data)


def test_a_weight_that_a_converter_changed_is_named(tools: ConverterProcess, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    _, folder = variant(tools, "vit", "rtn", 8, tmp_path / "made")
    spec, module, images = tiny("vit")
    recipe = quantizing(METHODS["rtn"], 4, None)
    other = tmp_path / "other.safetensors"
    write_quantized(QuantizedModel(spec, recipe, calibrate(module, recipe, images)), other)
    before = sorted(path.read_bytes() for path in folder.iterdir())
    with pytest.raises(ConversionError, match=r"patch_embed\.proj"):
        pack_weights(folder, other)
    assert sorted(path.read_bytes() for path in folder.iterdir()) == before
