"""The artifacts of one model that a page, a file or a benchmark asks for, each stored and verified."""

from pathlib import Path

from export.core.console import say
from export.core.errors import UnsupportedError
from export.core.records import Artifact
from export.models.choice.request import ModelRequest
from export.pipeline.formats import needs_converter
from export.pipeline.requirements import require_tools
from export.pipeline.runtimes import AUTO, ENGINES, engines_of
from export.pipeline.session import BuildSession
from export.pipeline.store import Store
from export.quantization.recipes import Recipe
from export.quantization.resources import DEFAULT_RESOURCES, Resources


def convert(
    request: ModelRequest,
    recipes: tuple[Recipe, ...],
    store: Store,
    *,
    force: bool,
    engines: tuple[str, ...] = (AUTO,),
    data: Path | None = None,
    resources: Resources = DEFAULT_RESOURCES,
) -> list[Artifact]:
    """Return the artifacts of a model that the page runs, for each recipe and engine, making what is missing.

    `data` are images to calibrate on, `resources` what that may use. An engine that cannot run the model is skipped
    with a warning when another can; raises `ConversionError` when none can.
    """
    expected = {engine.formats[0] for recipe in recipes for engine in engines_of(recipe, engines)}
    with BuildSession(request, store, force=force, data=data, resources=resources, expected=expected) as session:
        _obtain_float(session)
        session.obtain("selftest")  # while the converter process still imports its tools: one core is idle then
        _start_beside(session, recipes, engines)
        made = [artifact for recipe in recipes for artifact in _for_engines(session, recipe, engines)]
        _obtain_selftests(session, made, recipes)
        session.say_if_unchanged()
        return made


def _start_beside(session: BuildSession, recipes: tuple[Recipe, ...], engines: tuple[str, ...]) -> None:
    """Begin to convert the float model in the converter process, where there are recipes to calibrate meanwhile."""
    wanted = [(engine.formats[0], recipe) for recipe in recipes for engine in engines_of(recipe, engines)]
    wanted += [(f"selftest_{format}", recipe) for format, recipe in wanted]
    pending = session.pending(wanted)
    floats = [(format, recipe) for format, recipe in pending if recipe.quantization is None]
    beside = [(format, recipe) for format, recipe in floats if needs_converter(format)]
    overlaps = len(floats) < len(pending) and bool(beside)
    session.expect(pending, beside if overlaps else ())
    if overlaps:
        for format, recipe in floats:
            if not needs_converter(format):
                session.obtain(format, recipe)
        session.make_beside(beside)


def _for_engines(session: BuildSession, recipe: Recipe, chosen: tuple[str, ...]) -> list[Artifact]:
    made, refusals = [], []
    for engine in engines_of(recipe, chosen):
        try:
            made.append(session.obtain(engine.formats[0], recipe))
        except UnsupportedError as error:
            refusals.append(error)
    if not made and chosen == (AUTO,):
        format = ENGINES["tfjs"].formats[0]
        require_tools([format], why=refusals[0].message)
        made.append(session.obtain(format, recipe))
    if not made:
        raise refusals[0]
    for refusal in refusals:
        say(f"    note: {refusal.message}; {recipe.name} is built as {', '.join(artifact.format for artifact in made)}")
    return made


def quantize(
    request: ModelRequest,
    recipe: Recipe,
    formats: tuple[str, ...],
    store: Store,
    *,
    force: bool,
    data: Path | None = None,
    resources: Resources = DEFAULT_RESOURCES,
) -> dict[str, Artifact]:
    """Return the artifacts of a model and a recipe that quantizes, by format, making what is missing."""
    with BuildSession(request, store, force=force, data=data, resources=resources, expected=formats) as session:
        _obtain_float(session)
        return {format: session.obtain(format, recipe) for format in formats}


def make_formats(
    request: ModelRequest, pairs: tuple[tuple[Recipe, str], ...], store: Store, *, force: bool
) -> list[Artifact]:
    """Return the artifacts of a model for pairs of a recipe and a format, making what is missing."""
    with BuildSession(request, store, force=force, expected={format for _, format in pairs}) as session:
        _obtain_float(session)
        made = [session.obtain(format, recipe) for recipe, format in pairs]
        _obtain_selftests(session, made, tuple(recipe for recipe, _ in pairs))
        return made


def float_artifact(request: ModelRequest, store: Store) -> Path:
    """Return the folder of the float model, loaded if it is not there yet."""
    with BuildSession(request, store) as session:
        _obtain_float(session)
        return session.folder("torch")


def _obtain_float(session: BuildSession) -> None:
    """Make the float model first, and say what it is worth."""
    session.obtain("torch")
    if session.request.kind == "random":
        say("    random weights: predictions are meaningless, sizes and latency are real")


def _obtain_selftests(session: BuildSession, artifacts: list[Artifact], recipes: tuple[Recipe, ...]) -> None:
    """Make what a page needs to test its back ends: the reference images, and what each artifact makes of them."""
    session.obtain("selftest")
    by_name = {recipe.name: recipe for recipe in recipes}
    for artifact in artifacts:
        session.obtain(f"selftest_{artifact.format}", by_name[artifact.recipe])
