"""Quantization-aware training on a person's own pictures, from the weights that training left."""

import json
import shutil
from pathlib import Path

import pytest
from pictures import Train, make_classes

from export.core.errors import RequestError
from export.quantization.integer_file import load_quantized

NAME = ("--model", "timm/vit_tiny_patch16_224")
RECIPES = ("--qat", "w8a8_lsq", "--ptq", "minmax", "--epochs", "4", "--batch-size", "8", "--lr", "1e-4")


@pytest.fixture
def floats(train: Train) -> Path:
    """The result of float training in its default place."""
    out = train("--epochs", "12", "--lr", "1e-2", "--jitter", "0")
    place = Path(".cache/train/timm/vit_tiny_patch16_224").absolute()
    shutil.copytree(out, place)
    return place / "model.safetensors"


@pytest.mark.usefixtures("floats")
def test_recipes_are_trained_and_compared(train: Train, pictures: Path) -> None:
    enough = pictures.parent / "enough"  # calibration takes 32
    if not enough.exists():
        make_classes(enough / "train", 16)
        make_classes(enough / "val", 4, seed=500)
    out = train(*RECIPES, out="table", usual=NAME, data=enough)
    table = json.loads((out / "table.json").read_text())
    assert table["data"] == "enough" and table["images"] == {"train": 48, "test": 12}
    assert [row["kind"] for row in table["rows"]] == ["float", "ptq", "qat"]
    assert table["rows"][0]["top1"] >= 0.9 and table["rows"][2]["top1"] >= table["rows"][0]["top1"] - 0.1
    model = load_quantized(out / "w8a8_lsq/model.safetensors")
    assert model.spec.labels == ("ant", "bee", "cat") and model.spec.preprocess.size == 16


def test_what_does_not_belong_together_is_refused(train: Train, floats: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there are no float weights at"):
        train(*RECIPES, usual=("--model", "deit_t"))
    file = ("--checkpoint", str(floats))
    others = make_classes(tmp_path / "others", 4, ("dog", "emu", "fox"))
    with pytest.raises(RequestError, match="its class dog is ant in the checkpoint"):
        train(*RECIPES, *file, usual=NAME, data=others)
    two = make_classes(tmp_path / "two", 4, ("ant", "bee"))
    with pytest.raises(RequestError, match=r"has 2 classes, but .* has 3 outputs"):
        train(*RECIPES, *file, usual=NAME, data=two)
    with pytest.raises(RequestError, match="--mixup does not apply with --qat"):
        train(*RECIPES, "--mixup", "1", usual=NAME)
