"""Facts as data: the recipes, that is, which numbers a variant stores and which it multiplies."""

from dataclasses import dataclass

from export.errors import RequestError


@dataclass(frozen=True, slots=True)
class Recipe:
    """A named choice of numbers; `storage_dtype` is what the files hold, `compute_dtype` what is multiplied."""

    name: str
    title: str
    storage_dtype: str
    compute_dtype: str
    note: str


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "u8", "8-bit weights", "uint8", "float32",
            "The weights of matrix products and convolutions are stored as uint8 with one scale and minimum per tensor "
            "and become float32 when they are loaded: a quarter of the download, the speed of float32.",
        ),
        Recipe(
            "f16", "16-bit weights", "float16", "float32",
            "Every weight is stored as float16 and becomes float32 when it is loaded: half the download, the speed of "
            "float32.",
        ),
        Recipe(
            "f32", "Float weights", "float32", "float32",
            "The model as it was trained: the yardstick for the others.",
        ),
    )
}  # fmt: skip

DEFAULT_RECIPES = ("u8", "f16", "f32")


def find_recipes(names: str) -> tuple[str, ...]:
    """Read `u8,f32`; raises `RequestError` naming what exists."""
    chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in chosen if name not in RECIPES]
    if unknown or not chosen:
        raise RequestError(
            f"--recipe {names!r}: " + (f"unknown recipe {', '.join(unknown)}" if unknown else "names no recipe"),
            hint=f"known recipes: {', '.join(RECIPES)}",
        )
    return chosen
