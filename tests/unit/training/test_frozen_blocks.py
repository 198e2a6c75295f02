"""Frozen blocks: the upper ones on kept activations are the whole model, and training leaves the lower ones alone."""

from pathlib import Path

import pytest
import timm
import torch
from pictures import Train, make_classes
from safetensors.torch import load_file, save_file
from torch import nn

from export.core.errors import RequestError
from export.core.records import Preprocess
from export.data.pictures.arrays import PictureArray, model_inputs
from export.data.pictures.training_set import open_training_set
from export.models.weights.randomise import randomise
from export.training.loop.batches import HeldOutActivations, HeldOutPictures, Normalise
from export.training.loop.trainer import predict
from export.training.model.frozen import LowerBlocks, UpperBlocks, freeze_lower, lower_tokens

CPU = torch.device("cpu")
PREPROCESS = Preprocess(
    size=16, crop_pct=1.0, crop_mode="center", interpolation="bicubic", mean=(0.5,) * 3, std=(0.5,) * 3
)
ARGUMENTS = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 3, "num_heads": 3, "num_classes": 3}


@pytest.fixture
def module() -> nn.Module:
    return randomise(timm.create_model("vit_tiny_patch16_224", **ARGUMENTS), seed=1).eval()


@pytest.fixture
def decoded(tmp_path: Path) -> PictureArray:
    with open_training_set(make_classes(tmp_path / "data", 4)) as found:
        return model_inputs(found.train, PREPROCESS, tmp_path / "cache", "pictures")


@pytest.mark.parametrize(
    ("name", "count"),
    [("vit_tiny_patch16_224", 0), ("vit_tiny_patch16_224", 2), ("deit_tiny_distilled_patch16_224", 3)],
)
def test_the_parts_are_the_whole_model(name: str, count: int) -> None:
    whole = randomise(timm.create_model(name, **ARGUMENTS), seed=1).eval()
    pixels = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(UpperBlocks(whole, count).eval()(lower_tokens(whole, pixels, count)), whole(pixels))


def test_kept_activations_give_the_logits_of_the_whole_model(
    module: nn.Module, decoded: PictureArray, tmp_path: Path
) -> None:
    freeze_lower(module, 2)
    normalise = Normalise(PREPROCESS, CPU)
    lower = LowerBlocks(module, 2, normalise, CPU, tmp_path / "cache")
    kept = lower.activations(decoded, mirrored=True, title="pictures")
    assert kept.stored.shape == (9, 2, 5, 24) and kept.stored.dtype == "float16"
    upper = predict(UpperBlocks(module, 2), HeldOutActivations(kept, CPU), CPU)
    whole = predict(module, HeldOutPictures(decoded, normalise, CPU), CPU)
    assert torch.allclose(upper, whole, atol=5e-3) and whole.std() > 0.1
    files = set((tmp_path / "cache").iterdir())
    lower.activations(decoded, mirrored=True, title="pictures")
    assert set((tmp_path / "cache").iterdir()) == files
    other = randomise(timm.create_model("vit_tiny_patch16_224", **ARGUMENTS), seed=2).eval()
    freeze_lower(other, 2)
    LowerBlocks(other, 2, normalise, CPU, tmp_path / "cache").activations(decoded, mirrored=True, title="pictures")
    assert len(set((tmp_path / "cache").iterdir()) - files) == 1


def test_training_leaves_the_lower_blocks_as_they_are(train: Train, module: nn.Module, tmp_path: Path) -> None:
    save_file(module.state_dict(), tmp_path / "first.safetensors")
    arguments = '{"depth": 3, "patch_size": 8, "embed_dim": 24, "num_heads": 3}'
    usual = ("--model", "timm/vit_tiny_patch16_224", "--model-arguments", arguments, "--image-size", "16")
    options = ("--checkpoint", "first.safetensors", "--frozen-blocks", "2", "--batch-size", "8", "--layer-decay", "0.9")
    out = train(*options, "--epochs", "3", "--noise-bits", "4", usual=usual)
    before, after = load_file(tmp_path / "first.safetensors"), load_file(out / "model.safetensors")
    for name, value in before.items():
        lower = name.startswith(("patch_embed", "pos_embed", "cls_token", "blocks.0.", "blocks.1."))
        assert torch.equal(value.half(), after[name]) == lower, name


@pytest.mark.parametrize(
    ("name", "count", "words"),
    [
        ("resnet18", 1, "ResNet is no Vision Transformer of equal blocks"),
        ("test_efficientnet", 1, "no Vision Transformer"),
        ("vit_tiny_patch16_224", 13, "the model has 12 blocks"),
    ],
)
def test_models_without_such_blocks_are_refused(name: str, count: int, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        freeze_lower(timm.create_model(name), count)
