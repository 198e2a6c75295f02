"""The steps of a method and the groups of rows change what they say, and nothing else."""

import pytest
import torch
from msgspec.structs import replace
from tiny import tiny

from export.comparing.variations import Studies, ablation, select, vary
from export.core.errors import ArtifactError, RequestError
from export.quantization.calibration.calibrate import calibrate
from export.quantization.layers.modules import Product, QuantLinear
from export.quantization.layers.quantizers import Twin
from export.quantization.methods import METHODS, Method
from export.quantization.recipes import Recipe, find_recipe


def test_every_cell_is_a_recipe_of_its_own_with_the_steps_of_its_name() -> None:
    cells = ablation("ptq4vit", (8, 6))
    assert len({recipe.name for recipe, _ in cells}) == 16
    for recipe, cell in cells:
        how = recipe.quantization
        assert how is not None and (how.weight_bits, how.activation_bits) == (cell.bits, cell.bits)
        assert (how.method.twin_softmax != "none", how.method.twin_gelu != "none") == (
            cell.softmax_twin,
            cell.gelu_twin,
        )
        assert (how.calibration.metric == "hessian") == cell.hessian
        assert Recipe.from_json(recipe.to_json()) == recipe
    full = cells[7][0].quantization
    assert (
        full is not None and replace(full.method, name="ptq4vit", title=METHODS["ptq4vit"].title) == METHODS["ptq4vit"]
    )


def few(recipe: Recipe) -> Recipe:
    how = recipe.quantization
    assert how is not None
    return replace(recipe, quantization=replace(how, calibration=replace(how.calibration, candidates=8)))


@pytest.mark.parametrize("twin_of", ["softmax", "gelu"])
def test_one_of_both_twins_can_be_had_alone(twin_of: str) -> None:
    _, module, images = tiny("vit")
    recipe = next(
        recipe
        for recipe, cell in ablation("ptq4vit", (6,))
        if (cell.hessian, cell.softmax_twin, cell.gelu_twin) == (True, twin_of == "softmax", twin_of == "gelu")
    )
    layers = dict(calibrate(module, few(recipe), images[:4]).named_modules())
    softmax = [layer.left for name, layer in layers.items() if isinstance(layer, Product) and name.endswith("_av")]
    gelu = [layer.input for name, layer in layers.items() if isinstance(layer, QuantLinear) and name.endswith("fc2")]
    assert len(softmax) == len(gelu) == 2
    assert {isinstance(one, Twin) for one in softmax} == {twin_of == "softmax"}
    assert {isinstance(one, Twin) for one in gelu} == {twin_of == "gelu"}


def test_groups_of_rows_have_a_scale_each() -> None:
    """Of queries, keys and values each its own groups; of fewer rows than groups one each."""
    _, module, images = tiny("vit")
    (plain,), (grouped,) = (
        vary(select("w6a6_basic"), [], Studies(row_groups=(count,), candidates=8)) for count in (1, 5)
    )
    scales = {}
    for variation in (plain, grouped):
        assert isinstance(variation.recipe, Recipe)
        layers = dict(calibrate(module, variation.recipe, images[:4]).named_modules())
        for name in ("blocks.0.attn.qkv", "head"):
            layer = layers[name]
            assert isinstance(layer, QuantLinear)
            scales[variation.name, name] = layer.weight.scale
    assert [len(scales["w6a6_basic", name].unique()) for name in ("blocks.0.attn.qkv", "head")] == [3, 1]
    assert len(scales["w6a6_basic_rows5", "head"].unique()) == 5
    thirds = scales["w6a6_basic_rows5", "blocks.0.attn.qkv"].chunk(3)
    assert [len(third.unique()) for third in thirds] == [5, 5, 5]
    assert torch.equal(thirds[0][:10], thirds[0][:1].expand(10)), "48 rows in groups of 10, the last of 8"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_groups": 2}, "weight_groups is 2; that needs weights search and weight_granularity tensor"),
        ({"twin_of": "gelu"}, "twin_of is gelu, but twin is none"),
    ],
)
def test_steps_that_mean_nothing_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Method.from_json(METHODS["minmax"].to_json() | change)


def test_what_images_decide_nothing_of_is_not_repeated() -> None:
    studies = Studies(images=(8, 16), seeds=(0, 1, 2))
    varied = vary([find_recipe("w8_dynamic"), find_recipe("w8a8_minmax"), "torch_ao_dynamic"], [], studies)
    assert [one.name for one in varied] == ["w8_dynamic", *["w8a8_minmax"] * 6, "torch_ao_dynamic"]
    assert {(one.images, one.seed) for one in varied[1:-1]} == {(n, seed) for n in (8, 16) for seed in (0, 1, 2)}
    with pytest.raises(RequestError, match="--seeds -1: at least 0"):
        Studies(seeds=(-1,))


def test_steps_of_a_method_are_left_out_in_every_combination() -> None:
    varied = vary([find_recipe("w4a8_quarot"), "torch_ao_dynamic"], [], Studies(steps=True))
    methods = {one.name: one.recipe.quantization.method for one in varied if isinstance(one.recipe, Recipe)}  # type: ignore[union-attr]
    assert [*methods][::7] == ["w4a8_quarot_no_step", "w4a8_quarot"] and len(varied) == 9
    assert len({(method.fold, method.shift, method.compensate) for method in methods.values()}) == 8
    one = methods["w4a8_quarot_rotate_regression"]
    assert (one.fold, one.shift, one.compensate) == ("rotate", False, "regression")
    none, gptq = methods["w4a8_quarot_no_step"].to_json(), METHODS["gptq"].to_json()
    assert {key for key in none if none[key] != gptq[key]} == {"name", "title", "note", "weight_only"}
