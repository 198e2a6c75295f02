"""What is wrong with a folder is said in one sentence, with the next step; nothing is left half-written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from export.build import main
from export.core.errors import RequestError
from export.models.choice.request import ModelRequest, describe
from export.models.choice.source import name_of, stated_architecture
from export.models.load import load
from tests.library_models import DINO, SWIN, VIT, as_bin, change, make, save

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"


class Trap:
    """What an attacker puts into a checkpoint: unpickling it would call a function."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(make("ViTForImageClassification", **VIT), tmp_path_factory.mktemp("sound") / "vit")


@pytest.fixture(scope="module")
def in_parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts") / "vit"
    return save(make("ViTForImageClassification", **VIT), folder, max_shard_size="20KB")


def tensors(change_of: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Path], Any]:
    def edit(folder: Path) -> None:
        path = folder / "model.safetensors"
        save_file(change_of(load_file(path)), path)

    return edit


def without(*names: str) -> Callable[[Path], Any]:
    return tensors(lambda found: {name: value for name, value in found.items() if not name.startswith(names)})


def config(**fields: Any) -> Callable[[Path], Any]:
    return lambda folder: change(folder, **fields)


def write(name: str, content: bytes | str) -> Callable[[Path], Any]:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def only(*names: str) -> Callable[[Path], Any]:
    def edit(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"weights")

    return edit


def in_a_folder(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "weights")
    (folder / "model.safetensors").mkdir()
    (folder / "weights").rename(folder / "model.safetensors/weights")


def trapped(folder: Path) -> None:
    as_bin(folder)
    torch.save({"weight": torch.ones(1), "extra": Trap(folder / "was-here")}, folder / "pytorch_model.bin")


