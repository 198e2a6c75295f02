"""Files of weights: what fits is loaded whole, what does not is named, and no code in them is run."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from export.core.errors import RequestError
from export.models.checkpoint import class_count, load_tensors, read_checkpoint
from export.models.randomise import randomise

ARCHITECTURE = "test_vit"


def make(**arguments: Any) -> nn.Module:
    return randomise(timm.create_model(ARCHITECTURE, pretrained=False, num_classes=7, **arguments), seed=3)


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return make().state_dict()


def assert_fits(path: Path, tensors: dict[str, Tensor]) -> None:
    module = timm.create_model(ARCHITECTURE, pretrained=False, num_classes=7)
    load_tensors(module, read_checkpoint(path), "the model")
    assert all(torch.equal(value, tensors[name]) for name, value in module.state_dict().items())


def save(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


def test_safetensors_are_read(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "a.safetensors")
    assert_fits(tmp_path / "a.safetensors", tensors)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_pickled_state_dicts_are_read(tensors: dict[str, Tensor], tmp_path: Path, suffix: str) -> None:
    assert_fits(save(tensors, tmp_path / f"a{suffix}"), tensors)


@pytest.mark.parametrize("place", ["state_dict", "model", "state_dict_ema", "model_ema"])
def test_training_checkpoints_are_read(tensors: dict[str, Tensor], tmp_path: Path, place: str) -> None:
    options = argparse.Namespace(model=ARCHITECTURE, lr=0.1)
    content = {
        "epoch": 3,
        "arch": ARCHITECTURE,
        place: tensors,
        "optimizer": {"state": {}},
        "args": options,
        "version": 2,
    }
    path = save(content, tmp_path / "checkpoint-3.pth")
    assert_fits(path, tensors)
    assert (read_checkpoint(path).key, read_checkpoint(path).architecture) == (place, ARCHITECTURE)


def test_averaged_weights_are_preferred(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    raw = {name: value + 1 for name, value in tensors.items()}
    assert_fits(save({"state_dict": raw, "state_dict_ema": tensors}, tmp_path / "a.pth"), tensors)
    assert_fits(save({"model": raw, "model_ema": tensors}, tmp_path / "b.pth"), tensors)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.", "model."])
def test_prefixes_of_wrappers_are_taken_off(tensors: dict[str, Tensor], tmp_path: Path, prefix: str) -> None:
    assert_fits(save({prefix + name: value for name, value in tensors.items()}, tmp_path / "a.pth"), tensors)


def test_half_precision_becomes_float32(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    halves = {name: value.half() for name, value in tensors.items()}
    save_file(halves, tmp_path / "a.safetensors")
    assert_fits(tmp_path / "a.safetensors", {name: value.float() for name, value in halves.items()})


def test_the_number_of_classes_is_read_from_the_head(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save(tensors, tmp_path / "a.pth"))
    assert class_count(checkpoint, "head") == 7
    headless = {name: value for name, value in tensors.items() if not name.startswith("head.")}
    assert class_count(read_checkpoint(save(headless, tmp_path / "b.pth")), "head") is None


def refusal(path: Path) -> str:
    module = timm.create_model(ARCHITECTURE, pretrained=False, num_classes=7)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with pytest.raises(RequestError) as caught:
        load_tensors(module, read_checkpoint(path), "deit_x")
    assert str(path) in caught.value.message
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    return str(caught.value)


def test_a_misfit_names_missing_unexpected_and_misshaped_tensors(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    wrong = {name: value for name, value in tensors.items() if not name.startswith(("blocks.0", "norm.bias"))}
    wrong |= {"extra.weight": torch.zeros(2, 3), "head.bias": torch.zeros(9), "norm.weight": torch.zeros(64).int()}
    message = refusal(save({"model": wrong, "arch": "vit_nano"}, tmp_path / "a.pth"))
    assert "does not fit deit_x; according to the file, its architecture is vit_nano" in message
    missing = sum(name.startswith(("blocks.0", "norm.bias")) for name in tensors)
    assert f"missing: {missing} of {len(tensors)}: blocks.0." in message and f"… and {missing - 5} more" in message
    assert "unexpected: 1 of" in message and "extra.weight (2, 3)" in message
    assert "head.bias is (9,), the model has (7,)" in message
    assert "norm.weight is torch.int32, the model has torch.float32" in message
    assert "--model timm/NAME" in message


def test_another_image_size_is_refused_not_resampled(tmp_path: Path) -> None:
    message = refusal(save(make(img_size=192).state_dict(), tmp_path / "a.pth"))
    assert "pos_embed is (1, 145, 64), the model has (1, 101, 64)" in message


def test_the_names_of_the_first_swin_code_are_translated(tmp_path: Path) -> None:
    small = {"img_size": 64, "window_size": 4, "embed_dim": 16, "depths": (1, 1), "num_heads": (1, 2), "num_classes": 5}
    module = randomise(timm.create_model("swin_tiny_patch4_window7_224", pretrained=False, **small))
    ours = module.state_dict()
    theirs = {name.replace("head.fc.", "head."): value for name, value in ours.items()}
    theirs = {name.replace("layers.1.downsample", "layers.0.downsample"): value for name, value in theirs.items()}
    theirs["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16).long()
    checkpoint = read_checkpoint(save({"model": theirs}, tmp_path / "a.pth"))
    assert class_count(checkpoint, "head.fc") == 5
    fresh = timm.create_model("swin_tiny_patch4_window7_224", pretrained=False, **small)
    load_tensors(fresh, checkpoint, "swin")
    assert all(torch.equal(value, ours[name]) for name, value in fresh.state_dict().items())


def test_numbers_that_are_not_finite_are_refused(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    broken = {**tensors, "norm.bias": torch.full((64,), torch.nan)}
    assert "NaN or infinite values in 1 tensors: norm.bias" in refusal(save(broken, tmp_path / "a.pth"))


class Trap:
    """What an attacker puts into a checkpoint: unpickling it would call a function."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.path,)


def test_code_in_a_checkpoint_is_named_and_not_run(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    trace = tmp_path / "was-here"
    path = save({"model": tensors, "extra": Trap(trace)}, tmp_path / "evil.pth")
    with pytest.raises(RequestError, match=r"would execute code: .*Path.*") as caught:
        read_checkpoint(path)
    assert "safetensors" in str(caught.value)
    assert not trace.exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RequestError, match=r"would execute code: .*timm\.models\.vision_transformer\.VisionTransformer"
    ):
        read_checkpoint(save(make(), tmp_path / "module.pth"))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files_are_refused(tensors: dict[str, Tensor], tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".pth":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(RequestError, match=r"0 bytes|truncated"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.safetensors", b"<!doctype html><title>404</title>" * 9, "not a safetensors file"),
        ("a.pth", b"<!doctype html><title>404</title>" * 9, "not a PyTorch checkpoint"),
        ("a.bin", json.dumps({"a": 1}).encode(), "not a PyTorch checkpoint"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError, match=words):
        read_checkpoint(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.zeros(3), "contains a Tensor, not a state_dict"),
        ({}, "contains a dict, not a state_dict"),
        ({"epoch": 3, "net": {"a": torch.zeros(1)}}, r"epoch \(int\), net \(dict\)"),
        ({"model": {}}, "not a state_dict"),
    ],
    ids=["tensor", "empty", "elsewhere", "no tensors"],
)
def test_other_contents_are_named(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        read_checkpoint(save(content, tmp_path / "a.pth"))
