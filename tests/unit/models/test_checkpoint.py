"""Files of weights: what fits is loaded whole, what does not is named, and no code in them is run."""

import argparse
import bz2
import gzip
import json
import pickle
import sys
import tarfile
import zipfile
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode

from export.core.errors import RequestError
from export.models.checkpoint.content import read_content
from export.models.checkpoint.load import Architecture, Loaded, load_checkpoint
from export.models.weights.randomise import randomise
from export.models.weights.undrawn import UndrawnWeights

ARCHITECTURE = "test_vit"


def make(**arguments: Any) -> nn.Module:
    return randomise(timm.create_model(ARCHITECTURE, pretrained=False, num_classes=7, **arguments), seed=3)


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return make().state_dict()


def create(arguments: dict[str, Any]) -> nn.Module:
    with UndrawnWeights():  # as models are made whose weights are loaded
        module: nn.Module = timm.create_model(ARCHITECTURE, pretrained=False, **arguments)
    return module


def loaded(path: Path, **arguments: Any) -> tuple[Loaded, list[str]]:
    said: list[str] = []
    architecture = Architecture("deit_x", create, arguments, "head", "patch_embed.proj")
    return load_checkpoint(path, architecture, said.append), said


def assert_fits(path: Path, tensors: dict[str, Tensor], **arguments: Any) -> list[str]:
    result, said = loaded(path, num_classes=7)
    found = result.module.state_dict()
    assert found.keys() == tensors.keys()
    assert all(torch.equal(value, tensors[name]) for name, value in found.items())
    rebuilt = create(result.arguments)
    rebuilt.load_state_dict(found)
    return said


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
    assert assert_fits(path, tensors) == [f"note: using the weights under {place!r} in checkpoint-3.pth"]


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
    result, said = loaded(save(tensors, tmp_path / "a.pth"))
    assert (result.arguments, said) == ({"num_classes": 7}, [])


def refusal(path: Path, **arguments: Any) -> str:
    with pytest.raises(RequestError) as caught:
        loaded(path, **arguments)
    assert str(path) in caught.value.message and caught.value.hint
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


