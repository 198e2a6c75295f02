"""What a file of weights states beside them: it is used and said, or said not to be used; never passed over."""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from export.core.errors import RequestError
from export.core.records import ModelSpec
from export.models.choice.request import ModelRequest, PreprocessOptions
from export.models.load import load
from export.models.weights.randomise import randomise

NAME = "vit_tiny_patch16_224"
SMALL: dict[str, Any] = {"img_size": 28, "patch_size": 7, "depth": 1, "num_classes": 5}
MEAN, STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
STATED: dict[str, Any] = {"mean": list(MEAN), "std": list(STD)}
FIVE = ("ant", "bee", "cat", "dog", "emu")


def make(**arguments: Any) -> nn.Module:
    return randomise(timm.create_model(NAME, pretrained=False, **SMALL | arguments).eval(), seed=3)


@pytest.fixture(scope="module")
def module() -> nn.Module:
    return make()


def loaded(path: Path, **asked: Any) -> tuple[ModelSpec, nn.Module, list[str]]:
    said: list[str] = []
    spec, module = load(ModelRequest(model=f"timm/{NAME}", checkpoint=path, **asked), said.append)
    return spec, module, said


def save(folder: Path, module: nn.Module, **beside: Any) -> Path:
    torch.save({"state_dict": module.state_dict(), **beside}, folder / "a.pth")
    return folder / "a.pth"


PLACES: dict[str, dict[str, Any]] = {
    "top": STATED,
    "tensors at the top": {"mean": torch.tensor(MEAN), "std": torch.tensor(STD)},
    **{
        place: {place: STATED}
        for place in ("preprocessing", "data_config", "normalization", "hyperparameters", "params", "model_args")
    },
    "nested": {"config": {"data": {"transform": STATED}}},
    "capitals": {"config": {"INPUT": {"PIXEL_MEAN": MEAN, "PIXEL_STD": STD}}},
    "namespace in a dict": {"cfg": {"data": argparse.Namespace(**STATED)}},
    "list of steps": {"test_pipeline": [{"type": "Resize"}, {"type": "Normalize", **STATED}]},
    "JSON as text": {"args": json.dumps(STATED)},
}


@pytest.mark.parametrize("place", PLACES)
def test_preprocessing_is_found_wherever_it_is(module: nn.Module, tmp_path: Path, place: str) -> None:
    preprocess = loaded(save(tmp_path, module, **PLACES[place]))[0].preprocess
    assert preprocess.mean == pytest.approx(MEAN) and preprocess.std == pytest.approx(STD)


def test_options_in_the_text_of_safetensors_are_read(module: nn.Module, tmp_path: Path) -> None:
    config = {"problem_type": "multi_label_classification", "data": {**STATED, "interpolation": "bilinear"}}
    save_file(module.state_dict(), tmp_path / "a.safetensors", metadata={"config": json.dumps(config)})
    spec = loaded(tmp_path / "a.safetensors")[0]
    assert (spec.preprocess.mean, spec.preprocess.interpolation, spec.probabilities) == (MEAN, "bilinear", "sigmoid")


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ({"crop_mode": "squash"}, "crop_mode", "squash"),
        ({"interpolation": 2}, "interpolation", "bilinear"),
        ({"val_interpolation": "linear"}, "interpolation", "bilinear"),
        ({"interpolation": "InterpolationMode.LANCZOS"}, "interpolation", "lanczos"),
        ({"val_resize_size": 40, "val_crop_size": 28}, "crop_pct", 28 / 40),
        ({"test_crop_ratio": 0.8}, "crop_pct", 0.8),
        ({"pixel_mean": MEAN}, "mean", MEAN),
        ({"normalize_mean": np.array(MEAN)}, "mean", MEAN),
        ({"data_mean": [np.float64(value) for value in MEAN]}, "mean", MEAN),
        ({"mean": torch.tensor(MEAN, dtype=torch.float64).view(3, 1, 1)}, "mean", MEAN),
        ({"mean": ["0.1", "0.2", "0.3"]}, "mean", MEAN),
        ({"mean": "1e-1, 2e-1, 3e-1"}, "mean", MEAN),
        ({"imagenet_default_mean_and_std": True}, "mean", (0.485, 0.456, 0.406)),
    ],
)
def test_the_forms_of_options_are_understood(
    module: nn.Module, tmp_path: Path, options: dict[str, Any], name: str, value: Any
) -> None:
    spec, _, said = loaded(save(tmp_path, module, args=argparse.Namespace(**options)))
    assert getattr(spec.preprocess, name) == value
    assert any(note.startswith(f"note: preprocessing as the checkpoint says: {name} ") for note in said)


