"""What is varied beside the recipe: calibration images, seeds, groups of rows, and the steps of a method."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

from msgspec.structs import replace

from export.core.errors import RequestError
from export.page.reports.comparison.records import Cell
from export.quantization.evaluation.selection import BASELINES, every_recipe
from export.quantization.methods import METHODS, Calibration, Method
from export.quantization.recipes import Quantization, Recipe, find_recipe, quantizing

FLOAT = "f32"
ALL = "all"
DEFAULT = "w8a8_basic,w8a8_ptq4vit,w6a6_basic,w6a6_ptq4vit,torch_ao_dynamic,torchao_dynamic"


# What a method has where it leaves out a step.
WITHOUT: dict[str, Any] = {"fold": "none", "shift": False, "compensate": "none"}


@dataclass(frozen=True, slots=True)
class Variation:
    """One thing to evaluate: a `recipe`, or a baseline by its name.

    `images` and `seed` are None where they decide nothing; `cell` is its place in an ablation.
    """

    recipe: Recipe | str
    images: int | None = None
    seed: int | None = None
    cell: Cell | None = None

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.recipe if isinstance(self.recipe, str) else self.recipe.name

    def __str__(self) -> str:
        study = f", {self.images} images, seed {self.seed}" if self.images is not None else ""
        return self.name + study


@dataclass(frozen=True, slots=True, kw_only=True)
class Studies:
    """What to vary; an empty tuple stands for each recipe's own. Raises `RequestError` for what makes no sense.

    `candidates` is the number of scales that a search compares, None for each recipe's own. With `steps`, recipes are
    also evaluated without some of their method's steps, or any (see `WITHOUT`).
    """

    images: tuple[int, ...] = ()
    seeds: tuple[int, ...] = ()
    row_groups: tuple[int, ...] = ()
    candidates: int | None = None
    steps: bool = False

    def __post_init__(self) -> None:
        for option, values, least in (
            ("images", self.images, 1),
            ("seeds", self.seeds, 0),
            ("row-groups", self.row_groups, 1),
            ("candidates", () if self.candidates is None else (self.candidates,), 1),
        ):
            if any(value < least for value in values):
                raise RequestError(f"--{option} {min(values)}: at least {least} is needed", hint="pass larger numbers")


def select(text: str) -> list[Recipe | str]:
    """Read `f32,w8a8_basic,torch_ao_dynamic` or `all`; raises `RequestError` for a recipe that only converts.

    The float model is always part of a comparison.
    """
    names = every_recipe() if text == ALL else [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise RequestError(f"--recipe {text!r} names no recipe", hint=f"for instance {DEFAULT}")
    found = [name if name in BASELINES else find_recipe(name) for name in dict.fromkeys(names) if name != FLOAT]
    for recipe in found:
        if not isinstance(recipe, str) and (recipe.quantization is None or recipe.quantization.method.trains):
            kind = "only converts what is stored" if recipe.quantization is None else "is one of training"
            hint = "python -m export.measure measures u8 and f16 in the browser; python -m export.train --qat trains"
            raise RequestError(f"--recipe {recipe.name}: it {kind}, so there is nothing to compare here", hint=hint)
    return found


def ablation(name: str, widths: Sequence[int]) -> list[tuple[Recipe, Cell]]:
    """Return the cells of a method's ablation: Hessian × softmax twin × GELU twin at each width; 16 at two widths.

    Without the Hessian the metric is the cosine, searched in BasePTQ's range. Raises `RequestError` for a method
    without these steps.
    """
    method = METHODS.get(name)
    if method is None or method.twin == "none" or method.calibration.metric != "hessian":
        with_steps = [one for one, found in METHODS.items() if found.twin != "none"]
        raise RequestError(
            f"--ablation {name}: no such method with a Hessian and twins to leave out",
            hint=f"allowed: {', '.join(with_steps)}",
        )
    return [_cell(method, *steps) for steps in product(widths, (False, True), (False, True), (False, True))]


def _cell(method: Method, bits: int, hessian: bool, softmax: bool, gelu: bool) -> tuple[Recipe, Cell]:
    steps = [step for step, has in (("hessian", hessian), ("softmax", softmax), ("gelu", gelu)) if has]
    changed = replace(
        method,
        name=f"{method.name}_{'_'.join(steps) or 'no_step'}",
        title=f"{method.title}: {', '.join(steps) or 'none of its steps'}",
        twin=method.twin if softmax or gelu else "none",
        twin_of="both" if softmax == gelu else "softmax" if softmax else "gelu",
    )
    calibration = method.calibration
    if not hessian:
        calibration = replace(calibration, metric="cosine", search_range=METHODS["basic"].calibration.search_range)
    recipe = quantizing(changed, bits, bits, calibration=calibration)
    return recipe, Cell(method=method.name, bits=bits, hessian=hessian, softmax_twin=softmax, gelu_twin=gelu)


def vary(recipes: Sequence[Recipe | str], cells: Sequence[tuple[Recipe, Cell]], studies: Studies) -> list[Variation]:
    """Return every variation once; what images decide nothing of is not repeated for other images.

    Raises `RequestError` for groups of rows, or steps, that no recipe has.
    """
    if studies.steps:
        recipes = _with_steps(recipes)
    grouped = [version for recipe in recipes for version in _with_groups(recipe, studies.row_groups)]
    if studies.row_groups and not any(_takes_groups(recipe) for recipe in recipes):
        methods = [
            name
            for name, method in METHODS.items()
            if method.weight_granularity == "tensor" and method.weights == "search"
        ]
        raise RequestError(
            "--row-groups: none of the recipes has a searched scale per tensor",
            hint=f"methods that do: {', '.join(methods)}; the others have a scale per row anyway, or search none",
        )
    varied = [one for recipe in grouped for one in _with_images(recipe, None, studies)]
    return varied + [one for recipe, cell in cells for one in _with_images(recipe, cell, studies)]


def _steps(method: Method) -> dict[str, str]:
    """Return the steps that a method can leave out: the field of each, and what it is called in names."""
    values = {field: getattr(method, field) for field, absent in WITHOUT.items() if getattr(method, field) != absent}
    return {field: field if value is True else str(value) for field, value in values.items()}


def _with_steps(recipes: Sequence[Recipe | str]) -> list[Recipe | str]:
    """Return every recipe with each combination of its method's steps, from none to all; raises `RequestError`."""
    if not any(not isinstance(recipe, str) and _steps(_how(recipe).method) for recipe in recipes):
        names = [name for name, method in METHODS.items() if _steps(method) and not method.trains]
        raise RequestError("--steps: no recipe's method has a step to leave out", hint=f"some have: {', '.join(names)}")
    return [version for recipe in recipes for version in _stepwise(recipe)]


