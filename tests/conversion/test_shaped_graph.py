"""Shaped models through the real converters: outputs are timm's, and the graphs are what the kernels like."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shaped_models import model
from sharing import one_at_a_time
from tiny import tiny
from torch import nn

from export.conversion.converter_process import ConverterProcess
from export.conversion.litert.export import MODEL as TFLITE
from export.conversion.litert.export import to_tflite
from export.conversion.onnx.export import MODEL
from export.conversion.reshape import REWRITE_RECORD
from export.conversion.reshape import layers as rewritten_layers
from export.conversion.reshape.export import to_rewritten_onnx
from export.conversion.tensorflow import SAVED_MODEL, to_tf
from export.conversion.tfjs.export import run_tfjs, to_tfjs
from export.conversion.tfjs.files import read_tensors
from export.conversion.tfjs.gpu_graph import GPU_MODEL
from export.conversion.tfjs.graph_model import STORAGES
from export.conversion.tfjs.packed import integer_weights
from export.core.errors import RequestError, VerificationError
from export.core.figures.fidelity import accept
from export.models.choice.request import ModelRequest
from export.models.weights.float_artifact import run_model
from export.pipeline.build import make_formats, quantize
from export.pipeline.formats import FORMATS
from export.pipeline.store import Store
from export.quantization.calibration.assemble import dequantized
from export.quantization.calibration.calibrate import calibrate
from export.quantization.integer_file import QuantizedModel, load_quantized, write_quantized
from export.quantization.methods import METHODS
from export.quantization.recipes import find_recipe, quantizing

pytestmark = pytest.mark.conversion
Inputs = np.ndarray[Any, np.dtype[np.float32]]


def saved_model(tools: ConverterProcess, module: nn.Module, inputs: Inputs, target: str, folder: Path) -> Path:
    folder /= target
    for name in ("onnx", "tf"):
        (folder / name).mkdir(parents=True)
    outputs = run_model(module, inputs)
    rewritten = to_rewritten_onnx(
        module, inputs, outputs, folder / "onnx", target=target, name="rewritten", log=tools.log
    )
    assert not rewritten.reason and len(rewritten.comparisons) == 2
    assert {(one.parent, one.edge) for one in rewritten.comparisons} == {("torch", "rewrite")}
    to_tf(tools, folder / "onnx" / MODEL, inputs, folder / "tf", name="rewritten")
    return folder / "tf" / SAVED_MODEL


def nodes(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "model.json").read_text())["modelTopology"]["node"]
    return found


def check_graph(folder: Path, *, depth: int, heads: int, slices: int) -> None:
    """No transposed product, nothing that TF.js computes slowly, and just the products that there should be."""
    transposing = ("transpose_a", "transpose_b", "adj_x", "adj_y")
    assert not any(node.get("attr", {}).get(name, {}).get("b") for node in nodes(folder) for name in transposing)
    found = Counter(node["op"].strip("_").removeprefix("Fused") for node in nodes(folder))
    assert not set(found) & {"Erf", "Tanh", "Split", "SplitV", "Unpack", "GatherV2", "Slice", "SquaredDifference"}
    assert not [kind for kind in found if kind.startswith("BatchMatMul")]
    assert found["StridedSlice"] == slices
    assert found["Softmax"] == found["Transpose"] == depth * heads and found["Sigmoid"] == depth
    assert found["MatMul"] >= depth * (5 * heads + 3)


def check_gpu_graph(folder: Path, *, depth: int) -> None:
    """All heads at once, means by products, and no weight that the other graph does not have."""
    model = json.loads((folder / GPU_MODEL).read_text())
    found = Counter(node["op"].strip("_").removeprefix("Fused") for node in model["modelTopology"]["node"])
    assert found["Softmax"] == depth and found["BatchMatMulV2"] == 2 * depth
    assert found["Rsqrt"] >= 2 * depth and not set(found) & {"SquaredDifference", "Sqrt", "Reciprocal"}
    own = [entry for group in model["weightsManifest"] for entry in group["weights"]]
    matrices = [entry["shape"] for entry in own if entry["name"].endswith("/weight")]
    assert matrices and all(shape[-1] == 1 for shape in matrices)
    assert sum(len(shared["of"]) == 9 for shared in model["shared"]) == depth, "queries, keys, values of three heads"
    plain = Counter(node["op"] for node in nodes(folder))
    assert sum(found.values()) - found["Const"] < sum(plain.values()) - plain["Const"]


@pytest.mark.parametrize(
    ("kind", "slices"),
    [
        ("class token", 2),
        ("distillation token", 4),
        ("normalised queries and keys", 2),
        ("mean", 0),
        ("norm before the blocks, quick GELU", 2),
    ],
)
def test_tfjs_computes_what_timm_computes(kind: str, slices: int, tools: ConverterProcess, tmp_path: Path) -> None:
    module, image = model(kind)
    inputs = np.concatenate([image.numpy(), -image.numpy()])
    source, for_gpu = (saved_model(tools, module, inputs, target, tmp_path) for target in ("tfjs", "tfjs_gpu"))
    folder = tmp_path / "made"
    folder.mkdir()
    to_tfjs(tools, source, inputs, folder, recipe="f32", name="rewritten", for_gpu=for_gpu)
    wanted = run_model(module, inputs)
    for build, bound in (("cpu", 1e-3), ("gpu", 1e-5)):
        found = run_tfjs(folder, inputs, tmp_path, tools.log, build=build)
        assert np.abs(found - wanted).max() < bound * (wanted.max() - wanted.min())
    check_gpu_graph(folder, depth=2)
    if kind != "mean":  # 16 tokens and heads of 16: a square, whose transposition TensorFlow moves
        check_graph(folder, depth=2, heads=3, slices=slices)


def packed_bits(folder: Path, file: Path, heads: int) -> set[int]:
    """Check that the folder stores all rows of the file's weights; return the bits they are packed in."""
    weights = {name: weight.values() for name, weight in integer_weights(file).items()}
    manifest = json.loads((folder / "model.json").read_text())["weightsManifest"][0]["weights"]
    packed = {entry["name"]: entry["packed"] for entry in manifest if "packed" in entry}
    rows = sum(record["shape"][0] for record in packed.values())
    assert rows == sum(len(values) for values in weights.values())
    assert len(packed) == len(weights) + sum((3 * heads - 1) for name in weights if name.endswith("qkv"))
    stored = read_tensors(folder)
    for name, record in packed.items():
        back = stored[name].values.reshape([record["shape"][axis] for axis in record["axes"]])
        part = back.transpose(np.argsort(record["axes"]))
        assert any(
            np.array_equal(part, values[start : start + len(part)])
            for values in weights.values()
            if values.shape[1:] == part.shape[1:]
            for start in range(0, len(values), len(part))
        )
    return {record["bits"] for record in packed.values()}