@pytest.mark.parametrize("resized", [30, 32, 33, 37, 40, 57, 232, 256])
def test_a_size_before_the_crop_is_kept_to_the_pixel(module: nn.Module, tmp_path: Path, resized: int) -> None:
    crop_pct = loaded(save(tmp_path, module, args={"resize_size": resized}))[0].preprocess.crop_pct
    assert math.floor(28 / crop_pct) == resized


def test_a_size_may_be_text_or_of_three(tmp_path: Path) -> None:
    weights = timm.create_model("test_resnet", pretrained=False).state_dict()
    for size in ("64x64", (np.int64(64), np.int64(64)), [64, 64, 3], "64"):
        torch.save({"model": weights, "img_size": size}, tmp_path / "a.pth")
        request = ModelRequest(model="timm/test_resnet.r160_in1k", checkpoint=tmp_path / "a.pth")
        assert load(request, lambda note: None)[0].preprocess.size == 64


@pytest.mark.parametrize(
    "options",
    [
        {"interpolation": "area"},
        {"crop_pct": 87.5},
        {"mean": {"r": 0.1, "g": 0.2, "b": 0.3}},
        {"normalize": [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]},
        {"strange_place": {"mean": [0.1, 0.2, 0.3]}},
    ],
)
def test_what_is_not_understood_is_said(module: nn.Module, tmp_path: Path, options: dict[str, Any]) -> None:
    said = loaded(save(tmp_path, module, args=options))[2]
    assert sum(note.endswith("in the checkpoint is not understood and not used") for note in said) == 1


def test_of_two_statements_the_one_not_used_is_said(module: nn.Module, tmp_path: Path) -> None:
    path = save(tmp_path, module, args={"crop_pct": 0.8}, config={"data": {"crop_pct": 0.7}})
    spec, _, said = loaded(path)
    assert spec.preprocess.crop_pct == 0.8
    assert "note: config.data.crop_pct 0.7 in the checkpoint is not used, but args.crop_pct is" in said


def test_options_of_training_are_not_mentioned(module: nn.Module, tmp_path: Path) -> None:
    options = {
        **{"mean": None, "std": None, "img_size": None, "train_interpolation": "random", "train_crop_size": 176},
        **{"init_std": 0.02, "random_crop": True, "norm_layer": "layernorm", "target": {"mean": 3.0}},
    }
    said = loaded(save(tmp_path, module, args=options, metrics={"mean": 0.9, "std": 0.1}))[2]
    assert not any("not understood" in note or "preprocessing" in note for note in said)


