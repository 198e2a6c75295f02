"""BatchNorm's statistics are those of pictures as the model gets them, not of augmented ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import Train, make_classes
from PIL import Image
from safetensors.torch import load_file
from timm import create_model

RESNET = ("--model", "timm/test_resnet", "--weights", "random", "--drop-path", "0", "--image-size", "32")
ONE_STEP = ("--batch-size", "64", "--epochs", "0.25", "--lr", "1e-9", "--held-out", "0.1")


def statistics(pictures: Path, weights: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the first BatchNorm has as means, and what its inputs' means are over the whole pictures."""
    state = {name: value.float() for name, value in load_file(weights).items()}
    model = create_model("test_resnet", num_classes=3)
    model.load_state_dict(state)
    images = [np.asarray(Image.open(path).resize((32, 32), Image.Resampling.BILINEAR)) for path in pictures.glob("*/*")]
    mean, std = (torch.tensor(model.pretrained_cfg[name]) for name in ("mean", "std"))
    pixels = ((torch.from_numpy(np.stack(images)) / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.no_grad():
        inputs = model.conv1(pixels)
    return state["bn1.running_mean"], inputs.mean((0, 2, 3))


def test_statistics_are_those_of_plain_pictures(train: Train, tmp_path: Path) -> None:
    folder = make_classes(tmp_path / "many", 100)
    out = train(*ONE_STEP, "--jitter", "0.9", "--erase-prob", "1", usual=RESNET, data=folder)
    kept, expected = statistics(folder, out / "model.safetensors")
    assert torch.allclose(kept, expected, atol=0.05 * float(expected.abs().max()))


def test_too_few_pictures_leave_those_of_training(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_classes(tmp_path / "few", 40)
    out = train(*ONE_STEP, "--erase-prob", "1", usual=RESNET, data=folder)
    kept, expected = statistics(folder, out / "model.safetensors")
    assert "108 are too few for others" in capsys.readouterr().out
    assert not torch.allclose(kept, expected, atol=0.05 * float(expected.abs().max()))