@pytest.mark.parametrize(("method", "bits"), [("gptq", 4), ("affine", 7), ("dynamic", 8)])
def test_packed_recipes_keep_their_integers(method: str, bits: int, tools: ConverterProcess, tmp_path: Path) -> None:
    spec, module, images = tiny("vit")
    recipe = quantizing(METHODS[method], bits, None if METHODS[method].weight_only else 8)
    file = tmp_path / "model.safetensors"
    write_quantized(QuantizedModel(spec, recipe, calibrate(module, recipe, images)), file)
    inputs = images[:2].numpy()
    plain = dequantized(load_quantized(file).module)
    source, for_gpu = (saved_model(tools, plain, inputs, f"{name}_packed", tmp_path) for name in ("tfjs", "tfjs_gpu"))
    folder = tmp_path / "made"
    folder.mkdir()
    found, _ = to_tfjs(
        tools, source, inputs, folder, recipe=recipe.name, name="rewritten", integers=file, for_gpu=for_gpu
    )
    check_gpu_graph(folder, depth=2)
    assert len(found) == 2 and {one.edge for one in found} == {"integers"}
    assert all(one.sqnr_db is None or one.sqnr_db > 80 for one in found)
    check_graph(folder, depth=2, heads=3, slices=2)
    if method == "affine":  # one scale a tensor: plain uint8 of the stock format
        assert not packed_entries(folder) and sum(path.stat().st_size for path in folder.glob("group1-*.bin")) < 1.2e5
    else:
        assert packed_bits(folder, file, heads=3) == {bits}


def packed_entries(folder: Path) -> list[dict[str, Any]]:
    manifest = json.loads((folder / "model.json").read_text())["weightsManifest"][0]["weights"]
    return [entry for entry in manifest if "packed" in entry]


def operations(path: Path) -> Counter[str]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_path=str(path), experimental_op_resolver_type=plain)
    return Counter(operation["op_name"] for operation in interpreter._get_ops_details())


