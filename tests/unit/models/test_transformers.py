"""Models that transformers saved: the twin in timm gives what the library gives, in every form of file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from export.core.errors import RequestError
from export.core.records import ModelSpec
from export.models.architecture import create
from export.models.choice.request import ModelRequest, PreprocessOptions
from export.models.load import load
from export.training.model.first_weights import find_first_weights, load_first_weights
from tests.library_models import (
    BASIC,
    BOTTLENECK,
    DINO,
    LABELS,
    SIDE,
    SWIN,
    VIT,
    as_bin,
    change,
    images,
    make,
    outputs,
    save,
)

CLOSE = 1e-4  # of logits, as the library computes them

# Every family, and fields that change what it computes.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViTForImageClassification", VIT),
    "vit, another patch, depth, width and epsilon": (
        "ViTForImageClassification",
        VIT
        | {"patch_size": 4, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 51}
        | {"layer_norm_eps": 0.03, "qkv_bias": False},
    ),
    "vit, gelu_new": ("ViTForImageClassification", VIT | {"hidden_act": "gelu_new"}),
    "vit, quick_gelu": ("ViTForImageClassification", VIT | {"hidden_act": "quick_gelu"}),
    "vit, relu": ("ViTForImageClassification", VIT | {"hidden_act": "relu"}),
    "vit, silu": ("ViTForImageClassification", VIT | {"hidden_act": "silu"}),
    "vit-msn": ("ViTMSNForImageClassification", VIT),
    "dino": ("ViTModel", VIT),
    "deit": ("DeiTForImageClassification", VIT),
    "deit, distilled": ("DeiTForImageClassificationWithTeacher", VIT),
    "deit, features": ("DeiTModel", VIT),
    "dinov2": ("Dinov2ForImageClassification", DINO),
    "dinov2, swiglu": ("Dinov2ForImageClassification", DINO | {"use_swiglu_ffn": True, "layerscale_value": 0.1}),
    "dinov2, features": ("Dinov2Model", DINO),
    "dinov2, features, swiglu": ("Dinov2Model", DINO | {"use_swiglu_ffn": True}),
    "registers": ("Dinov2WithRegistersForImageClassification", DINO | {"num_register_tokens": 3}),
    "registers, features": ("Dinov2WithRegistersModel", DINO),
    "registers, none": ("Dinov2WithRegistersForImageClassification", DINO | {"num_register_tokens": 0}),
    "swin": ("SwinForImageClassification", SWIN),
    "swin, one window": ("SwinForImageClassification", SWIN | {"window_size": 8}),
    "swin, epsilon, no bias": ("SwinForImageClassification", SWIN | {"layer_norm_eps": 0.03, "qkv_bias": False}),
    "swin, features": ("SwinModel", SWIN),
    "resnet, features": ("ResNetModel", BASIC),
    "resnet, basic": ("ResNetForImageClassification", BASIC),
    "resnet, bottleneck": ("ResNetForImageClassification", BOTTLENECK),
}


def quietly(folder: Path, **asked: Any) -> tuple[ModelSpec, nn.Module, list[str]]:
    said: list[str] = []
    spec, module = load(ModelRequest(**{"model": str(folder), **asked}), said.append)
    return spec, module, said


def assert_agrees(folder: Path, saved: Any, side: int = SIDE, **asked: Any) -> tuple[ModelSpec, list[str]]:
    """The loaded module, and one that is made again from the spec, give what the library gives."""
    spec, module, said = quietly(folder, **asked)
    wanted, pixels = outputs(saved.float(), images(side=side)), images(side=side)
    again = create(spec.timm_name, json.loads(json.dumps(spec.arguments))).eval()
    again.load_state_dict(module.state_dict())
    with torch.inference_mode():
        for one in (module, again):
            assert float((one(pixels) - wanted).abs().max()) <= CLOSE
    assert float(wanted.std()) > 0.05  # else they would agree whatever they are
    assert spec.preprocess.size == side
    return spec, said


@pytest.mark.parametrize("case", MODELS)
def test_logits_are_those_of_the_library(tmp_path: Path, case: str) -> None:
    kind, config = MODELS[case]
    model = make(kind, **config)
    spec, said = assert_agrees(save(model, tmp_path / "mine"), model)
    features = kind.endswith("Model")
    assert spec.labels == (() if features else tuple(LABELS)) and spec.features == features
    assert (spec.name, spec.weights, spec.probabilities) == ("mine", "checkpoint", "softmax")
    assert any("needs a head" in note for note in said) == features


def whole(model: Any, folder: Path) -> Path:
    return save(model, folder)


def in_parts(model: Any, folder: Path) -> Path:
    save(model, folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    return folder


def as_module_names(model: Any, folder: Path) -> Path:
    save(model, folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


def wrapped(model: Any, folder: Path) -> Path:
    save(model, folder)
    tensors = {f"net.model.{name}": value for name, value in load_file(folder / "model.safetensors").items()}
    (folder / "model.safetensors").unlink()
    torch.save({"state_dict": tensors | {"criterion.weight": torch.ones(5)}, "epoch": 3}, folder / "pytorch_model.bin")
    return folder


def old_names(model: Any, folder: Path) -> Path:
    save(model, folder)
    tensors = load_file(folder / "model.safetensors")
    renamed = {
        name.replace("layernorm.weight", "layernorm.gamma").replace("layernorm.bias", "layernorm.beta"): value
        for name, value in tensors.items()
    }
    save_file(renamed, folder / "model.safetensors")
    return folder


def another_name(model: Any, folder: Path) -> Path:
    save(model, folder)
    (folder / "model.safetensors").rename(folder / "weights-of-mine.safetensors")
    return folder


def without_a_class(model: Any, folder: Path) -> Path:
    return change(save(model, folder), architectures=None)


def in_half(model: Any, folder: Path) -> Path:
    return save(model.half(), folder)


def in_bfloat16(model: Any, folder: Path) -> Path:
    return save(model.bfloat16(), folder)


# The forms in which people keep a checkpoint of transformers; those of timm and Lightning are in the next list.
FORMS: dict[str, Callable[[Any, Path], Path]] = {
    "model.safetensors": whole,
    "pytorch_model.bin": lambda model, folder: as_bin(save(model, folder)),
    "safetensors in parts": in_parts,
    "pytorch_model.bin in parts": lambda model, folder: as_bin(in_parts(model, folder)),
    "float16": in_half,
    "bfloat16": in_bfloat16,
    "names of the module's tensors": as_module_names,
    "a trainer's file with prefixes": wrapped,
    "names of LayerNorm of old": old_names,
    "safetensors of another name": another_name,
    "no class in config.json": without_a_class,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["ViTForImageClassification", "DeiTForImageClassificationWithTeacher"])
def test_every_form_of_file_gives_the_same(tmp_path: Path, form: str, kind: str) -> None:
    model = make(kind, **VIT)
    assert_agrees(FORMS[form](model, tmp_path / "mine"), model)


def test_the_checkpoint_may_be_the_folder_or_its_file_and_the_model_its_name(tmp_path: Path) -> None:
    model = make("ViTForImageClassification", **VIT)
    folder = save(model, tmp_path / "mine")
    spec, _ = assert_agrees(folder, model, model="vit_t", checkpoint=folder)
    assert (spec.name, spec.title) == ("vit_t", "ViT-T/16")
    assert_agrees(folder, model, checkpoint=folder)
    best = folder / "best.safetensors"
    (folder / "model.safetensors").rename(best)
    assert_agrees(folder, model, checkpoint=best)
    with pytest.raises(
        RequestError, match="--model resnet18 is a resnet, but the folder of the checkpoint holds a vit"
    ):
        ModelRequest(model="resnet18", checkpoint=folder)


def test_random_weights_have_the_folders_architecture(tmp_path: Path) -> None:
    folder = save(make("Dinov2ForImageClassification", **DINO), tmp_path / "mine")
    spec, module, _ = quietly(folder, weights="random")
    assert (spec.weights, spec.labels, spec.outputs) == ("random", tuple(LABELS), 5)
    assert create(spec.timm_name, spec.arguments).state_dict().keys() == module.state_dict().keys()


POSITIONS = ["vit", "deit", "deit, distilled"]


@pytest.mark.parametrize("side", [24, 48])
@pytest.mark.parametrize("case", POSITIONS)
def test_positions_are_interpolated_when_asked_as_the_library_does(tmp_path: Path, case: str, side: int) -> None:
    kind, config = MODELS[case]
    model = make(kind, **config)
    folder = save(model, tmp_path / "mine")
    spec, module, said = quietly(folder, preprocess=PreprocessOptions(image_size=side))
    assert spec.positions_from == SIDE
    assert f"note: position embeddings are interpolated from images of 32×32 to {side}×{side}" in said[0]
    with torch.inference_mode():
        wanted = model(images(side=side), interpolate_pos_encoding=True).logits
        assert float((module(images(side=side)) - wanted).abs().max()) <= CLOSE


@pytest.mark.parametrize("case", ["dinov2", "registers", "registers, features"])
def test_dinov2_runs_at_the_size_that_images_are_prepared_at(tmp_path: Path, case: str) -> None:
    kind, config = MODELS[case]
    model = make(kind, **config | {"image_size": 56})
    spec, said = assert_agrees(save(model, tmp_path / "mine"), model)
    assert spec.positions_from == 56
    assert any("interpolated from images of 56×56 to 32×32, as transformers does it" in note for note in said)


def test_another_size_than_the_models_is_refused_unless_it_is_asked_for(tmp_path: Path) -> None:
    folder = save(make("ViTForImageClassification", **VIT | {"image_size": 48}), tmp_path / "mine")
    with pytest.raises(RequestError, match="image_size 48, but images are prepared at 32") as caught:
        quietly(folder)
    assert "--image-size 32" in caught.value.hint


def test_swin_and_resnet_take_images_of_another_size(tmp_path: Path) -> None:
    for index, case in enumerate(("swin", "resnet, basic")):
        kind, config = MODELS[case]
        model = make(kind, **config)
        folder = save(model, tmp_path / str(index))
        assert_agrees(folder, model, 64, preprocess=PreprocessOptions(image_size=64))


def test_a_model_of_grey_images_sees_the_grey_of_colours(tmp_path: Path) -> None:
    model = make("ViTForImageClassification", **VIT | {"num_channels": 1})
    processor = {"size": SIDE, "image_mean": [0.3], "image_std": [0.2]}
    spec, module, said = quietly(save(model, tmp_path / "mine", processor))
    assert spec.preprocess.mean == (0.3,) * 3 and "grey images" in said[0]
    colours = images()
    grey = (colours * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    with torch.inference_mode():
        assert torch.allclose(module(colours), model(grey).logits, atol=CLOSE)


def test_several_labels_and_one_output_become_sigmoid(tmp_path: Path) -> None:
    model = make("ViTForImageClassification", **VIT, problem_type="multi_label_classification")
    assert quietly(save(model, tmp_path / "several"))[0].probabilities == "sigmoid"
    model = make("ViTForImageClassification", **VIT | {"id2label": {0: "ripe"}, "label2id": {"ripe": 0}})
    spec = quietly(save(model, tmp_path / "one"))[0]
    assert (spec.probabilities, spec.labels) == ("sigmoid", ("ripe",))
    change(tmp_path / "one", problem_type="regression")
    with pytest.raises(RequestError, match='problem_type is "regression"'):
        quietly(tmp_path / "one")


def test_classes_that_nobody_named_are_numbered(tmp_path: Path) -> None:
    unnamed = {"id2label": {str(index): f"LABEL_{index}" for index in range(5)}}
    folder = change(save(make("ViTForImageClassification", **VIT), tmp_path / "mine"), **unnamed)
    spec, _, said = quietly(folder)
    assert spec.labels[0] == "class 0" and any("names of the 5 classes are unknown" in note for note in said)
    (tmp_path / "labels.txt").write_text("a\nb\nc\nd\ne\n")
    assert quietly(folder, labels=tmp_path / "labels.txt")[0].labels == tuple("abcde")


def test_the_card_states_the_licence(tmp_path: Path) -> None:
    folder = save(make("ViTForImageClassification", **VIT), tmp_path / "mine")
    assert quietly(folder)[0].licence == "not stated (own checkpoint)"
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\ntags:\n- vision\n---\n# Mine\nlicense: no\n")
    assert quietly(folder)[0].licence == "cc-by-4.0"
    (folder / "README.md").write_text("---\nlicense: other\nlicense_name: 'My licence'\n---\n")
    assert quietly(folder)[0].licence == "My licence"
    (folder / "README.md").write_text("---\nlicense:\n- mit  # mine\n- apache-2.0\ntags: [vision]\n---\n")
    assert quietly(folder)[0].licence == "mit, apache-2.0"
    (folder / "README.md").write_text("---\nlicense: other\n---\n")
    assert quietly(folder)[0].licence == "not stated (own checkpoint)"


@pytest.mark.parametrize(
    ("case", "name", "kept"),
    [("dino", "vit_tiny_patch16_224", False), ("vit", "vit_tiny_patch16_224", True), ("registers", "", False)],
)
def test_training_can_start_from_a_folder(tmp_path: Path, case: str, name: str, kept: bool) -> None:
    kind, config = MODELS[case]
    folder = save(make(kind, **config), tmp_path / "mine")
    spec, module, said = quietly(folder)
    assert any(f"--checkpoint {folder}" in note for note in said) == kind.endswith("Model")
    name = name or "vit_small_patch14_reg4_dinov2"
    first = find_first_weights(ModelRequest(model=f"timm/{name}", checkpoint=folder), said.append)
    assert first.normalisation == ((0.5, 0.4, 0.6), (0.5, 0.6, 0.4)) and first.sha256 == spec.weights_sha256
    arguments = {key: value for key, value in spec.arguments.items() if key not in ("norm_eps", "num_classes")}
    other = timm.create_model(name, pretrained=False, num_classes=len(LABELS), **arguments)
    assert load_first_weights(other, first, LABELS, said.append, "--checkpoint") == kept
    found, wanted = other.state_dict(), module.state_dict()
    assert all(torch.equal(value, wanted[key]) for key, value in found.items() if not key.startswith("head"))


TINY = "test_vit"


def timm_folder(folder: Path, **config: Any) -> nn.Module:
    module = timm.create_model(TINY, pretrained=False, num_classes=3, depth=2).eval()
    folder.mkdir()
    save_file(module.state_dict(), folder / "model.safetensors")
    cfg = {"input_size": [3, 160, 160], "mean": [0.1, 0.2, 0.3], "std": [0.4, 0.5, 0.6], "crop_pct": 0.8}
    cfg |= {"interpolation": "bilinear", "crop_mode": "squash", "license": "mit", "num_classes": 3}
    values = {"architecture": TINY, "num_classes": 3, "model_args": {"depth": 2}, "pretrained_cfg": cfg}
    values |= {"label_names": ["n1", "n2", "n3"], "label_descriptions": {"n1": "fox, Vulpes", "n2": "hare"}}
    (folder / "config.json").write_text(json.dumps(values | config), "utf-8-sig")  # as editors on Windows write it
    return module


def test_a_folder_of_timm_is_read_as_timm_reads_it(tmp_path: Path) -> None:
    wanted = timm_folder(tmp_path / "mine")
    spec, module, _ = quietly(tmp_path / "mine")
    with torch.inference_mode():
        assert torch.equal(module(images(side=160)), wanted(images(side=160)))
    assert spec.labels == ("fox, Vulpes", "hare", "n3") and spec.licence == "mit"
    assert spec.preprocess.to_json() == {
        "size": 160,
        "crop_pct": 0.8,
        "crop_mode": "squash",
        "interpolation": "bilinear",
        "mean": [0.1, 0.2, 0.3],
        "std": [0.4, 0.5, 0.6],
        "crop_rounding": "even",
    }
    assert create(spec.timm_name, spec.arguments).state_dict().keys() == module.state_dict().keys()


def test_a_timm_model_that_transformers_wrapped_is_one_too(tmp_path: Path) -> None:
    wanted = timm_folder(tmp_path / "mine", model_type="timm_wrapper", problem_type="multi_label_classification")
    tensors = {f"timm_model.{name}": value for name, value in wanted.state_dict().items()}
    save_file(tensors, tmp_path / "mine" / "model.safetensors")
    spec, module, _ = quietly(tmp_path / "mine")
    assert spec.probabilities == "sigmoid"
    with torch.inference_mode():
        assert torch.equal(module(images(side=160)), wanted(images(side=160)))


@pytest.mark.parametrize(
    "config",
    [
        {"label_names": {"1": "hare", "0": "fox", "2": "owl"}},
        {"label_names": {"hare": 1, "fox": 0, "owl": 2}},
        {"label_names": None, "id2label": {"1": "hare", "0": "fox", "2": "owl"}},
        {"label_names": None, "label2id": {"hare": 1, "fox": 0, "owl": 2}},
    ],
)
def test_labels_of_a_folder_of_timm_may_be_named_by_index(tmp_path: Path, config: dict[str, Any]) -> None:
    timm_folder(tmp_path / "mine", **config)
    assert quietly(tmp_path / "mine")[0].labels == ("fox", "hare", "owl")


def test_labels_that_transformers_made_up_are_none(tmp_path: Path) -> None:
    timm_folder(tmp_path / "mine", label_names=None, id2label={str(index): f"LABEL_{index}" for index in range(3)})
    assert quietly(tmp_path / "mine")[0].labels == ("class 0", "class 1", "class 2")


def test_older_folders_of_timm_have_everything_beside_the_architecture(tmp_path: Path) -> None:
    timm_folder(tmp_path / "mine")
    values = json.loads((tmp_path / "mine/config.json").read_text("utf-8-sig"))
    (tmp_path / "mine/config.json").write_text(json.dumps(values.pop("pretrained_cfg") | values))
    assert quietly(tmp_path / "mine")[0].preprocess.mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"architecture": "vit_nano"}, "vit_nano"),
        ({"model_args": {"dpth": 2}}, "cannot create test_vit as it says"),
        ({"label_names": ["a", "b"], "label_descriptions": None}, "names 2 classes, but the head has 3 outputs"),
        ({"pretrained_cfg": {"interpolation": "random"}}, 'interpolation is "random"'),
        ({"pretrained_cfg": {"input_size": [3, 160, 128]}}, "only square images"),
        ({"pretrained_cfg": {"input_size": [3, "160", "160"]}}, "input_size is"),
        ({"pretrained_cfg": {"mean": ["a", "b", "c"]}}, 'mean is ["a", "b", "c"]'),
        ({"pretrained_cfg": {"mean": [float("inf")] * 3}}, "mean is [Infinity"),
        ({"pretrained_cfg": {"std": [0, 0, 0]}}, "std is [0, 0, 0]; supported: three numbers above 0"),
        ({"pretrained_cfg": {"crop_pct": "most"}}, 'crop_pct is "most"'),
        ({"pretrained_cfg": {"crop_pct": -1}}, "crop_pct is -1"),
        ({"pretrained_cfg": {"test_crop_pct": 5}}, "test_crop_pct is 5"),
        ({"label_names": "fox"}, 'label_names is "fox"; supported: a list of names'),
        ({"label_names": [["n1"], ["n2"], ["n3"]]}, "label_names is"),
        ({"label_names": {"0": "fox", "2": "hare", "5": "owl"}}, "supported: a list of names, or an object"),
        ({"label_descriptions": ["fox"]}, "label_descriptions is"),
        ({"model_args": {"depth": 2, "checkpoint_path": "other.pth"}}, "without checkpoint_path"),
        ({"model_args": {"depth": 2, "pretrained": True}}, "without pretrained"),
    ],
)
def test_what_is_wrong_with_a_folder_of_timm_is_said(tmp_path: Path, config: dict[str, Any], words: str) -> None:
    timm_folder(tmp_path / "mine", **config)
    with pytest.raises(RequestError) as caught:
        quietly(tmp_path / "mine")
    assert words in str(caught.value)
