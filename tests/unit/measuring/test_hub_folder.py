"""A float model as a Hub folder: what its files say, and that the q8 file is what ONNX Runtime's tool makes."""

import json
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from onnxruntime.quantization import QuantType, quantize_dynamic
from tiny import tiny

from export.core.errors import RequestError
from export.core.figures.fidelity import sqnr_db
from export.measuring.benchmark.peer.hub_folder import (
    FLOAT,
    PIXELS,
    Q8,
    REPORT,
    config,
    preprocessor_config,
    run_pixels,
    write_hub_folder,
)
from export.models.weights.float_artifact import read_golden, write_model


def store(family: str, folder: Path) -> Path:
    spec, module, images = tiny(family)
    folder.mkdir()
    write_model(spec, module, images[:4].numpy(), folder)
    return folder


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return store("vit", tmp_path_factory.mktemp("stored") / "torch")


@pytest.fixture(scope="module")
def hub(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    write_hub_folder(artifact, folder)
    return folder


def test_float_file_agrees_with_torch_and_q8_nearly(artifact: Path, hub: Path) -> None:
    inputs, outputs = read_golden(artifact)
    report = json.loads((hub / REPORT).read_text())
    for name, file, least in (("fp32", FLOAT, 80), ("q8", Q8, 20)):
        found = sqnr_db(outputs, run_pixels(hub / file, inputs))
        assert found is not None and found > least
        assert report[name]["sqnr_db"] == pytest.approx(found)


def test_q8_is_what_the_tool_makes_of_the_float_file(hub: Path, tmp_path: Path) -> None:
    made = tmp_path / "made.onnx"
    quantize_dynamic(
        hub / FLOAT,
        made,
        weight_type=QuantType.QUInt8,
        per_channel=True,
        reduce_range=True,
        extra_options={"EnableSubgraph": True, "MatMulConstBOnly": True},
    )
    expected, found = onnx.load(made).graph, onnx.load(hub / Q8).graph
    assert [node.op_type for node in found.node] == [node.op_type for node in expected.node]
    weights = {value.name: onnx.numpy_helper.to_array(value) for value in expected.initializer}
    assert {value.name for value in found.initializer} == set(weights)
    for value in found.initializer:
        assert np.array_equal(onnx.numpy_helper.to_array(value), weights[value.name]), value.name
    kinds = {node.op_type for node in found.node}
    assert {"MatMulInteger", "ConvInteger", "DynamicQuantizeLinear"} <= kinds and "Gemm" not in kinds
    stored = [array for array in weights.values() if array.dtype == np.uint8 and array.ndim == 2]
    assert stored and max(int(array.max()) for array in stored) <= 127  # seven bits of range


def test_files_name_input_output_and_classes_as_a_pipeline_does(hub: Path) -> None:
    for file in (FLOAT, Q8):
        graph = onnx.load(hub / file).graph
        assert [value.name for value in graph.input] == [PIXELS]
        assert [value.name for value in graph.output] == ["logits"]
    spec = tiny("vit")[0]
    read = json.loads((hub / "config.json").read_text())
    assert (read["model_type"], read["id2label"]["3"], read["num_labels"]) == ("vit", spec.labels[3], 10)


def test_preprocessing_is_said_as_far_as_it_can_be() -> None:
    spec = tiny("vit")[0]

    def said(**values: object) -> dict[str, object]:
        preprocess = msgspec.structs.replace(spec.preprocess, size=224, **values)
        return preprocessor_config(msgspec.structs.replace(spec, preprocess=preprocess))

    centre = said(crop_pct=0.9)
    assert (centre["size"], centre["resample"]) == ({"shortest_edge": 248}, 3)
    assert centre["crop_size"] == {"height": 224, "width": 224}
    assert said(crop_mode="squash")["size"] == {"height": 224, "width": 224}
    with pytest.raises(RequestError, match="border"):
        said(crop_mode="border")


def test_a_deit_says_that_it_is_one() -> None:
    spec = tiny("distilled")[0]
    assert config(spec)["model_type"] == "deit"
    assert preprocessor_config(spec)["image_processor_type"] == "DeiTImageProcessor"


def test_other_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="only on ViT and DeiT models, not ResNet"):
        write_hub_folder(store("resnet", tmp_path / "torch"), tmp_path)
