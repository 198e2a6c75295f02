"""Which recipes an evaluation compares: those named, or every method at every usual width."""

from export.core.errors import RequestError
from export.quantization.evaluation.records import WIDTHS
from export.quantization.methods import METHODS
from export.quantization.recipes import Recipe, find_recipe

ALL = "all"
# Names of the functions in `baselines`, which brings PyTorch; the last gives what the one before it does.
BASELINES = ("torchao_dynamic", "torch_ao_dynamic", "torch_ao_dynamic_linear")


def every_recipe() -> list[str]:
    """Return the names of every method at each usual width that it takes, and PyTorch's own quantization."""
    names = []
    for width in WIDTHS:
        for method in METHODS.values():
            fits = method.activations != "none" if "a" in width else method.weight_only
            if fits and not method.trains:
                names.append(find_recipe(f"{width}_{method.name}").name)
    return [*names, *BASELINES[:2]]


def select_recipes(text: str) -> list[Recipe | str]:
    """Read `all` or `w8a8_ptq4vit,torchao_dynamic`, a `str` being a baseline; raises `RequestError`."""
    names = every_recipe() if text == ALL else [name.strip() for name in text.split(",") if name.strip()]
    recipes = [name if name in BASELINES else find_recipe(name) for name in dict.fromkeys(names)]
    stored = [recipe.name for recipe in recipes if not isinstance(recipe, str) and recipe.quantization is None]
    if stored or not recipes:
        raise RequestError(
            f"--recipe {text}: {', '.join(stored) or 'nothing'} is not a recipe that quantizes",
            hint="u8, f16 and f32 are measured in the browser: python -m export.measure",
        )
    return recipes
