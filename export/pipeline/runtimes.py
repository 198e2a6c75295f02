"""Facts as data: the JavaScript runtimes a page can run a variant with, and what they run on."""

from dataclasses import dataclass
from typing import Literal

from export.core.errors import RequestError
from export.pipeline.formats import FORMATS
from export.pipeline.requirements import missing_tools, remedy
from export.quantization.recipes import DEFAULT_RECIPES, Recipe, find_recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A JavaScript runtime with its back ends, the preferred first; `FORMATS` says what it loads.

    `takes` says of which recipes: any, those that quantize weights, or only those that quantize activations too;
    without `twins`, not those that give a tensor of activations two ranges.
    """

    name: str
    title: str
    source: str
    backends: tuple[str, ...]
    takes: Literal["any", "quantized", "integers"] = "any"
    twins: bool = True

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that it loads, its default first."""
        return tuple(format.name for format in FORMATS.values() if format.engine == self.name)

    def runs(self, recipe: Recipe) -> bool:
        """Whether there are files of a recipe for this engine."""
        quantization = recipe.quantization
        integers = quantization is not None and quantization.activation_bits is not None
        taken = self.takes == "any" or (quantization is not None and (integers or self.takes == "quantized"))
        return taken and (self.twins or not has_twins(recipe))


def has_twins(recipe: Recipe) -> bool:
    """Tell whether a recipe gives some activations two ranges."""
    quantization = recipe.quantization
    return quantization is not None and quantization.activation_bits is not None and quantization.method.twin != "none"


# Fastest first: `auto` takes the first that runs a recipe.
ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine(name="vit", title="ViT Pages' own engine", source="", backends=("wasm",), takes="integers", twins=False),
        Engine(
            name="tfjs",
            title="TensorFlow.js",
            source="https://github.com/tensorflow/tfjs",
            backends=("wasm", "webgl", "webgpu", "cpu"),
        ),
        Engine(
            name="litert",
            title="LiteRT.js",
            source="https://github.com/google-ai-edge/LiteRT",
            backends=("wasm", "webgpu"),
            takes="quantized",
        ),
        Engine(
            name="ort",
            title="ONNX Runtime Web",
            source="https://github.com/microsoft/onnxruntime",
            backends=("wasm", "webgpu"),
            takes="quantized",
        ),
    )
}

BACKENDS: dict[str, str] = {
    "wasm": "WebAssembly (CPU)",
    "webgl": "WebGL (GPU)",
    "webgpu": "WebGPU (GPU)",
    "cpu": "JavaScript (CPU)",
}


def engine_for(format: str) -> Engine | None:
    """Return the engine that loads a format, or None for an intermediate one and for one that is no longer made."""
    known = FORMATS.get(format)
    return ENGINES.get(known.engine) if known else None


AUTO = "auto"  # the fastest engine that runs a recipe, of those that are installed


def engines_of(recipe: Recipe, chosen: tuple[str, ...]) -> tuple[Engine, ...]:
    """Return the engines that a recipe is built for; raises `RequestError` when it is none of those chosen."""
    able = tuple(engine for engine in ENGINES.values() if engine.runs(recipe))
    if chosen == (AUTO,):
        return tuple(engine for engine in able if _is_installed(engine))[:1] or able[:1]
    found = tuple(engine for engine in able if engine.name in chosen)
    if not found:
        raise RequestError(
            f"--engine {','.join(chosen)} cannot run the recipe {recipe.name}",
            hint=f"engines that can: {', '.join(engine.name for engine in able)}",
        )
    return found


def _is_installed(engine: Engine) -> bool:
    return not missing_tools(engine.formats[0])


def _way_to(engine: Engine) -> str:
    return f"{engine.name} is not installed ({remedy(engine.formats[:1])})"


def default_recipes(chosen: tuple[str, ...]) -> tuple[tuple[Recipe, ...], tuple[str, ...]]:
    """Return the recipes of a build that names none, and notes on those left out, which the engines chosen do not run.

    With `auto`, those are left out for which no engine is installed; where none is for any, those of the fastest are
    kept, and the build says what it needs.
    """
    recipes = tuple(map(find_recipe, DEFAULT_RECIPES))
    fastest = next(iter(ENGINES.values()))
    kept = tuple(recipe for recipe in recipes if _would_run(recipe, chosen)) or tuple(filter(fastest.runs, recipes))
    left_out: dict[str, list[str]] = {}
    for recipe in recipes:
        if recipe not in kept:
            reason = f"which {', '.join(chosen)} cannot run"
            if chosen == (AUTO,):
                reason = f"since {_way_to(engines_of(recipe, chosen)[0])}"
            left_out.setdefault(reason, []).append(recipe.name)
    return kept, tuple(f"left out: {', '.join(names)}, {reason}" for reason, names in left_out.items())


def _would_run(recipe: Recipe, chosen: tuple[str, ...]) -> bool:
    if chosen == (AUTO,):
        return _is_installed(engines_of(recipe, chosen)[0])
    return any(ENGINES[name].runs(recipe) for name in chosen)


def passed_over(recipes: tuple[Recipe, ...], chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Return notes on recipes for which `auto` takes a slower engine: the fastest is not installed, or has no twins."""
    notes = []
    for recipe in recipes if chosen == (AUTO,) else ():
        without = next(iter(ENGINES.values()))
        if has_twins(recipe) and not without.twins:
            notes.append(f"{recipe.name} gives activations two ranges, which {without.name} has not")
        fastest = next(engine for engine in ENGINES.values() if engine.runs(recipe))
        (taken,) = engines_of(recipe, chosen)
        if taken is not fastest:
            notes.append(f"{recipe.name} is built for {taken.name}, since {_way_to(fastest)}")
    return tuple(notes)


def find_engines(names: str) -> tuple[str, ...]:
    """Read `auto` or `vit,tfjs`; raises `RequestError` naming what exists."""
    if names.strip() == AUTO:
        return (AUTO,)
    chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in chosen if name not in ENGINES]
    if unknown or not chosen:
        raise RequestError(
            f"--engine {names!r}: " + (f"unknown engine {', '.join(unknown)}" if unknown else "names no engine"),
            hint=f"known engines: {AUTO}, {', '.join(ENGINES)}",
        )
    return chosen
