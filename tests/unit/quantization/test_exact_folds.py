"""Rotations and shifts: the same float model in another basis, whose outliers are gone, or a clear refusal."""

import pytest
import torch
from shaped_models import KINDS, model
from tiny import sqnr, tiny
from torch import Tensor, nn

from export.core.errors import ConversionError
from export.quantization.calibration.calibrate import calibrate
from export.quantization.calibration.folds.equalization import equalize, find_pairs
from export.quantization.calibration.folds.rotation import mean_keeping_rotation
from export.quantization.calibration.prepare import prepare
from export.quantization.recipes import find_recipe

REFUSED = {
    "distilled features": "an embedding",
    "registers and LayerScale, features": "an embedding",
    "mean, features": "an embedding",
    "norm before the blocks, quick GELU": "a LayerNorm writes",
}


def prepared(module: nn.Module, images: Tensor, recipe: str = "w4a4_quarot") -> nn.Module:
    how = find_recipe(recipe).quantization
    assert how is not None
    return prepare(module, how, images).module


def test_a_rotation_keeps_lengths_and_means() -> None:
    rotation = mean_keeping_rotation(24, torch.Generator().manual_seed(0))
    one = torch.ones(24, dtype=torch.float64)
    assert torch.allclose(rotation @ rotation.T, torch.eye(24, dtype=torch.float64))
    assert torch.allclose(rotation @ one, one) and not torch.allclose(rotation, torch.eye(24, dtype=torch.float64))


@pytest.mark.parametrize("kind", KINDS)
def test_another_basis_leaves_the_outputs_as_they_are_or_is_refused(kind: str) -> None:
    module, image = model(kind)
    images = torch.cat([image, image.flip(-1), 0.5 * image])
    if kind in REFUSED:
        with pytest.raises(ConversionError, match=REFUSED[kind]):
            prepared(module, images)
        return
    with torch.no_grad():
        assert sqnr(module(images), prepared(module, images)(images)) > 100


def test_a_pooling_that_is_not_linear_is_refused() -> None:
    from export.models.architecture import create
    from export.models.weights.randomise import randomise

    arguments = {"img_size": 28, "patch_size": 7, "embed_dim": 24, "depth": 1, "num_heads": 3, "num_classes": 5}
    module = randomise(create("vit_tiny_patch16_224", arguments | {"global_pool": "max", "fc_norm": False}).eval())
    with pytest.raises(ConversionError, match="would not stay the same"):
        prepared(module.requires_grad_(False), torch.randn(4, 3, 28, 28, generator=torch.Generator().manual_seed(0)))


def test_activations_have_no_outliers_and_no_mean_any_more() -> None:
    _, module, images = tiny("vit")
    module = prepared(module, images, "w4a4_gptq")
    for pair in find_pairs(module):
        ratio = torch.ones(48)
        ratio[5] = 1 / 200
        equalize(pair, ratio)
    seen: dict[str, Tensor] = {}
    for name, one in (("before", module), ("after", prepared(module, images))):
        layer = one.get_submodule("blocks.1.norm2")
        layer.register_forward_hook(lambda _, inputs, output, name=name: seen.update({name: output.flatten(0, 1)}))
        with torch.no_grad():
            one(images)
    greatest = {name: float(rows.abs().max() / rows.std()) for name, rows in seen.items()}
    assert greatest["before"] > 8 > 6 > greatest["after"]
    assert seen["after"].mean(0).abs().max() < 1e-4 * seen["after"].std()
    made = {name: calibrate(module, find_recipe(f"w4a4_{name}"), images) for name in ("gptq", "quarot")}
    with torch.no_grad():
        kept = {name: sqnr(module(images), one(images)) for name, one in made.items()}
    assert kept["quarot"] > kept["gptq"] + 3, kept
