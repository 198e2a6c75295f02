"""Facts as data: the recipes, that is, in which types a variant stores and multiplies its numbers.

`u8`, `f16` and `f32` only convert what is stored; all others quantize and are named by their bits and method:
`w8a8_ptq4vit` has 8-bit weights and 8-bit activations, `w4_gptq` 4-bit weights and float activations.
"""

import re
from pathlib import Path

from msgspec.structs import replace

from export.core.console import say
from export.core.errors import ArtifactError, RequestError
from export.core.schema import Record
from export.quantization.methods import BITS, METHODS, Bits, Calibration, LayerRule, Method

EXAMPLE = "every quantized model has a valid one as an example: MODEL/RECIPE/safetensors/recipe.json"
CORRECT = f"correct the file; {EXAMPLE}"
NAME = re.compile(r"w(?P<weight>\d+)(?:a(?P<activation>\d+))?_(?P<method>\w+)")


class Quantization(Record, frozen=True, kw_only=True):
    """How a model is quantized: `activation_bits` is None where activations stay float.

    Of the `rules` for single layers the first that matches counts.
    """

    method: Method
    weight_bits: Bits
    activation_bits: Bits | None
    rules: tuple[LayerRule, ...] = ()
    calibration: Calibration = Calibration()


class Recipe(Record, frozen=True, kw_only=True):
    """What a variant is made by: `storage_dtype` is the type its files hold, `compute_dtype` the one it multiplies.

    `quantization` is None for recipes that only convert what is stored.
    """

    name: str
    title: str
    storage_dtype: str
    compute_dtype: str
    note: str
    quantization: Quantization | None = None


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="u8",
            title="8-bit weights",
            storage_dtype="uint8",
            compute_dtype="float32",
            note="Weights of matrix products and convolutions are stored as uint8, with one scale and minimum per "
            "tensor, and dequantized to float32 on loading: a quarter of the download, the speed of float32.",
        ),
        Recipe(
            name="f16",
            title="16-bit weights",
            storage_dtype="float16",
            compute_dtype="float32",
            note="Every weight is stored as float16 and converted to float32 on loading: half the download, the speed "
            "of float32.",
        ),
        Recipe(
            name="f32",
            title="Float weights",
            storage_dtype="float32",
            compute_dtype="float32",
            note="The model as trained: the baseline for the others.",
        ),
    )
}

DEFAULT_RECIPES = ("w8a8_gptq", "w4a8_gptq", "u8", "f16", "f32")


def find_recipe(name: str) -> Recipe:
    """Return a recipe by its name, or from a JSON file of a `Recipe`; raises `RequestError` naming what exists."""
    if name in RECIPES:
        return RECIPES[name]
    if name.endswith(".json"):
        return _read_recipe(Path(name))
    matched = NAME.fullmatch(name)
    if not matched or matched["method"] not in METHODS:
        raise RequestError(
            f"--recipe {name!r}: unknown recipe",
            hint=f"known: {', '.join(RECIPES)}, wB_METHOD and wBaB_METHOD with B of {BITS[0]} to {BITS[-1]} bits "
            f"(w8a8_ptq4vit, w4_gptq) and METHOD of {', '.join(METHODS)}, or a .json file",
        )
    activation = int(matched["activation"]) if matched["activation"] else None
    recipe = quantizing(METHODS[matched["method"]], int(matched["weight"]), activation)
    if recipe.name != name:
        own = NAME.fullmatch(recipe.name)
        added = (
            ", which has 8-bit activations" if recipe.compute_dtype == "int8" and own and not own["activation"] else ""
        )
        say(f"note: {name} is named {recipe.name}{added}")
    return recipe


def quantizing(
    method: Method,
    weight_bits: int,
    activation_bits: int | None,
    rules: tuple[LayerRule, ...] = (),
    calibration: Calibration | None = None,
) -> Recipe:
    """Return the recipe of a method at given bits; raises `RequestError` for bits that it does not take."""
    if activation_bits is None and method.activations == "dynamic" and not method.weight_only:
        activation_bits = 8
    name = f"w{weight_bits}" + (f"a{activation_bits}" if activation_bits else "") + f"_{method.name}"
    for bits in (weight_bits, activation_bits):
        if bits is not None and bits not in BITS:
            raise RequestError(f"--recipe {name}: {bits} bits", hint=f"allowed: {BITS[0]} to {BITS[-1]} bits")
    if activation_bits is None and not method.weight_only:
        raise RequestError(
            f"--recipe {name}: {method.name} quantizes activations, so it needs their bits",
            hint=f"for instance w{weight_bits}a8_{method.name}",
        )
    if activation_bits is not None and method.activations == "none":
        raise RequestError(
            f"--recipe {name}: {method.name} quantizes only weights", hint=f"for instance w{weight_bits}_{method.name}"
        )
    short = "dynamic" if name == f"w{weight_bits}a8_dynamic" else None
    return Recipe(
        name=f"w{weight_bits}_{short}" if short else name,
        title=_title(method, weight_bits, activation_bits),
        storage_dtype=f"int{weight_bits}",
        compute_dtype="float32" if activation_bits is None else "int8",
        note=method.note,
        quantization=Quantization(
            method=method,
            weight_bits=weight_bits,
            activation_bits=activation_bits,
            rules=rules,
            calibration=calibration or method.calibration,
        ),
    )


def _title(method: Method, weight_bits: int, activation_bits: int | None) -> str:
    activations = f", {activation_bits}-bit activations" if activation_bits else ""
    return f"{weight_bits}-bit weights{activations} ({method.title})"


def _read_recipe(path: Path) -> Recipe:
    if not path.is_file():
        raise RequestError(f"--recipe {path}: there is no such file", hint=f"check the path; {EXAMPLE}")
    try:
        recipe = Recipe.parse(path.read_bytes())
    except (OSError, ArtifactError) as error:
        raise RequestError(f"--recipe {path} is not a recipe: {error}", hint=CORRECT) from error
    if recipe.quantization is None or not re.fullmatch(r"[\w-]+", recipe.name) or recipe.name in RECIPES:
        raise RequestError(
            f"--recipe {path}: it needs a unique name (letters, digits, _, -) and a quantization", hint=CORRECT
        )
    chosen = recipe.quantization
    checked = quantizing(chosen.method, chosen.weight_bits, chosen.activation_bits, chosen.rules, chosen.calibration)
    for field in ("storage_dtype", "compute_dtype"):
        stated, own = getattr(recipe, field), getattr(checked, field)
        if stated != own:
            say(f"note: {field} of {path.name} is {own}, which its bits decide, not {stated}")
    return replace(checked, name=recipe.name, title=recipe.title, note=recipe.note)


def find_recipes(names: str) -> tuple[Recipe, ...]:
    """Read `u8,w4_gptq`; raises `RequestError` naming what exists."""
    chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    if not chosen:
        raise RequestError(f"--recipe {names!r} names no recipe", hint=f"known recipes: {', '.join(RECIPES)}")
    return tuple(find_recipe(name) for name in chosen)