def test_mean_and_std_are_scaled_together(module: nn.Module, tmp_path: Path) -> None:
    caffe = {"mean": [123.675, 116.28, 103.53], "std": [1.0, 1.0, 1.0]}
    preprocess = loaded(save(tmp_path, module, args=caffe))[0].preprocess
    assert preprocess.mean == pytest.approx((0.485, 0.456, 0.406)) and preprocess.std == pytest.approx((1 / 255,) * 3)
    tensors = {f"model.{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"pixel_{name}": torch.tensor(values) for name, values in caffe.items()}
    torch.save(tensors, tmp_path / "a.pth")
    again = loaded(tmp_path / "a.pth")[0].preprocess
    assert again.mean == pytest.approx(preprocess.mean) and again.std == pytest.approx(preprocess.std)


@pytest.mark.parametrize(
    "options", [{"std": 0.0}, {"std": [-0.5] * 3}, {"mean": [math.nan] * 3}, {"std": 2, "mean": 1}]
)
def test_impossible_normalisation_is_refused_unless_another_is_requested(
    module: nn.Module, tmp_path: Path, options: dict[str, Any]
) -> None:
    path = save(tmp_path, module, args=options)
    with pytest.raises(RequestError, match="the checkpoint states") as caught:
        loaded(path)
    assert "--mean and --std" in caught.value.hint
    assert loaded(path, preprocess=PreprocessOptions(mean=MEAN, std=STD))[0].preprocess.std == STD


def test_a_module_that_normalises_is_not_overruled_by_options(module: nn.Module, tmp_path: Path) -> None:
    content = {f"model.{name}": value for name, value in module.state_dict().items()}
    content |= {f"normalize.{name}": torch.tensor(STATED[name]).view(1, 3, 1, 1) for name in STATED}
    for options in ({"mean": [0, 0, 0], "std": [1, 1, 1]}, STATED, {}):
        torch.save({"state_dict": content, "args": options}, tmp_path / "a.pth")
        assert loaded(tmp_path / "a.pth")[0].preprocess.mean == pytest.approx(MEAN)
    torch.save({"state_dict": content, "args": {"mean": [0.5] * 3, "std": [0.5] * 3}}, tmp_path / "a.pth")
    with pytest.raises(RequestError, match="a module in it normalises by mean 0"):
        loaded(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("arguments", "stated"),
    [
        ({"global_pool": "max"}, {"args": argparse.Namespace(gp="max")}),
        ({"global_pool": "avgmax"}, {"args": argparse.Namespace(gp="avgmax")}),
        ({"global_pool": "avg", "fc_norm": False}, {"args": {"global_pool": "avg"}}),
        ({"num_heads": 6}, {"args": argparse.Namespace(model_kwargs={"num_heads": 6})}),
        ({"num_heads": 6}, {"hyper_parameters": {"num_heads": 6, "depth": 1}}),
        ({"num_heads": 6, "act_layer": "relu"}, {"config": {"MODEL": {"NUM_HEADS": 6, "ACT_LAYER": "relu"}}}),
    ],
)
def test_arguments_that_shapes_cannot_tell_are_those_stated(
    tmp_path: Path, arguments: dict[str, Any], stated: dict[str, Any]
) -> None:
    original, images = make(**arguments), torch.rand(2, 3, 28, 28, generator=torch.Generator().manual_seed(1))
    spec, module, said = loaded(save(tmp_path, original, **stated))
    with torch.inference_mode():
        assert torch.equal(module(images), original(images))
        again = timm.create_model(spec.timm_name, pretrained=False, **spec.arguments).eval()
        again.load_state_dict(module.state_dict())
        assert torch.equal(again(images), original(images))
    assert any(note.startswith("note: as the checkpoint says: ") for note in said)


def test_arguments_that_an_architecture_does_not_take_are_said(module: nn.Module, tmp_path: Path) -> None:
    spec, _, said = loaded(save(tmp_path, module, args={"model_kwargs": {"num_heads": 5, "pre_norm": False}}))
    assert "num_heads" not in spec.arguments
    assert any(note.startswith("note: num_heads=5 in the checkpoint is none of") for note in said)


@pytest.mark.parametrize(
    "options",
    [
        {"multi_label": "true"},
        {"multi_label": 1},
        {"multi_label": np.bool_(True)},
        {"multi-label": True},
        {"task": "multilabel"},
        {"task_type": "multi-label classification"},
    ],
)
def test_several_labels_a_picture_may_be_stated_in_any_way(
    module: nn.Module, tmp_path: Path, options: dict[str, Any]
) -> None:
    assert loaded(save(tmp_path, module, args=options))[0].probabilities == "sigmoid"


def test_one_label_a_picture_is_not_several(module: nn.Module, tmp_path: Path) -> None:
    for options in ({"multi_label": "false"}, {"multi_label": 0}, {"task": "multiclass"}):
        assert loaded(save(tmp_path, module, args=options))[0].probabilities == "softmax"


@pytest.mark.parametrize(
    "stated",
    [
        *({key: dict(enumerate(FIVE))} for key in ("idx2label", "label_map", "names", "idx_to_label")),
        *({key: {name: place for place, name in enumerate(FIVE)}} for key in ("label2id", "class2idx")),
        {"class_to_idx": {name: np.int64(place) for place, name in enumerate(FIVE)}},
        {"class_to_idx": {name: torch.tensor(place) for place, name in enumerate(FIVE)}},
        {"classes": np.array(FIVE)},
        {"classes": np.array(FIVE, dtype=object)},
        {"idx_to_class": {float(place): name for place, name in enumerate(FIVE)}},
        {"labels": ["ant", "bee"] * 5, "classes": list(FIVE)},
    ],
)
def test_names_of_classes_are_found_in_every_form(module: nn.Module, tmp_path: Path, stated: dict[str, Any]) -> None:
    assert loaded(save(tmp_path, module, **stated))[0].labels == FIVE


def test_folders_with_numbers_for_names_keep_torchvisions_order(module: nn.Module, tmp_path: Path) -> None:
    folders = ("1", "10", "2", "3", "4")
    stated = {name: place for place, name in enumerate(folders)}
    assert loaded(save(tmp_path, module, class_to_idx=stated))[0].labels == folders


@pytest.mark.parametrize("stated", [{"labels": ["a", "a", "b", "b", "b"]}, {"classes": set(FIVE)}, {"names": ["a"]}])
def test_names_that_are_not_those_of_the_classes_are_said(
    module: nn.Module, tmp_path: Path, stated: dict[str, Any]
) -> None:
    spec, _, said = loaded(save(tmp_path, module, **stated))
    assert spec.labels[0] == "class 0"
    assert any("does not name the 5 classes and is not used" in note for note in said)


def test_repeated_names_are_said(module: nn.Module, tmp_path: Path) -> None:
    spec, _, said = loaded(save(tmp_path, module, classes=["a", "a", "b", "c", "d"]))
    assert spec.labels[:2] == ("a", "a") and "note: 'classes' in the checkpoint repeats labels: a" in said
