"""LiteRT files with a recipe's own integers: their bytes as the runtime reads them, and their agreement."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from integer_models import quantized, saved_model
from torch import nn

from export.conversion.converter_process import ConverterProcess
from export.conversion.coverage import QuantizationCoverage, weighted_layers
from export.conversion.litert.export import MODEL, to_tflite
from export.conversion.litert.integers import read_integers
from export.core.errors import ConversionError
from export.core.files import hash_file
from export.core.records import Verification
from export.quantization.layers.modules import QuantLinear

pytestmark = pytest.mark.conversion


def made(
    tools: ConverterProcess, model: str, recipe: str, folder: Path
) -> tuple[nn.Module, Verification, QuantizationCoverage, Path]:
    module, inputs = quantized(model, recipe, folder)
    parent = saved_model(tools, module, inputs, folder / "float")
    verification, coverage = to_tflite(tools, module, parent, inputs, folder, name=model)
    return module, verification, coverage, folder / MODEL


def tensors(path: Path) -> dict[str, tuple[str, Any, Any, Any, int]]:
    """What the runtime itself says of a file's tensors: type, values, scales, zero points, axis."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    found = {}
    for tensor in interpreter.get_tensor_details():
        if tensor["name"].endswith(".weight"):
            numbers = tensor["quantization_parameters"]
            found[tensor["name"]] = (
                np.dtype(tensor["dtype"]).name,
                interpreter.get_tensor(tensor["index"]),
                numbers["scales"],
                numbers["zero_points"],
                numbers["quantized_dimension"],
            )
    return found


