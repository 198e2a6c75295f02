"""Which tensors of a file of weights are the model's, where there are several sets of them or others beside."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import Tensor, nn

from export.core.errors import RequestError
from export.models.choice.request import ModelRequest
from export.models.load import load
from export.models.weights.randomise import randomise

NAME = "vit_tiny_patch16_224"
SMALL: dict[str, Any] = {"img_size": 28, "patch_size": 7, "depth": 1, "num_classes": 5}
Tensors = dict[str, Tensor]


def make(**arguments: Any) -> nn.Module:
    return randomise(timm.create_model(NAME, pretrained=False, **SMALL | arguments), seed=3)


@pytest.fixture(scope="module")
def right() -> Tensors:
    return make().state_dict()


def other(tensors: Tensors) -> Tensors:
    return {name: value + 1 for name, value in tensors.items()}


def under(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: value for name, value in tensors.items()}


def loaded(content: Any, folder: Path) -> tuple[Tensors, list[str]]:
    said: list[str] = []
    torch.save(content, folder / "a.pth")
    _, module = load(ModelRequest(model=f"timm/{NAME}", checkpoint=folder / "a.pth"), said.append)
    return module.state_dict(), said


def assert_taken(content: Any, tensors: Tensors, folder: Path) -> list[str]:
    found, said = loaded(content, folder)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], value) for name, value in tensors.items())
    return said


@pytest.mark.parametrize("outer", ["", "model."], ids=["at the root", "under a prefix"])
@pytest.mark.parametrize("inner", ["ema.", "shadow.", "swa_model.module."])
def test_averaged_weights_are_not_replaced_by_those_around_them(
    right: Tensors, tmp_path: Path, outer: str, inner: str
) -> None:
    average, raw = under(outer + inner, right), under(outer, other(right))
    for content in (raw | average, average | raw):
        assert f"'{outer}{inner}".rstrip(".") in assert_taken(content, right, tmp_path)[0]


OUTER: dict[str, Callable[[Tensors], Tensors]] = {
    "norm": lambda tensors: {"norm.weight": tensors["norm.weight"] + 1},
    "head": lambda tensors: {name: tensors[name] + 1 for name in ("head.weight", "head.bias")},
    "positions": lambda tensors: {"pos_embed": tensors["pos_embed"] * 2},
}


@pytest.mark.parametrize("case", OUTER)
def test_a_tensor_beside_the_model_that_it_has_too_is_refused(right: Tensors, tmp_path: Path, case: str) -> None:
    with pytest.raises(RequestError, match="other values beside 'backbone' than in it") as caught:
        loaded(under("backbone.", right) | OUTER[case](right), tmp_path)
    assert "state_dict of 'backbone'" in caught.value.hint


def test_a_shared_tensor_beside_the_model_is_no_other_one(right: Tensors, tmp_path: Path) -> None:
    assert_taken(under("net.", right) | {"head.weight": right["head.weight"]}, right, tmp_path)


def test_a_head_beside_the_model_is_taken_and_that_is_said(right: Tensors, tmp_path: Path) -> None:
    content = {name if "head" in name else f"backbone.{name}": value for name, value in right.items()}
    said = assert_taken(content, right, tmp_path)
    assert "note: beside 'backbone', and taken as the model's: head.weight, head.bias" in said


@pytest.mark.parametrize(
    ("name", "beside"),
    [
        ("online_network", "target_network"),
        ("encoder_q", "encoder_k"),
        ("final_model", "init_model"),
        ("best_state_dict", "state_dict"),
        ("model", "teacher_model"),
        ("teacher", "student"),
    ],
)
def test_of_two_sets_the_trained_one_is_taken_and_the_other_named(
    right: Tensors, tmp_path: Path, name: str, beside: str
) -> None:
    for content in ({name: right, beside: other(right)}, {beside: other(right), name: right}):
        said = assert_taken(content, right, tmp_path)
        assert said[:2] == [
            f"note: using the weights under {name!r} in a.pth",
            f"note: weights of the same names under {beside!r} are not used",
        ]


@pytest.mark.parametrize("name", ["vit_random_init_v2", "student_trainer", "history_best", "scheduled_model", "config"])
def test_weights_may_have_the_name_of_a_trainers_state(right: Tensors, tmp_path: Path, name: str) -> None:
    assert_taken({name: right, "epoch": torch.tensor(3)}, right, tmp_path)


def test_numpy_arrays_are_read_beside_a_tensor_of_training(right: Tensors, tmp_path: Path) -> None:
    arrays: dict[str, Any] = {name: value.numpy().astype(">f4") for name, value in right.items()}
    said = assert_taken(arrays | {"epoch": torch.tensor(3)}, right, tmp_path)
    assert "note: dropped, as they belong to training: epoch" in said
    assert_taken({"model": right, "history": np.ones((3, 3))}, right, tmp_path)


@pytest.mark.parametrize("name", ["temperature", "threshold", "logit_scale", "logit_bias"])
def test_a_number_that_may_change_the_outputs_is_refused(right: Tensors, tmp_path: Path, name: str) -> None:
    with pytest.raises(RequestError, match=f"unexpected: 1 of .*{name}") as caught:
        loaded(under("model.", right) | {name: torch.tensor(2.5)}, tmp_path)
    assert "apply it to the head" in caught.value.hint
    assert_taken(under("model.", right) | {"lr": torch.tensor(0.1), "seen": torch.tensor(9)}, right, tmp_path)


@pytest.mark.parametrize("name", ["out", "target", ""])
def test_mean_and_std_that_are_not_of_images_are_refused(right: Tensors, tmp_path: Path, name: str) -> None:
    dot = "." if name else ""
    buffers = {f"{name}{dot}mean": torch.ones(3), f"{name}{dot}std": torch.ones(3)}
    with pytest.raises(RequestError, match="unexpected: 2 of") as caught:
        loaded(under("model.", right) | buffers, tmp_path)
    assert "pass --mean and --std" in caught.value.hint


def test_what_is_missing_alone_has_its_own_next_step(right: Tensors, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="missing: 1 of") as caught:
        loaded({name: value for name, value in right.items() if name != "head.bias"}, tmp_path)
    assert "a bias of zeros" in caught.value.hint
    with pytest.raises(RequestError, match=r"torch\.int8") as caught:
        loaded({name: value.to(torch.int8) for name, value in right.items()}, tmp_path)
    assert "floating point" in caught.value.hint
