"""The artifacts of one model, by recipe and format, each stored, verified and made only when needed."""

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from export.conversion import kind
from export.conversion.engine.compile import engine_key
from export.core.console import say
from export.core.errors import UnsupportedError
from export.core.files import hash_bytes
from export.core.records import Artifact, ModelSpec, Verification
from export.models.request import ModelRequest, describe
from export.pipeline.runtimes import AUTO, ENGINES, engines_of
from export.pipeline.selftest import add_selftests
from export.pipeline.session import Line, origin_of
from export.pipeline.stages import STAGES, beside, load_model
from export.pipeline.store import Store
from export.quantization.recipes import Quantization, Recipe

if TYPE_CHECKING:
    from export.data.calibration import CalibrationImages


def convert(
    request: ModelRequest,
    recipes: tuple[Recipe, ...],
    store: Store,
    *,
    force: bool,
    engines: tuple[str, ...] = (AUTO,),
    data: Path | None = None,
) -> list[Artifact]:
    """Return the artifacts of a model that the page runs, for each recipe and engine, making what is missing.

    `data` are images to calibrate on. An engine that cannot run the model is left out, aloud, when another can; raises
    `ConversionError` when none can.
    """
    with ExitStack() as stack:
        line = Line(request, store, force=force, stack=stack)
        torch = load_float(line)
        made = [made for recipe in recipes for made in _for_engines(line, recipe, engines, data)]
        add_selftests(line, torch, recipes)
        return made


def _for_engines(line: Line, recipe: Recipe, chosen: tuple[str, ...], data: Path | None) -> list[Artifact]:
    made, refusals = [], []
    for engine in engines_of(recipe, chosen):
        try:
            made.append(artifact_of(line, engine.formats[0], recipe, data))
        except UnsupportedError as error:
            refusals.append(error)
    if not made and chosen == (AUTO,):
        made.append(artifact_of(line, ENGINES["tfjs"].formats[0], recipe, data))
    if not made:
        raise refusals[0]
    for refusal in refusals:
        say(f"    note: {refusal.message}; {', '.join(artifact.format for artifact in made)} serves {recipe.name}")
    return made


def quantize(
    request: ModelRequest,
    recipe: Recipe,
    formats: tuple[str, ...],
    store: Store,
    *,
    force: bool,
    data: Path | None = None,
) -> dict[str, Artifact]:
    """Return the artifacts of a model and a recipe that quantizes, by format, making what is missing.

    `formats` are of `safetensors` (packed integers), `qdq` (ONNX) and `tflite`.
    """
    with ExitStack() as stack:
        line = Line(request, store, force=force, stack=stack)
        load_float(line)
        return {format: artifact_of(line, format, recipe, data) for format in formats}


def make_formats(
    request: ModelRequest, pairs: tuple[tuple[Recipe, str], ...], store: Store, *, force: bool
) -> list[Artifact]:
    """Return the artifacts of a model for pairs of a recipe and a format, making what is missing."""
    with ExitStack() as stack:
        line = Line(request, store, force=force, stack=stack)
        torch = load_float(line)
        made = [artifact_of(line, format, recipe, None) for recipe, format in pairs]
        add_selftests(line, torch, tuple(dict.fromkeys(recipe for recipe, _ in pairs)))
        return made


def float_artifact(request: ModelRequest, store: Store) -> Path:
    """Return the folder of the float model, loaded if it is not there yet."""
    with ExitStack() as stack:
        line = Line(request, store, force=False, stack=stack)
        load_float(line)
        return line.folder("torch")


def load_float(line: Line) -> Artifact:
    """Return the float model's artifact and say what was decided for it."""
    torch = _float(line)
    if line.request.kind == "random":
        say("    random weights: predictions mean nothing, sizes and latency do")
    return torch


def _float(line: Line) -> Artifact:
    return line.obtain("torch", None, lambda folder: load_model(line, folder), options=describe(line.request))


def artifact_of(line: Line, format: str, recipe: Recipe, data: Path | None) -> Artifact:
    """Return the artifact of a format, with all its parents; recipes that only store share those of the float model."""
    if format == "torch":
        return _float(line)
    if format == "safetensors":
        return _quantized(line, recipe, data)
    quantizes = recipe.quantization is not None
    above, make = STAGES[format]
    parent = artifact_of(line, above if quantizes or above != "safetensors" else "torch", origin_of(recipe), data)
    options = engine_key() if format == "vit" else None
    if other := beside(line, format, recipe):
        options = artifact_of(line, other, origin_of(recipe), data).sha256
    if quantizes and kind(format) in (
        "qdq",
        "tflite",
    ):  # their parents hold the weights alone, no scales of activations
        options = _quantized(line, recipe, data).sha256
    return line.obtain(
        format, parent, lambda folder: make(line, folder, recipe, format), recipe=recipe, options=options
    )


def _quantized(line: Line, recipe: Recipe, data: Path | None) -> Artifact:
    """Return the integer artifact of a recipe; its images are a part of its key."""
    parent, how = _float(line), recipe.quantization
    assert how is not None
    images = _calibration_images(line, how, data)
    kept = line.store.root / line.request.name / f".{recipe.name}.calibration"

    def make(folder: Path) -> Verification:
        from export.quantization.quantize import quantize

        return quantize(line.folder("torch"), recipe, images, folder, kept)

    return line.obtain("safetensors", parent, make, recipe=recipe, options=hash_bytes(images.images.tobytes()))


def _calibration_images(line: Line, how: Quantization, data: Path | None) -> "CalibrationImages":
    from export.data.calibration import calibration_images

    spec = ModelSpec.read(line.folder("torch") / "spec.json")
    return calibration_images(spec, data, how.calibration.images, how.calibration.seed)
