"""A request becomes a model: its weights, its preprocessing, its labels, and what is said on the way."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from timm.data import resolve_model_data_config
from torch import nn

from export.core.errors import RequestError
from export.core.records import ModelSpec
from export.data.fashion import ASSETS, LABELS, read_embedded
from export.data.preprocess import preprocess
from export.models.choice.request import ModelRequest, PreprocessOptions
from export.models.load import load
from export.models.weights.randomise import randomise

TINY = "timm/test_vit.r160_in1k"


def quietly(**asked: Any) -> tuple[ModelSpec, nn.Module, list[str]]:
    said: list[str] = []
    spec, module = load(ModelRequest(**asked), said.append)
    return spec, module, said


def checkpoint(folder: Path, architecture: str = "test_vit", **arguments: Any) -> Path:
    module = randomise(timm.create_model(architecture, pretrained=False, **arguments), seed=5)
    save_file(module.state_dict(), folder / "mine.safetensors")
    return folder / "mine.safetensors"


def assert_rebuildable(spec: ModelSpec, module: nn.Module) -> None:
    values = json.loads(json.dumps(spec.to_json()))
    again = ModelSpec.from_json(values)
    rebuilt = timm.create_model(again.timm_name, pretrained=False, **again.arguments)
    rebuilt.load_state_dict(module.state_dict())
    assert sum(parameter.numel() for parameter in rebuilt.parameters()) == spec.parameters


def test_random_weights_are_reproducible_and_not_trivial() -> None:
    spec, module, said = quietly(model=TINY, weights="random", seed=3)
    again = quietly(model=TINY, weights="random", seed=3)[0]
    other = quietly(model=TINY, weights="random", seed=4)[0]
    assert spec.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert spec.weights == "random" and said == []
    assert not module.training and all(value.dtype == torch.float32 for value in module.parameters())
    assert all(value.abs().sum() > 0 for name, value in module.named_parameters() if name.endswith("bias"))
    assert_rebuildable(spec, module)


@pytest.mark.parametrize("name", ["deit_t", "timm/test_resnet.r160_in1k", TINY])
def test_preprocessing_is_the_models_own(name: str) -> None:
    spec, module, _ = quietly(model=name, weights="random")
    config = resolve_model_data_config(module, use_test_size=True)
    assert (3, spec.preprocess.size, spec.preprocess.size) == config["input_size"]
    assert spec.preprocess.mean == config["mean"] and spec.preprocess.std == config["std"]
    for key in ("crop_pct", "crop_mode", "interpolation"):
        assert getattr(spec.preprocess, key) == config[key]
    assert (spec.outputs, len(spec.labels), spec.labels[1]) == (1000, 1000, "goldfish")
    assert_rebuildable(spec, module)


def test_the_test_size_of_a_model_is_used_as_timms_validation_does() -> None:
    assert timm.get_pretrained_cfg("resnet10t.c3_in1k").input_size == (3, 176, 176)
    spec = quietly(model="timm/resnet10t.c3_in1k", weights="random")[0]
    assert (spec.preprocess.size, spec.preprocess.crop_pct) == (224, 0.95)


def test_dino_gives_an_embedding(tmp_path: Path) -> None:
    spec, module, _ = quietly(model="dino_s", weights="random")
    assert (spec.features, spec.outputs, spec.labels, spec.arguments) == (True, 384, (), {"num_classes": 0})
    assert_rebuildable(spec, module)
    (tmp_path / "labels.txt").write_text("cat\n")
    with pytest.raises(RequestError, match="has no classes"):
        quietly(model="dino_s", weights="random", labels=tmp_path / "labels.txt")


@pytest.mark.parametrize("name", ["fashion", "resnet18", pytest.param("swin_t", marks=pytest.mark.slow)])
def test_features_are_what_the_classifier_reads(name: str) -> None:
    weights: Any = None if name == "fashion" else "random"
    spec, module, _ = quietly(model=name, weights=weights, features=True)
    whole_spec, whole, _ = quietly(model=name, weights=weights)
    side = spec.preprocess.size
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features: Any = module(images)
        classifier: Any = whole.get_classifier() if name != "swin_t" else whole.head.fc
        torch.testing.assert_close(classifier(features), whole(images))
    assert (spec.name, spec.features, spec.labels, spec.confidence) == (f"{name}_features", True, (), None)
    assert spec.preprocess == whole_spec.preprocess
    assert_rebuildable(spec, module)


def test_features_have_no_classes(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="--multi-label is about classes"):
        ModelRequest(model="fashion", multi_label=True, features=True)
    with pytest.raises(RequestError, match="dino_s has no classifier"):
        quietly(model="dino_s", weights="random", features=True)


def test_an_untagged_name_is_pinned_to_its_tag() -> None:
    spec = quietly(model="timm/test_vit", weights="random")[0]
    assert (spec.name, spec.timm_name, spec.licence) == ("timm-test_vit", "test_vit.r160_in1k", "apache-2.0")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("timm/vit_tiny_patch16_225", ("no model 'vit_tiny_patch16_225'", "timm/vit_tiny_patch16_224")),
        ("timm/deit_tiny_patch16_224.fb_in2k", ("timm/deit_tiny_patch16_224.fb_in1k", "timm.list_pretrained()")),
        ("timm/vit_base_patch16_sapiens2.fb", ("1024×768", "only square RGB")),
    ],
)
def test_what_timm_has_not_or_the_page_cannot_show_is_refused(model: str, words: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as caught:
        quietly(model=model, weights="random")
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_fine_tuned_head_decides_the_number_of_classes(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, num_classes=5)
    spec, module, said = quietly(model=TINY, checkpoint=path)
    assert (spec.weights, spec.outputs, spec.labels) == ("checkpoint", 5, tuple(f"class {i}" for i in range(5)))
    assert said == ["note: the names of the 5 classes are unknown; they are shown as class 0 … class 4"]
    assert spec.licence == "not stated (own checkpoint)"
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in load_file(path).items())
    assert_rebuildable(spec, module)


def test_labels_of_a_file_are_used_and_must_be_as_many_as_the_outputs(tmp_path: Path) -> None:
    path, labels = checkpoint(tmp_path, num_classes=3), tmp_path / "labels.txt"
    labels.write_text("cat\ndog\nemu\n")
    spec, _, said = quietly(model=TINY, checkpoint=path, labels=labels)
    assert spec.labels == ("cat", "dog", "emu") and said == []
    labels.write_text("cat\ndog\n")
    with pytest.raises(RequestError, match="2 labels, but the model has 3 outputs"):
        quietly(model=TINY, checkpoint=path, labels=labels)


def test_a_head_of_imagenets_size_is_taken_for_imagenets_and_that_is_said(tmp_path: Path) -> None:
    spec, _, said = quietly(model=TINY, checkpoint=checkpoint(tmp_path))
    assert spec.labels[1] == "goldfish" and "assumed to be ImageNet" in said[0]


def test_a_classifier_grown_on_dino_classifies(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, "vit_small_patch16_224", num_classes=4)
    spec, module, _ = quietly(model="dino_s", checkpoint=path)
    assert (spec.features, spec.outputs, len(spec.labels)) == (False, 4, 4)
    assert_rebuildable(spec, module)


def test_what_part_of_a_training_checkpoint_is_used_is_said(tmp_path: Path) -> None:
    module = timm.create_model("test_vit", pretrained=False, num_classes=2)
    torch.save({"state_dict": module.state_dict(), "state_dict_ema": module.state_dict()}, tmp_path / "last.pth")
    said = quietly(model=TINY, checkpoint=tmp_path / "last.pth")[2]
    assert said[0] == "note: using the weights under 'state_dict_ema' in last.pth"


def test_a_checkpoint_of_another_model_is_refused_by_tensor_names(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"does not fit timm/test_vit\.r160_in1k") as caught:
        quietly(model=TINY, checkpoint=checkpoint(tmp_path, "test_resnet"))
    assert all(word in caught.value.message for word in ("missing: ", "cls_token", "unexpected: ", "conv1."))


def test_the_shape_of_the_embedded_model_takes_other_weights(tmp_path: Path) -> None:
    arguments = {"img_size": 28, "patch_size": 4, "embed_dim": 192, "depth": 6, "num_heads": 3, "num_classes": 10}
    path = checkpoint(tmp_path, "vit_tiny_patch16_224", **arguments)
    spec, module, said = quietly(model="fashion", checkpoint=path)
    assert spec.labels == LABELS and said == []
    assert (spec.preprocess.size, spec.preprocess.mean, spec.preprocess.std) == (28, (0.2860,) * 3, (0.3530,) * 3)
    assert_rebuildable(spec, module)


def test_the_embedded_model_classifies_its_test_images() -> None:
    spec, module, said = quietly(model="fashion")
    assert (spec.weights, spec.labels, spec.outputs, said) == ("embedded", LABELS, 10, [])
    assert (spec.preprocess.crop_pct, spec.preprocess.interpolation) == (1.0, "bicubic")
    assert (ASSETS / "fashion.safetensors").stat().st_size <= 6_000_000
    assert {value.dtype for value in load_file(ASSETS / "fashion.safetensors").values()} == {torch.float16}
    assert {value.dtype for value in module.parameters()} == {torch.float32}
    images = read_embedded("test")
    inputs = [torch.from_numpy(preprocess(image, spec.preprocess)) for image in images.rgb(0, 200)]
    with torch.inference_mode():
        answers = module(torch.stack(inputs)).argmax(1).numpy()
    assert (answers == images.labels[:200]).mean() >= 0.9
    assert_rebuildable(spec, module)


OPTIONS = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4], "crop_pct": 1.0, "interpolation": "bilinear"}


@pytest.mark.parametrize(
    "content",
    [
        {"args": argparse.Namespace(model="test_vit", lr=0.1, img_size=None, **OPTIONS)},
        {"args": OPTIONS | {"input_size": [3, 160, 160]}},
        {"hyper_parameters": OPTIONS | {"img_size": 160}},
        {"hparams": {"data": OPTIONS}},
        {
            "config": {
                "_content": {
                    n: {"_content": [{"_val": x} for x in v]} if isinstance(v, list) else {"_val": v}
                    for n, v in OPTIONS.items()
                }
            }
        },
        {"config": {**OPTIONS, "mean": [102.0, 127.5, 153.0], "std": [51.0, 76.5, 102.0]}},
        {"pretrained_cfg": {name: tuple(v) if isinstance(v, list) else v for name, v in OPTIONS.items()}},
    ],
    ids=["namespace", "dict", "lightning", "nested", "OmegaConf", "of bytes", "timm"],
)
def test_preprocessing_in_a_checkpoint_is_used_and_said(tmp_path: Path, content: dict[str, Any]) -> None:
    module = timm.create_model("test_vit", pretrained=False)
    torch.save({"state_dict": module.state_dict(), **content}, tmp_path / "last.pth")
    spec, _, said = quietly(model=TINY, checkpoint=tmp_path / "last.pth")
    assert spec.preprocess.mean == pytest.approx((0.4, 0.5, 0.6)) and spec.preprocess.std == pytest.approx(
        (0.2, 0.3, 0.4)
    )
    assert (spec.preprocess.crop_pct, spec.preprocess.interpolation, spec.preprocess.size) == (1.0, "bilinear", 160)
    assert (
        "note: preprocessing as the checkpoint says: mean 0.4, 0.5, 0.6, std 0.2, 0.3, 0.4, crop_pct 1.0, "
        "interpolation bilinear" in said
    )


def test_the_metadata_of_safetensors_is_read_too(tmp_path: Path) -> None:
    module = timm.create_model("test_vit", pretrained=False, num_classes=2)
    metadata = {"mean": "[0.4, 0.5, 0.6]", "crop_pct": "0.8", "classes": '["cat", "dog"]'}
    save_file(module.state_dict(), tmp_path / "a.safetensors", metadata=metadata)
    spec, _, said = quietly(model=TINY, checkpoint=tmp_path / "a.safetensors")
    assert (spec.preprocess.mean, spec.preprocess.crop_pct, spec.labels) == ((0.4, 0.5, 0.6), 0.8, ("cat", "dog"))
    assert len(said) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"mean": None, "std": None, "crop_pct": None, "interpolation": ""},
        {"mean": "imagenet", "std": [0.1, 0.2], "crop_pct": 87.5, "interpolation": "random", "img_size": [64, 32]},
    ],
)
def test_options_that_say_nothing_change_nothing(tmp_path: Path, options: dict[str, Any]) -> None:
    module = timm.create_model("test_vit", pretrained=False)
    torch.save({"state_dict": module.state_dict(), "args": options}, tmp_path / "last.pth")
    assert (
        quietly(model=TINY, checkpoint=tmp_path / "last.pth")[0].preprocess
        == quietly(model=TINY, weights="random")[0].preprocess
    )


def test_what_is_requested_overrides_the_checkpoint(tmp_path: Path) -> None:
    module = timm.create_model("test_vit", pretrained=False)
    torch.save({"state_dict": module.state_dict(), "args": OPTIONS}, tmp_path / "last.pth")
    asked = PreprocessOptions(mean=(0.1,) * 3, interpolation="box")
    spec, _, said = quietly(model=TINY, checkpoint=tmp_path / "last.pth", preprocess=asked)
    assert (spec.preprocess.mean, spec.preprocess.std) == ((0.1,) * 3, (0.2, 0.3, 0.4))
    assert spec.preprocess.interpolation == "box"
    assert "note: preprocessing as requested: mean 0.1, interpolation box" in said


def test_the_image_size_is_that_of_the_positions(tmp_path: Path) -> None:
    spec, module, said = quietly(model=TINY, checkpoint=checkpoint(tmp_path, img_size=64))
    assert spec.preprocess.size == 64 and spec.arguments["img_size"] == 64
    assert said[0] == f"note: mine.safetensors differs from {TINY} (test_vit.r160_in1k): img_size=64"
    assert module(torch.zeros(1, 3, 64, 64)).shape == (1, 1000)
    assert_rebuildable(spec, module)


@pytest.mark.parametrize("model", [TINY, "timm/test_resnet.r160_in1k"])
def test_another_image_size_can_be_requested(tmp_path: Path, model: str) -> None:
    for asked in ({"weights": "random"}, {"checkpoint": checkpoint(tmp_path, model[5:].partition(".")[0])}):
        spec, module, _ = quietly(model=model, preprocess=PreprocessOptions(image_size=96), **asked)
        assert spec.preprocess.size == 96 and module(torch.zeros(1, 3, 96, 96)).shape == (1, 1000)
        assert spec.positions_from == (160 if model == TINY else None)
        assert_rebuildable(spec, module)


def test_an_image_size_that_a_model_cannot_have_is_refused() -> None:
    with pytest.raises(RequestError, match="cannot take images of 100×100") as caught:
        quietly(model=TINY, weights="random", preprocess=PreprocessOptions(image_size=100))
    assert "multiple of the patch size" in caught.value.hint


def test_the_size_of_the_checkpoints_options_is_used_where_positions_do_not_tell(tmp_path: Path) -> None:
    module = timm.create_model("test_resnet", pretrained=False)
    torch.save({"model": module.state_dict(), "args": {"img_size": 96}}, tmp_path / "last.pth")
    spec, _, said = quietly(model="timm/test_resnet.r160_in1k", checkpoint=tmp_path / "last.pth")
    assert spec.preprocess.size == 96 and "note: preprocessing as the checkpoint says: size 96" in said


def test_a_model_of_grey_images_has_one_mean(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, in_chans=1, num_classes=2)
    spec, _, said = quietly(model=TINY, checkpoint=path, preprocess=PreprocessOptions(mean=(0.13,) * 3, std=(0.3,) * 3))
    assert (spec.preprocess.mean, spec.preprocess.std) == ((0.13,) * 3, (0.3,) * 3)
    assert not any("assumed" in note for note in said)
    spec, _, said = quietly(model=TINY, checkpoint=path)
    assert len(set(spec.preprocess.mean)) == 1 and "pass --mean and --std" in said[-2]


@pytest.mark.parametrize(
    "classes",
    [
        {"class_to_idx": {"cat": 0, "emu": 2, "dog": 1}},
        {"classes": ["cat", "dog", "emu"]},
        {"args": {"labels": ["cat", "dog", "emu"]}},
    ],
)
def test_classes_that_a_checkpoint_names_are_the_labels(tmp_path: Path, classes: dict[str, Any]) -> None:
    module = timm.create_model("test_vit", pretrained=False, num_classes=3)
    torch.save({"model": module.state_dict(), **classes}, tmp_path / "last.pth")
    spec, _, said = quietly(model=TINY, checkpoint=tmp_path / "last.pth")
    assert spec.labels == ("cat", "dog", "emu") and "in the checkpoint; pass --labels FILE for others" in said[-1]
    (tmp_path / "labels.txt").write_text("a\nb\nc")
    assert quietly(model=TINY, checkpoint=tmp_path / "last.pth", labels=tmp_path / "labels.txt")[0].labels == (
        "a",
        "b",
        "c",
    )


def test_labels_for_a_checkpoint_without_a_head_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("a\nb\n")
    path = checkpoint(tmp_path, num_classes=0)
    with pytest.raises(RequestError, match="no head, its output is an embedding"):
        quietly(model=TINY, checkpoint=path, labels=tmp_path / "labels.txt")
    assert quietly(model=TINY, checkpoint=path)[0].features


def test_one_output_is_a_probability_of_its_own(tmp_path: Path) -> None:
    path, labels = checkpoint(tmp_path, num_classes=1), tmp_path / "labels.txt"
    spec, _, said = quietly(model=TINY, checkpoint=path)
    assert (spec.probabilities, spec.labels, spec.outputs) == ("sigmoid", ("class 0",), 1)
    assert said == [
        "note: the name of the class is unknown; it is shown as class 0",
        "note: the model has one output: its sigmoid is shown as the probability of its label",
    ]
    labels.write_text("ripe\n")
    assert quietly(model=TINY, checkpoint=path, labels=labels)[0].labels == ("ripe",)


def test_several_labels_a_picture_are_requested_or_stated(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, num_classes=3)
    assert quietly(model=TINY, checkpoint=path)[0].probabilities == "softmax"
    assert quietly(model=TINY, checkpoint=path, multi_label=True)[0].probabilities == "sigmoid"
    module = timm.create_model("test_vit", pretrained=False, num_classes=3)
    for options in ({"multilabel": True}, {"problem_type": "multi_label_classification"}):
        torch.save({"model": module.state_dict(), "args": options}, tmp_path / "last.pth")
        spec, _, said = quietly(model=TINY, checkpoint=tmp_path / "last.pth")
        assert spec.probabilities == "sigmoid" and "model of several labels" in said[-1]
    with pytest.raises(RequestError, match="--multi-label: dino_s has no classes"):
        quietly(model="dino_s", weights="random", multi_label=True)