def layer_ranks(path: Path) -> list[tuple[int, int]]:
    """How many axes input and output of every linear layer have."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model(str(path))
    (graph,) = model.subgraphs
    return [
        (len(graph.tensors[operator.inputs[0]].shape), len(graph.tensors[operator.outputs[0]].shape))
        for operator in graph.operators
        if model.operatorCodes[operator.opcodeIndex].builtinCode == schema.BuiltinOperator.FULLY_CONNECTED
    ]


@pytest.mark.parametrize(("model", "recipe"), [("fashion", "w8_dynamic"), ("vit", "w8_rtn"), ("vit", "w6_rtn")])
def test_the_runtime_reads_the_recipe_s_integers(
    model: str, recipe: str, tools: ConverterProcess, tmp_path: Path
) -> None:
    module, verification, coverage, path = made(tools, model, recipe, tmp_path)
    assert verification.sqnr_db is not None
    if recipe == "w8_dynamic":
        assert coverage.compute_dtype == "int8" and verification.sqnr_db >= 30
        assert [name for name, kind in coverage.activations.items() if kind == "float32"] == [
            f"blocks.{block}.attn.{product}" for block in range(6) for product in ("product_qk", "product_av")
        ]
    else:
        assert coverage.compute_dtype == "float32" and verification.sqnr_db >= 60 and not coverage.activations
    found = tools.run(tensors, path)
    layers = weighted_layers(module)
    assert {f"{name}.weight" for name in layers} == set(found)
    for name, layer in layers.items():
        kind, values, scales, zero_points, axis = found[f"{name}.weight"]
        levels = layer.weight.quantized.numpy()
        assert (kind, axis) == ("int8", 0) and not zero_points.any()
        np.testing.assert_array_equal(values, levels.transpose(0, 2, 3, 1) if levels.ndim == 4 else levels)
        np.testing.assert_array_equal(scales, layer.weight.scale.numpy())
    if model == "fashion":
        float_size = sum(file.stat().st_size for file in (tmp_path / "float" / "saved_model").rglob("*"))
        assert path.stat().st_size < 0.4 * float_size


@pytest.mark.parametrize(("model", "recipe"), [("fashion", "w4_rtn"), ("vit", "w3_rtn"), ("vit", "w4a8_minmax")])
def test_up_to_4_bits_are_packed_in_4(model: str, recipe: str, tools: ConverterProcess, tmp_path: Path) -> None:
    module, verification, coverage, path = made(tools, model, recipe, tmp_path)
    assert set(coverage.weights.values()) == {"int4"}
    assert verification.sqnr_db is not None
    assert verification.sqnr_db >= (30 if coverage.compute_dtype == "int8" else 60)
    found = tools.run(read_integers, path)
    layers = weighted_layers(module)
    assert set(layers) == set(found)
    for name, layer in layers.items():
        stored, scale, zero_point = found[name]
        np.testing.assert_array_equal(stored, np.moveaxis(layer.weight.quantized.numpy(), 1, -1))
        np.testing.assert_array_equal(scale, layer.weight.scale.numpy())
        assert not zero_point.any()
    assert path.stat().st_size < 0.6 * sum(layer.weight.quantized.numel() for layer in layers.values()) + 3e5


def test_8_bit_zero_points_are_kept_and_their_layers_multiply_floats(tools: ConverterProcess, tmp_path: Path) -> None:
    module, verification, coverage, path = made(tools, "vit", "w8a8_affine", tmp_path)
    found = tools.run(read_integers, path)
    seen = 0
    for name, layer in weighted_layers(module).items():
        stored, scale, zero_point = found[name]
        levels = stored.astype(int) - zero_point.reshape(-1, *[1] * (stored.ndim - 1))
        np.testing.assert_array_equal(levels, np.moveaxis(layer.weight.quantized.numpy(), 1, -1))
        np.testing.assert_array_equal(scale, layer.weight.scale.numpy())
        if zero_point.any() and name in coverage.activations:
            seen += 1
            assert coverage.activations[name] == "float32"
    assert seen and verification.sqnr_db is not None and verification.sqnr_db >= 30


@pytest.mark.parametrize("model", ["swin", "resnet"])
def test_other_families(model: str, tools: ConverterProcess, tmp_path: Path) -> None:
    module, _, coverage, _ = made(tools, model, "w8a8_minmax", tmp_path)
    assert set(coverage.weights) == set(weighted_layers(module)) and "runtime" in coverage.activations.values()


def test_levels_with_a_common_divisor_stay_as_they_are_and_bytes_repeat(
    tools: ConverterProcess, tmp_path: Path
) -> None:
    module, inputs = quantized("vit", "w8_rtn", tmp_path)
    weight = weighted_layers(module)["blocks.0.mlp.fc1"].weight
    weight.quantized[0] = 8 * (weight.quantized[0] / 8).round()
    parent = saved_model(tools, module, inputs, tmp_path / "float")
    hashes = set()
    for _ in range(2):
        to_tflite(tools, module, parent, inputs, tmp_path, name="even")
        hashes.add(hash_file(tmp_path / MODEL))
    stored, scale, _ = tools.run(read_integers, tmp_path / MODEL)["blocks.0.mlp.fc1"]
    np.testing.assert_array_equal(stored, weight.quantized.numpy())
    np.testing.assert_array_equal(scale, weight.scale.numpy())
    assert len(hashes) == 1


def test_the_float_model_of_other_integers_is_refused(tools: ConverterProcess, tmp_path: Path) -> None:
    module, inputs = quantized("vit", "w8_rtn", tmp_path)
    other, _ = quantized("vit", "w7_rtn", tmp_path)
    parent = saved_model(tools, other, inputs, tmp_path / "float")
    with pytest.raises(ConversionError, match=r"does not multiply by the weights of patch_embed\.proj"):
        to_tflite(tools, module, parent, inputs, tmp_path, name="mixed")


def test_layers_keep_the_axes_of_their_inputs(tools: ConverterProcess, tmp_path: Path) -> None:
    module, _, _, path = made(tools, "vit", "w8_rtn", tmp_path)
    ranks = tools.run(layer_ranks, path)
    linear = [name for name, layer in weighted_layers(module).items() if isinstance(layer, QuantLinear)]
    assert len(ranks) == len(linear) and {before - after for before, after in ranks} == {0}
    assert 3 in {before for before, _ in ranks}
