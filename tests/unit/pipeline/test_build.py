"""The command line of the build, and what it refuses."""

import pytest

from export.build import main, read_request
from export.core.errors import RequestError
from export.pipeline.runtimes import engines_of
from export.quantization.recipes import DEFAULT_RECIPES, find_recipes


def test_the_default_is_the_embedded_model_in_every_recipe() -> None:
    request = read_request([])
    assert [model.name for model in request.models] == ["photos"]
    assert tuple(recipe.name for recipe in request.recipes) == DEFAULT_RECIPES


def test_an_engine_leaves_out_the_default_recipes_that_it_cannot_run_and_says_so() -> None:
    request = read_request(["--engine", "vit"])
    assert [recipe.name for recipe in request.recipes] == ["w8a8_gptq", "w4a8_gptq"]
    assert request.notes == ("left out: u8, f16, f32, which vit cannot run",)
    assert not read_request([]).notes and not read_request(["--engine", "vit", "--recipe", "w8a8_gptq"]).notes


def test_two_ranges_are_left_to_an_engine_that_has_them_before_anything_is_made() -> None:
    request = read_request(["--recipe", "w8a8_ptq4vit"])
    assert request.notes == ("w8a8_ptq4vit gives activations two ranges, which vit has not",)
    assert [engine.name for engine in engines_of(request.recipes[0], request.engines)] == ["tfjs"]
    with pytest.raises(RequestError, match="--engine vit cannot run the recipe w8a8_ptq4vit"):
        engines_of(request.recipes[0], ("vit",))
    assert read_request(["--recipe", "w8_ptq4vit"]).notes == ()


def test_models_are_repeatable_and_recipes_a_list() -> None:
    request = read_request(["--model", "deit_t", "--model", "vit_t", "--model", "deit_t", "--recipe", "u8, f32"])
    assert [model.name for model in request.models] == ["deit_t", "vit_t"]
    assert request.recipes == find_recipes("u8,f32")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--model", "diet_t"], ("diet_t", "deit_t")),
        (["--recipe", "u9"], ("u9", "u8")),
        (["--recipe", ","], ("names no recipe",)),
        (["--engine", "flash"], ("flash", "tfjs")),
        (["--model", "deit_t", "--model", "vit_t", "--checkpoint", "x.pth"], ("--checkpoint", "one model")),
        (["--model", "deit_t", "--checkpoint", "no-such.safetensors"], ("no-such.safetensors",)),
    ],
)
def test_what_cannot_be_met_is_refused_with_a_way_on(argv: list[str], words: tuple[str, ...]) -> None:
    with pytest.raises(RequestError) as refused:
        main(argv)
    assert refused.value.exit_code == 2
    assert all(word in str(refused.value) for word in words)


def test_a_refused_request_is_a_request_error() -> None:
    with pytest.raises(RequestError, match="unknown recipe"):
        read_request(["--recipe", "nope"])