def test_the_names_of_the_first_swin_code_are_translated(tmp_path: Path) -> None:
    small = {"img_size": 64, "window_size": 4, "embed_dim": 16, "depths": (1, 1), "num_heads": (1, 2)}
    name = "swin_tiny_patch4_window7_224"
    module = randomise(timm.create_model(name, pretrained=False, num_classes=5, **small))
    ours = module.state_dict()
    theirs = {name.replace("head.fc.", "head."): value for name, value in ours.items()}
    theirs = {name.replace("layers.1.downsample", "layers.0.downsample"): value for name, value in theirs.items()}
    theirs["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(16, 16).long()
    path = save({"model": theirs}, tmp_path / "a.pth")
    architecture = Architecture(
        "swin", lambda given: timm.create_model(name, pretrained=False, **given), small, "head.fc", "patch_embed.proj"
    )
    result = load_checkpoint(path, architecture, lambda note: None)
    assert result.arguments == small | {"num_classes": 5}
    assert all(torch.equal(value, ours[name]) for name, value in result.module.state_dict().items())


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
        read_content(path)
    assert "safetensors" in str(caught.value)
    assert not trace.exists()


def test_a_whole_pickled_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RequestError, match=r"would execute code: .*timm\.models\.vision_transformer\.VisionTransformer"
    ):
        read_content(save(make(), tmp_path / "module.pth"))


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
        read_content(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.safetensors", b"<!doctype html><title>404</title>" * 9, "is a web page"),
        ("a.pth", b"<!doctype html><title>404</title>" * 9, "is a web page"),
        ("a.bin", json.dumps({"a": 1}).encode(), "is text"),
        ("a.bin", b"weights" * 9, "not a PyTorch checkpoint"),
        ("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer"),
        ("a.pth", b"\x89HDF\r\n\x1a\n" * 9, "HDF5"),
        ("a.pth.gz", gzip.compress(b"weights" * 99, mtime=0), "is a gzip-compressed file"),
        ("a.pth", bz2.compress(b"weights" * 99), "is a bzip2-compressed file"),
        ("a.onnx", b"\x08\x07\x12\x07pytorch\x1a\x03" + b"a" * 99, "is an ONNX model"),
        ("a.tflite", b"\x1c\0\0\0TFL3" + b"\0" * 99, "is a TFLite model"),
        ("a.png", b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "is an image"),
        ("a.pth.dvc", b"outs:\n- md5: abc\n  path: a.pth\n", "is a pointer of DVC"),
        ("a.pth", b"/annex/objects/SHA256E-s123--abc.pth\n", "is a pointer of git-annex"),
        ("a.pth", b"\0" * 9999, "begins with zeros alone"),
        ("a.pkl", pickle.dumps({"a": np.ones(3)}), "is a pickle that torch.save did not write"),
        ("a.pkl", pickle.dumps({"a": 1}), "is a pickle that torch.save did not write"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(RequestError, match=words):
        read_content(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.zeros(3), "contains a Tensor, not a state_dict"),
        ({}, "contains a dict, not a state_dict"),
        ({"epoch": 3, "args": {"lr": 0.1}}, r"epoch \(int\), args \(dict\)"),
        ({"model": {}}, "not a state_dict"),
        ({"net": {"a": torch.zeros(1)}}, "does not fit deit_x"),
    ],
    ids=["tensor", "empty", "options", "no tensors", "elsewhere"],
)
def test_other_contents_are_named(tmp_path: Path, content: Any, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        loaded(save(content, tmp_path / "a.pth"))


@pytest.mark.parametrize("name", ["model_best.pth.tar", "epoch=3-step=40.ckpt", "weights", "a.safetensors", "a.bin"])
@pytest.mark.parametrize("legacy", [False, True])
def test_the_bytes_tell_a_checkpoint_not_the_name(
    tensors: dict[str, Tensor], tmp_path: Path, name: str, legacy: bool
) -> None:
    torch.save({"state_dict": tensors}, tmp_path / name, _use_new_zipfile_serialization=not legacy)
    assert_fits(tmp_path / name, tensors)


@pytest.mark.parametrize("name", ["a.pth", "a.bin", "pytorch_model.ckpt"])
def test_the_bytes_tell_safetensors(tensors: dict[str, Tensor], tmp_path: Path, name: str) -> None:
    save_file(tensors, tmp_path / name, metadata={"format": "pt"})
    assert_fits(tmp_path / name, tensors)


PREFIXES = ["net.", "backbone.", "timm_model.", "model.net.", "student.module.", "model.model.", "encoder.", "vit."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_any_prefix_is_taken_off_and_what_belongs_to_training_is_dropped(
    tensors: dict[str, Tensor], tmp_path: Path, prefix: str
) -> None:
    named = {prefix + name: value for name, value in tensors.items()}
    training = {
        "criterion.weight": torch.ones(7),
        "train_acc.correct": torch.ones(1),
        "loss_fn.pos_weight": torch.ones(7),
    }
    said = assert_fits(save({"state_dict": named | training, "epoch": 3}, tmp_path / "a.ckpt"), tensors)
    assert said == [
        f"note: using the weights under 'state_dict.{prefix.rstrip('.')}' in a.ckpt",
        "note: dropped, as they belong to training: state_dict.criterion.weight, state_dict.train_acc.correct, "
        "state_dict.loss_fn.pos_weight",
    ]


def test_of_two_networks_of_one_shape_it_is_said_which_is_used(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    other = {name: value + 1 for name, value in tensors.items()}
    content = {f"teacher.{name}": value for name, value in other.items()}
    content |= {f"student.{name}": value for name, value in tensors.items()}
    assert assert_fits(save({"state_dict": content}, tmp_path / "a.ckpt"), tensors) == [
        "note: using the weights under 'state_dict.student' in a.ckpt",
        "note: weights of the same names under 'state_dict.teacher' are not used",
    ]
    dino = {"student": other, "teacher": {f"backbone.{name}": value for name, value in tensors.items()}}
    assert "'teacher.backbone'" in assert_fits(save(dino, tmp_path / "b.pth"), tensors)[0]


def test_what_lightning_keeps_of_its_own_state_is_no_weight(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    best = {"best_model_score": torch.tensor(0.9), "kth_value": torch.tensor(1.0), "best_k_models": {"/a/b.ckpt": ONE}}
    content = {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"net.{name}": value for name, value in tensors.items()},
        "callbacks": {"ModelCheckpoint{'monitor': 'val_acc'}": best | {"dirpath": Path("runs")}},
        "optimizer_states": [{"state": {0: {"exp_avg": ONE}}, "param_groups": []}],
        "optimizer": {"state": {"blocks.0": {"exp_avg": ONE}}},
        "loops": {"fit_loop": {"state_dict": {"x": ONE}}},
        "hyper_parameters": {"lr": np.float64(0.1)},
    }
    assert assert_fits(save(content, tmp_path / "epoch=3-step=40.ckpt"), tensors) == [
        "note: using the weights under 'state_dict.net' in epoch=3-step=40.ckpt"
    ]


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_wrappers_inside_names_are_taken_out(tensors: dict[str, Tensor], tmp_path: Path, wrapper: str) -> None:
    wrapped = {name.replace("blocks.0.", f"blocks.0.{wrapper}."): value for name, value in tensors.items()}
    assert assert_fits(save(wrapped, tmp_path / "a.pth"), tensors) == []


def test_an_average_with_its_counter_is_used(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    raw = {name: value + 1 for name, value in tensors.items()}
    average = {"n_averaged": torch.tensor(3), **{f"module.{name}": value for name, value in tensors.items()}}
    said = assert_fits(save({"model": raw, "model_ema": average}, tmp_path / "a.pth"), tensors)
    assert said == [
        "note: using the weights under 'model_ema.module' in a.pth",
        "note: dropped, as they belong to training: model_ema.n_averaged",
    ]


@pytest.mark.parametrize(
    "average",
    [
        lambda tensors: (
            {name: value for name, value in tensors.items() if not name.startswith("head")} | {"head.x": ONE}
        ),
        lambda tensors: {name: value[..., :1] for name, value in tensors.items()},
        lambda tensors: {name: value * torch.nan for name, value in tensors.items()},
        lambda tensors: {"shadow_params": list(tensors.values()), "decay": 0.999},
    ],
    ids=["incomplete", "other shapes", "not finite", "a list"],
)
def test_an_average_that_does_not_fit_is_passed_over(
    tensors: dict[str, Tensor], tmp_path: Path, average: Callable[[dict[str, Tensor]], Any]
) -> None:
    said = assert_fits(save({"model": tensors, "model_ema": average(tensors)}, tmp_path / "a.pth"), tensors)
    assert said[0] == "note: using the weights under 'model' in a.pth"


ONE = torch.ones(1)


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("state_dict", "grads"),
        ("state_dict", "previous"),
        ("model", "exp_avg"),
        ("best_state_dict", "last_state_dict"),
        ("my_weights_of_now", "old"),
        ("state_dict", "ema_momentum"),
    ],
)
def test_gradients_and_earlier_weights_are_taken_last(
    tensors: dict[str, Tensor], tmp_path: Path, name: str, beside: str
) -> None:
    others = {key: value + 1 for key, value in tensors.items()}
    for content in ({name: tensors, beside: others}, {beside: others, name: tensors}):
        said = assert_fits(save(content, tmp_path / "a.pth"), tensors)
        assert said == [
            f"note: using the weights under {name!r} in a.pth",
            f"note: weights of the same names under {beside!r} are not used",
        ]
    assert_fits(save({beside: tensors}, tmp_path / "a.pth"), tensors)


def test_sparse_tensors_are_read_and_those_without_values_refused(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    head = tensors["head.weight"]
    assert_fits(save(tensors | {"head.weight": head.to_sparse()}, tmp_path / "a.pth"), tensors)
    save(tensors | {"head.weight": torch.empty_like(head, device="meta")}, tmp_path / "a.pth")
    assert "has no values for 1 tensors, which were on the meta device: head.weight" in refusal(tmp_path / "a.pth")


@pytest.mark.parametrize("text", ["0.5 0.25 0.5", "0.5,0.25,.5", "(0.5, 0.25, 0.5)", "[0.5; 0.25; 0.5]"])
def test_numbers_as_text_are_understood(tensors: dict[str, Tensor], tmp_path: Path, text: str) -> None:
    result, _ = loaded(save({"model": tensors, "args": {"mean": text, "crop_pct": "0.9"}}, tmp_path / "a.pth"))
    assert result.options == {"mean": (0.5, 0.25, 0.5), "crop_pct": 0.9}


def test_classes_that_mmengine_keeps_are_found(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    names = tuple("abcdefg")
    result, _ = loaded(save({"state_dict": tensors, "meta": {"CLASSES": names, "epoch": 3}}, tmp_path / "a.pth"))
    assert result.classes == ("CLASSES", list(names))


@pytest.mark.parametrize("averaged", ["ema_model.", "model_ema.module.", "swa_model.", "averaged_model.module."])
def test_averaged_weights_beside_the_others_are_preferred(
    tensors: dict[str, Tensor], tmp_path: Path, averaged: str
) -> None:
    raw = {f"model.{name}": value + 1 for name, value in tensors.items()}
    both = raw | {averaged + name: value for name, value in tensors.items()}
    assert averaged.rstrip(".") in assert_fits(save({"state_dict": both}, tmp_path / "a.ckpt"), tensors)[0]


@pytest.mark.parametrize(
    "options",
    [
        {
            "best": np.float64(0.93),
            "best_acc": torch.tensor(0.9),
            "seen": torch.tensor(9),
            "epoch": np.int64(3),
            "half": np.float32(1),
            "flag": np.bool_(True),
        },
        {"history": np.arange(3), "double": np.ones((2, 2)), "names": np.array(["a", "b"])},
        {"out": Path("runs/3"), "data": PurePosixPath("/data"), "win": PureWindowsPath("C:\\data")},
        {"args": SimpleNamespace(lr=0.1, out=Path("x")), "counts": defaultdict(int, a=1), "shape": slice(1, 2)},
        {"when": datetime(2026, 1, 1, tzinfo=UTC), "at": time(3), "folds": range(3), "rest": ...},
        {"lr": Decimal("0.1"), "share": Fraction(1, 3), "torch": torch.__version__, "z": 1j},
        {"rng_of_numpy": np.random.default_rng(0), "old": np.random.RandomState(0)},
        {"filter": InterpolationMode.BICUBIC},
        {"when": datetime(2026, 1, 1), "took": timedelta(seconds=3), "kinds": {1, 2}, "frozen": frozenset({1})},
    ],
    ids=["numpy scalars", "numpy arrays", "paths", "namespaces", "zones", "numbers", "generators", "filters", "times"],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_harmless_options_are_read(
    tensors: dict[str, Tensor], tmp_path: Path, options: dict[str, Any], legacy: bool
) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": tensors, **options}, path, _use_new_zipfile_serialization=not legacy)
    said = assert_fits(path, tensors)
    assert said[1:] == ["note: dropped, as they belong to training: best_acc, seen"] * ("seen" in options)


def test_layers_as_arguments_are_read(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    options = {"norm_layer": partial(nn.LayerNorm, eps=1e-6), "act_layer": nn.GELU}
    said = assert_fits(save({"state_dict": tensors, "options": options}, tmp_path / "a.pth"), tensors)
    assert "note: act_layer in the checkpoint is not understood and not used" in said


def test_numpy_scalars_and_paths_of_other_versions_are_read(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": tensors, "best": np.float64(0.5), "out": Path("x")}, path)
    for old, new in (
        (b"numpy._core.multiarray", b"numpy.core.multiarray"),
        (b"cpathlib\nPosixPath", b"cpathlib\nWindowsPath"),
    ):
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        assert any(old in content for content in entries.values())
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for name, content in entries.items():
                archive.writestr(name, content.replace(old, new) if name.endswith("data.pkl") else content)
        assert_fits(path, tensors)


def test_options_of_libraries_that_are_not_installed_are_read_as_values(
    tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    module = type(sys)("yacs.config")
    kind = type("CfgNode", (dict,), {"__module__": "yacs.config"})
    module.CfgNode = kind  # type: ignore[attr-defined]
    sys.modules |= {"yacs": type(sys)("yacs"), "yacs.config": module}
    try:
        path = save({"model": tensors, "config": kind(DATA=kind(CROP=0.9))}, tmp_path / "a.pth")
    finally:
        del sys.modules["yacs"], sys.modules["yacs.config"]
    assert_fits(path, tensors)


def test_code_in_a_checkpoint_of_the_old_form_is_named(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path, trace = tmp_path / "evil.pth", tmp_path / "was-here"
    torch.save({"model": tensors, "extra": Trap(trace)}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(RequestError, match="would execute code: "):
        read_content(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    ("arguments", "differences"),
    [
        ({"img_size": 64}, "img_size=64"),
        ({"patch_size": 8, "img_size": 80}, "img_size=80, patch_size=8"),
        ({"depth": 3}, "depth=3"),
        ({"reg_tokens": 4, "no_embed_class": True}, "reg_tokens=4, no_embed_class=True"),
        ({"reg_tokens": 2}, "reg_tokens=2"),
        ({"global_pool": "avg"}, "global_pool=avg"),
        ({"class_token": False, "global_pool": "avg"}, "class_token=False, global_pool=avg"),
        ({"qkv_bias": False}, "qkv_bias=False"),
        ({"init_values": 1e-5}, "init_values=1.0"),
        ({"mlp_ratio": 2}, "mlp_ratio=2.0"),
        ({"qk_norm": True}, "qk_norm=True"),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else "",
)
def test_shapes_tell_the_architecture_and_that_is_said(
    tmp_path: Path, arguments: dict[str, Any], differences: str
) -> None:
    module = make(**arguments)
    said = assert_fits(save(module.state_dict(), tmp_path / "a.pth"), module.state_dict())
    assert said == [f"note: a.pth differs from deit_x: {differences}"]


def test_shapes_tell_the_windows_and_stages_of_swin(tmp_path: Path) -> None:
    name, default = "swin_tiny_patch4_window7_224", {"embed_dim": 16, "depths": (1, 1), "num_heads": (1, 2)}
    other = {"img_size": 128, "window_size": 4, "depths": (1, 2), "num_heads": (2, 4), "num_classes": 3}
    module = timm.create_model(name, pretrained=False, **{**default, **other})

    def make_swin(given: dict[str, Any]) -> nn.Module:
        return timm.create_model(name, pretrained=False, **given)  # type: ignore[no-any-return]

    architecture = Architecture(
        "swin", make_swin, default | {"img_size": 64, "window_size": 2}, "head.fc", "patch_embed.proj"
    )
    result = load_checkpoint(save(module.state_dict(), tmp_path / "a.pth"), architecture, lambda note: None)
    assert result.arguments == default | other
    assert result.module(torch.zeros(1, 3, 128, 128)).shape == (1, 3)


@pytest.mark.parametrize("registers", [False, True])
def test_dinov2_at_another_size_is_understood(tmp_path: Path, registers: bool) -> None:
    name = "vit_small_patch14_reg4_dinov2" if registers else "vit_small_patch14_dinov2"
    small = {"embed_dim": 24, "depth": 1, "num_heads": 2}

    def make_dino(given: dict[str, Any]) -> nn.Module:
        return timm.create_model(name, pretrained=False, **{**small, **given})  # type: ignore[no-any-return]

    tensors = make_dino({"img_size": 224, "num_classes": 0}).state_dict() | {"mask_token": torch.zeros(1, 24)}
    architecture = Architecture("dino", make_dino, {"num_classes": 0}, "head", "patch_embed.proj")
    result = load_checkpoint(save(tensors, tmp_path / "a.pth"), architecture, lambda note: None)
    assert result.arguments == {"num_classes": 0, "img_size": 224}


def test_a_file_without_a_head_gives_an_embedding(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    headless = {name: value for name, value in tensors.items() if not name.startswith("head.")}
    result, said = loaded(save(headless, tmp_path / "a.pth"))
    assert result.arguments == {"num_classes": 0}
    assert said == ["note: a.pth has no head: the model gives an embedding, no classes"]


@pytest.mark.parametrize("stem", ["fc", "classifier", "classifier.1", "head.1", "linear", "backbone.head.fc"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_lone_linear_layer_is_the_head_and_that_is_said(
    tensors: dict[str, Tensor], tmp_path: Path, stem: str, bias: bool
) -> None:
    named = {f"backbone.{name}": value for name, value in tensors.items() if not name.startswith("head.")}
    named[f"{stem}.weight"] = tensors["head.weight"]
    if bias:
        named[f"{stem}.bias"] = tensors["head.bias"]
    expected = tensors if bias else tensors | {"head.bias": torch.zeros(7)}
    said = assert_fits(save(named, tmp_path / "a.pth"), expected)
    assert said[-1] == f"note: {stem.removeprefix('backbone.')!r} in a.pth is taken as the head of 7 outputs"


def test_grey_models_take_colours(tmp_path: Path) -> None:
    module = make(in_chans=1).eval()
    result, said = loaded(save(module.state_dict(), tmp_path / "a.pth"))
    assert result.grey and said == ["note: a.pth takes grey images: pictures are turned grey before it sees them"]
    colours = torch.rand(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    grey = (colours * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1, keepdim=True)
    with torch.inference_mode():
        assert torch.allclose(result.module.eval()(colours), module(grey), atol=1e-4)


def test_a_module_that_normalises_images_is_read_as_preprocessing(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    named = {f"model.{name}": value for name, value in tensors.items()}
    buffers = {"normalize.mean": torch.full((1, 3, 1, 1), 0.25), "normalize.std": torch.full((1, 3, 1, 1), 0.5)}
    assert loaded(save(named | buffers, tmp_path / "a.pth"))[0].options == {"mean": (0.25,) * 3, "std": (0.5,) * 3}


def test_pruned_weights_are_multiplied_with_their_masks(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    mask = torch.ones_like(tensors["head.weight"])
    mask[0] = 0
    pruned = {name: value for name, value in tensors.items() if name != "head.weight"}
    pruned |= {"head.weight_orig": tensors["head.weight"], "head.weight_mask": mask}
    assert_fits(save(pruned, tmp_path / "a.pth"), tensors | {"head.weight": tensors["head.weight"] * mask})


MISFITS: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "4 channels": (
        lambda tensors: tensors | {"patch_embed.proj.weight": torch.zeros(64, 4, 16, 16)},
        "only models of RGB or grey images",
    ),
    "not square": (lambda tensors: tensors | {"pos_embed": torch.zeros(1, 51, 64)}, "only square images are supported"),
    "another width": (
        lambda tensors: {
            name: torch.zeros([2 * n if n == 64 else n for n in value.shape]) for name, value in tensors.items()
        },
        "its width is 128, not 64",
    ),
    "a head of two layers": (
        lambda tensors: (
            {n: v for n, v in tensors.items() if "head" not in n}
            | {"head.0.weight": torch.zeros(32, 64), "head.2.weight": torch.zeros(7, 32)}
        ),
        "a head of one linear layer can be loaded",
    ),
    "a tanh before the head": (
        lambda tensors: tensors | {"pre_logits.fc.weight": torch.zeros(64, 64), "pre_logits.fc.bias": torch.zeros(64)},
        "a head of one linear layer can be loaded",
    ),
    "distilled": (lambda tensors: tensors | {"dist_token": torch.zeros(1, 1, 64)}, "trained by distillation"),
    "other tensors": (lambda tensors: tensors | {"gate.weight": torch.zeros(3)}, "leave them out of the file"),
    "LoRA": (lambda tensors: tensors | {"blocks.0.attn.qkv.lora_A.weight": torch.zeros(4, 64)}, "merge_and_unload"),
    "weight_norm": (lambda tensors: tensors | {"head.weight_g": torch.zeros(7, 1)}, "remove_parametrizations"),
    "quantized": (lambda tensors: tensors | {"head.weight_scale": torch.zeros(7)}, "the float weights"),
    "transformers": (
        lambda tensors: {"vit.encoder.layer.0.attention.attention.query.weight": torch.zeros(64, 64)},
        "tensor names of Hugging Face transformers",
    ),
    "torchvision": (
        lambda tensors: {"encoder.layers.encoder_layer_0.ln_1.weight": torch.zeros(64)},
        "tensor names of torchvision",
    ),
    "nothing alike": (lambda tensors: {"conv1.weight": torch.zeros(3, 3)}, "--model timm/NAME"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_each_misfit_has_its_own_next_step(tensors: dict[str, Tensor], tmp_path: Path, case: str) -> None:
    change, words = MISFITS[case]
    assert words in refusal(save(change(tensors), tmp_path / "a.pth"))


def test_a_part_of_several_is_told_by_its_name(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    part = {name: value for name, value in tensors.items() if name.startswith("blocks.")}
    assert "one of several parts" in refusal(save(part, tmp_path / "model-00001-of-00002.bin"))


def test_an_architecture_that_the_file_states_is_the_next_step(tmp_path: Path) -> None:
    path = save({"state_dict": {"conv1.weight": ONE}, "args": argparse.Namespace(model="resnet18")}, tmp_path / "a.pth")
    assert "pass --model timm/resnet18" in refusal(path)


def test_archives_in_place_of_a_checkpoint_are_named(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(tensors, tmp_path / "a.safetensors")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.safetensors", "a.safetensors")
    with tarfile.open(tmp_path / "a.pth.tar", "w") as tar:
        tar.add(tmp_path / "a.safetensors", "a.safetensors")
    np.savez(tmp_path / "a.npz", a=np.ones(1))
    for name, words in (
        ("a.zip", "is a zip archive of a.safetensors"),
        ("a.pth.tar", "tar archive"),
        ("a.npz", "NumPy"),
    ):
        assert words in refusal(tmp_path / name)


def test_a_tracked_program_is_named(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), tmp_path / "a.pt")
    assert "TorchScript program" in refusal(tmp_path / "a.pt")