def _stepwise(recipe: Recipe | str) -> Iterator[Recipe | str]:
    steps = {} if isinstance(recipe, str) else _steps(_how(recipe).method)
    for count in range(len(steps)):
        for kept in combinations(steps, count):
            assert not isinstance(recipe, str)
            how, names = _how(recipe), [steps[field] for field in kept]
            method = replace(how.method, **{field: WITHOUT[field] for field in steps if field not in kept})
            method = replace(
                method,
                name=f"{method.name}_{'_'.join(names) or 'no_step'}",
                title=f"{method.title}: {', '.join(names) or 'none of its steps'}",
            )
            yield quantizing(method, how.weight_bits, how.activation_bits, how.rules, how.calibration)
    yield recipe


def _takes_groups(recipe: Recipe | str) -> bool:
    return not isinstance(recipe, str) and _searches_tensors(_how(recipe).method)


def _searches_tensors(method: Method) -> bool:
    return (method.weights, method.weight_granularity) == ("search", "tensor")


def _with_groups(recipe: Recipe | str, groups: Sequence[int]) -> Iterator[Recipe | str]:
    if not groups or isinstance(recipe, str) or not _takes_groups(recipe):
        yield recipe
        return
    for count in groups:
        how = _how(recipe)
        method = replace(how.method, weight_groups=count)
        name = recipe.name if count == how.method.weight_groups else f"{recipe.name}_rows{count}"
        yield replace(recipe, name=name, quantization=replace(how, method=method))


def _with_images(recipe: Recipe | str, cell: Cell | None, studies: Studies) -> Iterator[Variation]:
    if isinstance(recipe, str) or not _how(recipe).method.uses_images:
        yield Variation(recipe, cell=cell)
        return
    own = _how(recipe).calibration
    if studies.candidates is not None:
        own = replace(own, candidates=studies.candidates)
    for images, seed in product(studies.images or (own.images,), studies.seeds or (own.seed,)):
        calibration: Calibration = replace(own, images=images, seed=seed)
        changed = replace(recipe, quantization=replace(_how(recipe), calibration=calibration))
        yield Variation(changed, images, seed, cell)


def _how(recipe: Recipe) -> Quantization:
    assert recipe.quantization is not None
    return recipe.quantization
