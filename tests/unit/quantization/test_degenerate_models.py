"""Models with dead parts, saturated or single outputs: every method gives numbers, and as good ones as elsewhere."""

from collections.abc import Callable

import pytest
import timm
import torch
from tiny import TINY, searching_less, sqnr, tiny
from torch import Tensor, nn

from export.models.weights.randomise import randomise
from export.quantization.calibration.calibrate import calibrate
from export.quantization.calibration.observers import gradient_loss
from export.quantization.methods import METHODS
from export.quantization.recipes import find_recipe

ALWAYS = {"rtn": "w8_rtn", "dynamic": "w8_dynamic"}
RECIPES = [ALWAYS.get(name, f"w8a8_{name}") for name, method in METHODS.items() if not method.trains]


def make(**arguments: int) -> nn.Module:
    _, name, given = TINY["vit"]
    module = timm.create_model(name, pretrained=False, **{**given, "num_classes": 10, **arguments}).eval()
    return randomise(module, seed=1).requires_grad_(False)


def dead(module: nn.Module) -> None:
    """An MLP that never fires, an attention of zeros, a norm that is constant."""
    module.get_parameter("blocks.0.mlp.fc1.weight").zero_()
    module.get_parameter("blocks.0.mlp.fc1.bias").fill_(-100)
    zero(module, "blocks.1.attn.qkv.weight", "blocks.1.attn.qkv.bias", "blocks.1.norm2.weight")


def zero(module: nn.Module, *names: str) -> None:
    for name in names:
        module.get_parameter(name).zero_()


DEAD: dict[str, Callable[[nn.Module], object]] = {
    "dead parts": dead,
    "norms of zeros": lambda module: zero(module, "blocks.0.norm1.weight", "blocks.0.norm1.bias"),
    "saturated outputs": lambda module: module.get_parameter("head.weight").mul_(1e4),
}


def quality(module: nn.Module, recipe: str) -> float:
    images = tiny("vit")[2][:4]
    with torch.no_grad():
        outputs = calibrate(module, searching_less(find_recipe(recipe)), images)(images)
    assert outputs.isfinite().all()
    return sqnr(module(images), outputs)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("case", DEAD)
@torch.no_grad()
@pytest.mark.slow
def test_dead_parts_do_no_harm(case: str, recipe: str) -> None:
    if case == "saturated outputs" and recipe == "w8a8_ptq4vit_published":
        pytest.skip("its gradient is rounding noise alone, and here not even that")
    module = make()
    DEAD[case](module)
    assert quality(module, recipe) > 12


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_single_output_is_quantized_as_well_as_several(recipe: str) -> None:
    enough_db = 6 if recipe == "w8a8_ptq4vit_published" else 12  # its gradient is the processor's rounding noise
    assert quality(make(num_classes=1), recipe) > enough_db


def gradient(outputs: Tensor, kind: str) -> Tensor:
    outputs = outputs.clone().requires_grad_()
    gradient_loss(outputs, kind, torch.Generator().manual_seed(0)).backward()  # type: ignore[no-untyped-call]
    assert outputs.grad is not None
    return outputs.grad


def test_the_gradient_of_a_single_output_is_that_of_its_sigmoid() -> None:
    outputs = torch.linspace(-2, 2, 2000)[:, None]
    found = gradient(outputs, "fisher")
    p = outputs.sigmoid()
    drawn = torch.where(found < 0, p - 1, p)  # of the two labels
    assert torch.allclose(found, drawn, atol=1e-6)
    assert abs(float((found < 0).float().mean() - p.mean())) < 0.05
    assert gradient(outputs, "published").isfinite().all()


def test_the_gradients_of_several_labels_do_not_depend_on_each_other() -> None:
    outputs = torch.tensor([[30.0, -30.0, 0.0]])
    found = gradient(outputs, "independent")
    assert found[0, :2].abs().max() < 1e-6 and abs(float(found[0, 2])) == 0.5


def test_calibration_follows_outputs_that_do_not_exclude_each_other() -> None:
    module, images = make(), tiny("vit")[2][:4]
    with torch.no_grad():
        made = [calibrate(module, find_recipe("w4a8_gptq"), images, independent=one)(images) for one in (False, True)]
    assert not torch.equal(*made)
    assert sqnr(module(images), made[1]) > 10