@pytest.mark.parametrize("target", ["tflite", "tflite_packed"])
def test_litert_has_one_operation_for_gelu_and_one_product_for_all_heads(
    target: str, tools: ConverterProcess, tmp_path: Path
) -> None:
    _, module, images = tiny("vit")
    if target == "tflite_packed":
        module = calibrate(module, find_recipe("w8_dynamic"), images)
    inputs = images[:2].numpy()
    source = saved_model(tools, dequantized(module), inputs, target, tmp_path)
    found, held = to_tflite(tools, module, source, inputs, tmp_path, name="rewritten")
    assert held.compute_dtype == ("int8" if target == "tflite_packed" else "float32")
    assert found.sqnr_db is not None and found.sqnr_db > (30 if target == "tflite_packed" else 80)
    counted = tools.run(operations, tmp_path / TFLITE)
    assert counted["GELU"] == 2 and counted["BATCH_MATMUL"] == 4 and counted["FULLY_CONNECTED"] == 9
    assert not counted["SQUARED_DIFFERENCE"] and not counted["GATHER"]
    assert counted["SUB"] == (5 if target == "tflite_packed" else 0), "a mean taken away"


@pytest.mark.parametrize("family", ["swin", "resnet"])
def test_what_cannot_be_shaped_is_converted_as_it_is(family: str, tools: ConverterProcess, tmp_path: Path) -> None:
    _, module, images = tiny(family)
    inputs = images[:2].numpy()
    outputs = run_model(module, inputs)
    made = to_rewritten_onnx(module, inputs, outputs, tmp_path, target="tfjs", name=family, log=tools.log)
    assert "not timm's VisionTransformer" in made.reason and [one.edge for one in made.comparisons] == ["onnx"]
    assert json.loads((tmp_path / REWRITE_RECORD).read_text()) == {"target": "tfjs", "reason": made.reason}
    (second := tmp_path / "second").mkdir()
    made = to_rewritten_onnx(
        module, inputs, outputs, second, target="tfjs_gpu", name=family, log=tools.log, optional=True
    )
    assert made.reason and not made.comparisons
    assert [path.name for path in second.iterdir()] == [REWRITE_RECORD], "a second graph would be the first again"


def test_a_shape_that_changes_the_outputs_is_refused(
    tools: ConverterProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(rewritten_layers.SIGMOID, "gelu", (1.0, 0.0))
    module, image = model("class token")
    outputs = module(image).detach().numpy()
    made = to_rewritten_onnx(module, image.numpy(), outputs, tmp_path, target="tfjs", name="x", log=tools.log)
    with pytest.raises(VerificationError, match="the model rewritten for tfjs does not agree"):
        for comparison in made.comparisons:
            accept(comparison, FORMATS["onnx_tfjs"].bounds_db[comparison.edge])


def test_the_pipeline_makes_shaped_and_stock_variants(artifacts: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, request = Store(artifacts), ModelRequest(model="fashion")
    pairs = tuple((find_recipe("u8"), format) for format in ("tfjs", "tfjs_stock"))
    with one_at_a_time("fashion"):
        made = make_formats(request, pairs, store, force=False)
    assert [artifact.format for artifact in made] == ["tfjs", "tfjs_stock"]
    folders = [store.folder("fashion", "u8", artifact.format) for artifact in made]
    check_graph(folders[0], depth=6, heads=3, slices=2)
    check_gpu_graph(folders[0], depth=6)
    assert not (folders[1] / GPU_MODEL).exists()
    assert "Erf" in {node["op"] for node in nodes(folders[1])}
    shaped = store.read("fashion", "f32", "onnx_tfjs")
    assert shaped is not None and shaped.verification is not None
    assert shaped.verification.bound_sqnr_db == FORMATS["onnx_tfjs"].bounds_db["rewrite"]
    for recipe in STORAGES:
        if recipe != "f32":
            with pytest.raises(RequestError, match=f"{recipe} cannot be converted to tflite"):
                make_formats(request, ((find_recipe(recipe), "tflite"),), store, force=False)


def test_a_quantized_model_as_litert_in_its_shape(artifacts: Path) -> None:
    store, recipe = Store(artifacts), find_recipe("w8_dynamic")
    with one_at_a_time("fashion"):
        made = quantize(ModelRequest(model="fashion"), recipe, ("safetensors", "tflite"), store, force=False)
    assert set(made) == {"safetensors", "tflite"} and made["tflite"].compute_dtype == "int8"
    assert store.read("fashion", recipe.name, "tf_tflite") is not None
