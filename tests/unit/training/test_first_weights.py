"""What training starts from: the hub's weights where there are any, embedded ones, or random ones."""

from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from pictures import Train, make_classes
from safetensors.torch import load_file, save_file

from export.core.errors import RequestError
from export.core.paths import ASSETS
from export.data.embedded import embedded_model
from export.models.choice.request import ModelRequest
from export.models.load import load
from export.models.weights.packed_weights import read_packed_weights
from export.models.weights.randomise import randomise
from export.training.results.card import Card

NAME = "test_vit.r160_in1k"
STILL = ("--image-size", "32", "--batch-size", "8", "--epochs", "0.3", "--lr", "1e-9")  # a step that changes nothing


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache with the weights of one model, and no hub behind it; returns their file."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    folder = tmp_path / f"hub/models--timm--{NAME}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("0" * 40)
    path = folder / "snapshots" / ("0" * 40) / "model.safetensors"
    path.parent.mkdir(parents=True)
    save_file(randomise(timm.create_model(NAME), seed=3).state_dict(), path)
    return path


def test_pretrained_weights_are_fine_tuned(
    train: Train, hub_cache: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    wnids = ("n01443537", "n02123045", "n07920052")
    data = make_classes(tmp_path / "data", 8, wnids)
    out = train(data=data, usual=("--model", f"timm/{NAME}", *STILL))
    before, after = load_file(hub_cache), load_file(out / "model.safetensors")
    assert torch.allclose(before["blocks.0.attn.qkv.weight"], after["blocks.0.attn.qkv.weight"].float(), atol=1e-3)
    rows = [timm.data.ImageNetInfo().label_names().index(name) for name in wnids]
    assert torch.allclose(before["head.weight"][rows], after["head.weight"].float(), atol=1e-3)
    card = Card.read(out / "card.json")
    assert card.first_weights == f"pretrained weights of timm/{NAME}"
    assert card.labels == ("goldfish", "tabby", "espresso")
    assert "the head keeps the rows of its classes" in capsys.readouterr().out


def test_random_weights_are_used_where_they_are_asked_for(train: Train, hub_cache: Path) -> None:
    out = train("--weights", "random", usual=("--model", f"timm/{NAME}", *STILL))
    before, after = load_file(hub_cache), load_file(out / "model.safetensors")
    name = "blocks.0.attn.qkv.weight"
    assert not torch.allclose(before[name], after[name].float(), atol=1e-3)
    assert Card.read(out / "card.json").first_weights == "random"


@pytest.mark.usefixtures("hub_cache")
def test_a_hub_out_of_reach_is_an_error_that_says_what_can_be_done(train: Train) -> None:
    with pytest.raises(RequestError) as refusal:
        train(usual=("--model", "timm/test_vit2", *STILL))
    assert "HF_HUB_OFFLINE is set" in str(refusal.value) and "--weights random" in str(refusal.value)


def test_a_model_without_any_weights_starts_from_random_ones_aloud(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    train(usual=("--model", "timm/test_vit4", *STILL))
    assert "timm has no pretrained weights of test_vit4; training starts from random ones" in capsys.readouterr().out
    with pytest.raises(RequestError, match="timm has no pretrained weights"):
        train("--weights", "pretrained", usual=("--model", "timm/test_vit4", *STILL))


@pytest.mark.parametrize(
    ("model", "size"),
    [pytest.param((), 64, marks=pytest.mark.slow), (("--model", "fashion"), 28)],
    ids=["photos", "fashion"],
)
def test_embedded_models_can_be_fine_tuned(train: Train, model: tuple[str, ...], size: int) -> None:
    """Without --model it is the default one."""
    out = train("--lr", "1e-9", usual=(*model, "--batch-size", "8", "--epochs", "0.3"))
    name = model[1] if model else "photos"
    before, after = read_packed_weights(ASSETS / f"{name}.safetensors"), load_file(out / "model.safetensors")
    tensor = "blocks.0.attn.qkv.weight"
    assert torch.allclose(before[tensor], after[tensor].float(), atol=1e-3)
    assert len(after["head.weight"]) == 3
    own = embedded_model(name)
    card = Card.read(out / "card.json")
    assert own and card.preprocess["mean"] == list(own.preprocess.mean) and card.preprocess["size"] == size
    spec, _ = load(ModelRequest(model=name, checkpoint=out / "model.safetensors"), tell=lambda note: None)
    assert spec.labels == ("ant", "bee", "cat") and spec.preprocess.mean == own.preprocess.mean