# What is done to a folder that was sound, and words of the message and of its next step.
FAULTS: dict[str, tuple[Callable[[Path], Any], str, str]] = {
    "no config": (lambda folder: (folder / "config.json").unlink(), "without config.json", "--model NAME --checkpoint"),
    "config is no JSON": (write("config.json", "{"), "it is not JSON", "again"),
    "config is a pointer": (write("config.json", LFS), "Git LFS pointer", "git lfs pull"),
    "config is a list": (write("config.json", "[1]"), "not an object", "again"),
    "weights in a folder of their name": (in_a_folder, "has no weights", "save_pretrained"),
    "no type": (config(model_type=None), "no model_type", "one of vit, "),
    "another type": (
        config(model_type="swinv2"),
        "'swinv2' cannot be read; the nearest that works is swin",
        "timm/swinv2",
    ),
    "a misspelt type": (config(model_type="vti"), "the nearest that works is vit", "types that work: vit, "),
    "a type of another kind": (config(model_type="llama"), "models of the type 'llama'", "types that work"),
    "another class": (config(architectures=["ViTForMaskedImageModeling"]), "ViTForMaskedImageModeling", "ViTModel"),
    "code of its own": (
        config(architectures=["MyViT"], auto_map={"AutoModel": "my.MyViT"}),
        "its code is its own (auto_map), and is not run",
        "save the model as one of",
    ),
    "quantized": (config(quantization_config={"load_in_8bit": True}), "quantization_config", "float model"),
    "an activation": (config(hidden_act="laplace"), 'hidden_act is "laplace"; supported: gelu', ""),
    "not square": (config(image_size=[32, 48]), "image_size is [32, 48]", "only square"),
    "a width in text": (config(hidden_size="32"), 'hidden_size is "32"', ""),
    "heads that do not divide": (config(num_attention_heads=5), "num_attention_heads is 5", ""),
    "a width of heads": (config(head_dim=8), "head_dim is 8; supported: 16", "changes the model's outputs"),
    "pruned heads": (config(pruned_heads={"0": [1]}), "pruned_heads", "changes the model's outputs"),
    "a decoder": (config(is_decoder=True), "is_decoder is true", "changes the model's outputs"),
    "regression": (config(problem_type="regression"), 'problem_type is "regression"', ""),
    "four channels": (config(num_channels=4), "num_channels is 4", ""),
    "too few labels": (
        config(id2label={"0": "a", "1": "b"}),
        "id2label names 2 classes, but the classifier has 5 outputs",
        "--labels FILE with 5 names",
    ),
    "labels with a gap": (config(id2label={"0": "a", "2": "b"}), "none of output 1", "number them 0 to 1"),
    "labels that are none": (config(id2label="cats"), 'id2label is "cats"', ""),
    "labels without names": (config(id2label={str(index): None for index in range(5)}), "id2label is", ""),
    "labels that are objects": (config(id2label={str(index): {"en": "fox"} for index in range(5)}), "id2label is", ""),
    "a class that is no list": (config(architectures="ViTModel"), 'architectures is "ViTModel"', ""),
    "a depth that no memory holds": (config(num_hidden_layers=10**9), "num_hidden_layers is 1000000000", ""),
    "a width that no memory holds": (config(hidden_size=10**9), "hidden_size is 1000000000", ""),
    "sizes that no memory holds": (
        config(hidden_size=99_999, num_attention_heads=3, intermediate_size=10**5, num_hidden_layers=1000),
        "config.json",
        "different models",
    ),
    "an infinite epsilon": (config(layer_norm_eps=float("inf")), "layer_norm_eps is Infinity", ""),
    "patches larger than images": (config(patch_size=64), "patches of 64×64 do not fit into images of 32×32", "64"),
    "an adapter beside the weights": (write("adapter_config.json", "{}"), "not merged", "merge_and_unload"),
    "tensors of an adapter": (
        tensors(lambda found: found | {"vit.encoder.layer.0.attention.query.lora_A.weight": torch.ones(2, 32)}),
        "LoRA adapter",
        "merge_and_unload",
    ),
    "no labels, another number": (config(id2label=None, num_labels=7), "num_labels is 7 classes", "--labels FILE"),
    "a pointer": (write("model.safetensors", LFS), "Git LFS pointer", "git lfs pull"),
    "an empty file": (write("model.safetensors", b""), "is empty", "again"),
    "half a file": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:20_000]),
        "truncated or damaged",
        "again",
    ),
    "not finite": (
        tensors(lambda found: found | {"vit.layernorm.bias": found["vit.layernorm.bias"] * torch.nan}),
        "NaN or infinite values in 1 tensors: norm.bias",
        "earlier checkpoint",
    ),
    "code in a pickle": (trapped, "would execute code", "safetensors"),
    "no weights": (only(), "has no weights: neither model.safetensors nor pytorch_model.bin", "save_pretrained"),
    "weights of TensorFlow": (only("tf_model.h5"), "for TensorFlow alone", "from_tf=True"),
    "weights of Flax": (only("flax_model.msgpack"), "for Flax alone", "from_flax=True"),
    "weights of ONNX": (only("onnx/model.onnx"), "for ONNX alone", "PyTorch model"),
    "several weights": (only("a.safetensors", "b.safetensors"), "several files of weights", "--checkpoint"),
    "no classifier": (without("classifier."), "has no classifier", "fine-tuned"),
    "a classifier too many": (config(architectures=["ViTModel"]), "has a classifier", "correct architectures"),
    "a block missing": (without("vit.encoder.layer.1"), "missing: 12 of", "different models"),
    "another width": (config(intermediate_size=64), "blocks.0.mlp.fc1.weight is (48, 32), the model has (64, 32)", ""),
    "unknown tensors": (
        tensors(lambda found: found | {"vit.adapter.weight": torch.ones(2)}),
        "has no tensors of ViT",
        "timm/NAME",
    ),
    "tensors of timm": (
        tensors(lambda found: {"blocks.0.attn.qkv.weight": torch.ones(96, 32)}),
        "has no tensors of ViT",
        "--model timm/NAME --checkpoint FILE",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_said_with_the_next_step_and_leaves_nothing(sound: Path, tmp_path: Path, fault: str) -> None:
    break_it, message, hint = FAULTS[fault]
    folder = Path(shutil.copytree(sound, tmp_path / "mine"))
    break_it(folder)
    site, artifacts = tmp_path / "site", tmp_path / "artifacts"
    options = ["--checkpoint", str(folder), "--recipe", "w8a8_basic", "--engine", "vit"]
    with pytest.raises(RequestError) as caught:
        main([*options, "--out", str(site), "--artifacts", str(artifacts)])
    assert message in caught.value.message and hint in caught.value.hint, str(caught.value)
    assert caught.value.exit_code == 2
    assert str(folder) in caught.value.message
    assert not site.exists() and not list(artifacts.rglob("artifact.json")) and not (folder / "was-here").exists()


def test_a_missing_part_is_named(in_parts: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(in_parts, tmp_path / "mine"))
    parts = sorted(folder.glob("model-*.safetensors"))
    parts[1].unlink()
    with pytest.raises(RequestError, match=f"lacks 1 of {len(parts)} parts .*: {parts[1].name}"):
        ModelRequest(model=str(folder))
    parts[1].write_bytes(LFS)
    with pytest.raises(RequestError, match="Git LFS pointer"):
        ModelRequest(model=str(folder))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../../secret"}}))
    with pytest.raises(RequestError, match="lists no files of weights"):
        ModelRequest(model=str(folder))
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(RequestError, match=r"weights in parts .* without their \*\.index\.json"):
        ModelRequest(model=str(folder))


def test_folders_around_and_beside_a_model_are_told(sound: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="it is empty"):
        ModelRequest(model=str(tmp_path))
    for step in (500, 1000):
        shutil.copytree(sound, tmp_path / f"run/checkpoint-{step}")
    with pytest.raises(RequestError, match="checkpoint-500, checkpoint-1000 have one") as caught:
        ModelRequest(model=str(tmp_path / "run"))
    assert caught.value.hint.endswith("run/checkpoint-1000")
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter/adapter_config.json").write_text("{}")
    with pytest.raises(RequestError, match="LoRA adapter") as caught:
        ModelRequest(model=str(tmp_path / "adapter"))
    assert "merge_and_unload" in caught.value.hint


@pytest.mark.parametrize(
    ("kind", "sizes", "fields", "words"),
    [
        ("SwinForImageClassification", SWIN, {"use_absolute_embeddings": True}, "use_absolute_embeddings is true"),
        ("SwinForImageClassification", SWIN, {"hidden_act": "relu"}, 'hidden_act is "relu"; supported: gelu'),
        ("SwinForImageClassification", SWIN, {"window_size": 5}, "windows of window_size 5 do not tile 16×16 tokens"),
        ("SwinForImageClassification", SWIN, {"num_heads": [2]}, "num_heads is [2]"),
        ("ResNetForImageClassification", {}, {"embedding_size": 32}, "embedding_size is 32; supported: 64"),
        ("ResNetForImageClassification", {}, {"downsample_in_bottleneck": True}, "downsample_in_bottleneck is true"),
        ("ResNetForImageClassification", {}, {"depths": [1, 1]}, "depths is [1, 1]; supported: a list of 4"),
        ("ResNetForImageClassification", {}, {"layer_type": "dense"}, 'layer_type is "dense"'),
        ("ResNetForImageClassification", {}, {"layer_type": ["basic"]}, 'layer_type is ["basic"]'),
        ("ResNetForImageClassification", {}, {"hidden_act": ["relu"]}, 'hidden_act is ["relu"]'),
        ("ResNetForImageClassification", {}, {"depths": [1, 1, 1, 10**9]}, "depths is"),
        ("Dinov2ForImageClassification", DINO, {"hidden_act": "laplace"}, 'hidden_act is "laplace"'),
        ("Dinov2WithRegistersModel", DINO, {"num_register_tokens": -1}, "num_register_tokens is -1"),
    ],
)
def test_fields_that_change_the_result_and_are_not_supported_are_named(
    tmp_path: Path, kind: str, sizes: dict[str, Any], fields: dict[str, Any], words: str
) -> None:
    types = {"Swin": "swin", "ResNet": "resnet", "Dinov2W": "dinov2_with_registers", "Dinov2F": "dinov2"}
    model_type = next(name for start, name in types.items() if kind.startswith(start))
    folder = tmp_path / "mine"
    if model_type == "swin":
        save(make(kind, **sizes), folder)
        change(folder, **fields)
    else:
        folder.mkdir()
        (folder / "config.json").write_text(
            json.dumps({"model_type": model_type, "architectures": [kind], **sizes, **fields})
        )
        (folder / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(RequestError) as caught:
        load(ModelRequest(model=str(folder)), lambda note: None)
    assert words in caught.value.message


def test_fields_that_are_not_known_are_told(sound: Path, tmp_path: Path) -> None:
    folder = change(Path(shutil.copytree(sound, tmp_path / "mine")), sharpness=3)
    said: list[str] = []
    load(ModelRequest(model=str(folder)), said.append)
    assert "note: fields of config.json that are not known here and not used: sharpness" in said


def test_every_file_that_is_read_decides_the_artifact(sound: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(sound, tmp_path / "mine"))
    first = describe(ModelRequest(model=str(folder)))
    assert set(first["folder"]) == {"config.json", "preprocessor_config.json", "model.safetensors"}
    for name in first["folder"]:
        (folder / name).write_bytes((folder / name).read_bytes() + b" ")
        again = describe(ModelRequest(model=str(folder)))
        assert again["folder"] != first["folder"]
        first = again


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("my vit (best)", "my-vit-best"),
        ("run/checkpoint-500", "run-checkpoint-500"),
        ("photos", "photos-own"),
        ("hub/models--user--repo/snapshots/0123", "user-repo"),
        ("…", "model"),
        ("Käse", "K-se"),
    ],
)
def test_the_folder_names_the_model(tmp_path: Path, path: str, name: str) -> None:
    assert name_of(tmp_path / path) == name


def test_two_models_of_one_name_are_refused(sound: Path, tmp_path: Path) -> None:
    for place in ("a", "b"):
        shutil.copytree(sound, tmp_path / place / "vit")
    with pytest.raises(RequestError, match="two models are called vit"):
        main(["--model", str(tmp_path / "a/vit"), "--model", str(tmp_path / "b/vit")])


def test_a_file_of_our_own_training_says_what_it_is(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "a.safetensors", metadata={"architecture": "vit_tiny_patch16_224"})
    assert stated_architecture(tmp_path / "a.safetensors") == "vit_tiny_patch16_224"
    torch.save({"a": torch.ones(1)}, tmp_path / "a.pth")
    assert stated_architecture(tmp_path / "a.pth") == ""
    (tmp_path / "config.json").write_text('{"editor": "of another program"}')
    with pytest.raises(RequestError, match=r"a\.pth does not say what its architecture is") as caught:
        main(["--checkpoint", str(tmp_path / "a.pth")])
    assert "--model NAME" in caught.value.hint
