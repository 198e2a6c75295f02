"""The stages of one model, each stored, verified and made only when needed.

torch → ONNX → TensorFlow → TF.js; a recipe that quantizes puts integers between torch and ONNX.
"""

import json
from collections.abc import Callable
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from export.console import say, stage
from export.convert import tool_versions
from export.engine_build import engine_key
from export.engines import AUTO, ENGINES, engines_of
from export.errors import UnsupportedError
from export.models.request import ModelRequest, describe
from export.recipes import Quantization, Recipe, find_recipe
from export.spec import Artifact, ModelSpec, Verification
from export.store import Make, Outcome, Plan, Store, hash_bytes, hash_file, hash_json

if TYPE_CHECKING:
    from torch import nn

    from export.convert.toolrun import ConverterProcess
    from export.data.calibration import CalibrationImages

SOURCE = Path(__file__).parent

# The sources that decide the bytes of a stage, beside its tools.
SOURCES: dict[str, tuple[str, ...]] = {
    "torch": ("models/*.py", "data/*.py", "catalog.py"),
    "safetensors": ("quant/*.py", "data/calibration.py", "methods.py", "convert/verify.py"),
    "onnx": ("convert/to_onnx.py", "convert/verify.py"),
    "qdq": (
        "convert/to_qdq.py",
        "convert/qdq_nodes.py",
        "convert/dynamic_nodes.py",
        "convert/onnx_graph.py",
        "convert/held.py",
        "convert/verify.py",
    ),
    "tflite": (
        "convert/to_tflite.py",
        "convert/tflite_graph.py",
        "convert/tflite_integers.py",
        "convert/held.py",
        "convert/toolrun.py",
        "convert/verify.py",
    ),
    "tf": ("convert/to_tf.py", "convert/toolrun.py", "convert/verify.py"),
    "tfjs": (
        "convert/to_tfjs.py",
        "convert/graph.py",
        "convert/tfjs_files.py",
        "convert/packed_tfjs.py",
        "convert/verify.py",
        "quant/packing.py",
        "quant/integer_file.py",
    ),
    "vit": ("convert/to_engine.py", "convert/engine_parts.py", "convert/verify.py", "engine_build.py"),
}


FLOAT = find_recipe("f32")
HELD = "held.json"  # what a file of another format holds of a recipe
INTEGER_FORMATS = ("safetensors", "vit")  # whose runtimes multiply integers where the recipe says so


class Line:
    """The production line of one model: every stage starts from its parent's artifact, never from memory."""

    def __init__(self, request: ModelRequest, store: Store, *, force: bool, stack: ExitStack) -> None:
        self.request, self.store, self.force, self.stack = request, store, force, stack
        self.notices: list[str] = []  # what was decided while loading and should be seen
        self.log = (store.root / request.name / "convert.log").absolute()
        self._tools: ConverterProcess | None = None
        self._made: dict[tuple[str, str], Artifact] = {}

    def folder(self, format: str, recipe: str = "f32") -> Path:
        """Return where a stage's artifact lies."""
        return self.store.folder(self.request.name, recipe, format)

    def tools(self) -> "ConverterProcess":
        """Return the converter process, started when first asked for; it ends with the build."""
        if self._tools is None:
            from export.convert.toolrun import ConverterProcess

            self._tools = self.stack.enter_context(ConverterProcess(self.log))
        return self._tools

    def obtain(
        self,
        format: str,
        parent: Artifact | None,
        make: Make,
        *,
        recipe: Recipe = FLOAT,
        options: object = None,
    ) -> Artifact:
        """Return the stage's artifact: the stored one if it was made from just this, else a new one."""
        place = (format, recipe.name)
        if place not in self._made:
            self._made[place] = self._find_or_make(format, parent, make, recipe, options)
        return self._made[place]

    def _find_or_make(
        self, format: str, parent: Artifact | None, make: Make, recipe: Recipe, options: object
    ) -> Artifact:
        tools = (
            tool_versions(format) if parent else {name: version(name) for name in ("torch", "timm", "pillow", "numpy")}
        )
        parent_sha256 = parent.sha256 if parent else ""
        plan = Plan(
            model=self.request.name, recipe=recipe.name, format=format, parent_sha256=parent_sha256, tools=tools,
            key=hash_json([format, recipe.to_json(), parent_sha256, options, tools, _code(format)]),
            storage_dtype=recipe.storage_dtype,
            compute_dtype=recipe.compute_dtype if format in INTEGER_FORMATS else "float32",
        )  # fmt: skip
        found = None if self.force else self.store.find(plan.model, recipe.name, format, plan.key)
        if found:
            return found
        with stage(f"{format} {recipe.name}" if parent else "load the model") as note:
            artifact = self.store.write(plan, make)
            note(f"{artifact.bytes / 1e6:.2f} MB" + _agreement(artifact.verification))
        return artifact


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
        load_float(line)
        return [made for recipe in recipes for made in _for_engines(line, recipe, engines, data)]


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


def float_artifact(request: ModelRequest, store: Store) -> Path:
    """Return the folder of the float model, loaded if it is not there yet."""
    with ExitStack() as stack:
        line = Line(request, store, force=False, stack=stack)
        load_float(line)
        return line.folder("torch")


def load_float(line: Line) -> Artifact:
    """Return the float model's artifact and say what was decided for it."""
    torch = _float(line)
    for notice in line.notices:
        say(f"    {notice}")
    if line.request.kind == "random":
        say("    random weights: predictions mean nothing, sizes and latency do")
    return torch


def _float(line: Line) -> Artifact:
    return line.obtain("torch", None, lambda folder: _load(line, folder), options=describe(line.request))


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
    return line.obtain(format, parent, lambda folder: make(line, folder, recipe), recipe=recipe, options=options)


def origin_of(recipe: Recipe) -> Recipe:
    """Return the recipe whose numbers a graph is exported with: storing ones change only the last step's bytes."""
    return recipe if recipe.quantization is not None else FLOAT


def _quantized(line: Line, recipe: Recipe, data: Path | None) -> Artifact:
    """Return the integer artifact of a recipe; its images are a part of its key."""
    parent, how = _float(line), recipe.quantization
    assert how is not None
    images = _calibration_images(line, how, data)
    kept = line.store.root / line.request.name / f".{recipe.name}.calibration"

    def make(folder: Path) -> Verification:
        from export.quant.quantized import quantize

        return quantize(line.folder("torch"), recipe, images, folder, kept)

    return line.obtain("safetensors", parent, make, recipe=recipe, options=hash_bytes(images.images.tobytes()))


def _calibration_images(line: Line, how: Quantization, data: Path | None) -> "CalibrationImages":
    from export.data.calibration import calibration_images

    spec = ModelSpec.from_json(json.loads((line.folder("torch") / "spec.json").read_text()))
    return calibration_images(spec, data, how.calibration.images, how.calibration.seed)


def _code(format: str) -> list[list[str]]:
    files = sorted({file for pattern in SOURCES[format] for file in SOURCE.glob(pattern)})
    return [[file.relative_to(SOURCE).as_posix(), hash_file(file)] for file in files]


def _agreement(found: Verification | None) -> str:
    if found is None:
        return ""
    distance = "equal bit for bit" if found.sqnr_db is None else f"{found.sqnr_db:.1f} dB"
    return f", {distance} from its parent (largest difference {found.max_abs_diff:.2g})"


def _load(line: Line, folder: Path) -> None:
    line.tools()  # TensorFlow takes seconds to import: that happens beside the work here
    from export.data.golden import golden_inputs
    from export.models.artifact import write_model
    from export.models.load import load

    spec, module = load(line.request, line.notices.append)
    write_model(spec, module, golden_inputs(spec), folder)


def _to_onnx(line: Line, folder: Path, recipe: Recipe) -> Verification:
    line.tools()
    from export.convert.to_onnx import to_onnx
    from export.models.artifact import read_golden, read_model, run_model

    inputs, outputs = read_golden(line.folder("torch"))
    if recipe.quantization is None:
        _, module = read_model(line.folder("torch"))
    else:
        from export.quant.rounding import dequantized

        module = dequantized(_quantized_module(line, recipe))
        outputs = run_model(module, inputs)
    return to_onnx(module, inputs, outputs, folder, name=line.request.name, log=line.log)


def _to_tf(line: Line, folder: Path, recipe: Recipe) -> Verification:
    from export.convert.to_onnx import MODEL
    from export.convert.to_tf import to_tf
    from export.models.artifact import read_golden

    inputs, _ = read_golden(line.folder("torch"))
    return to_tf(line.tools(), line.folder("onnx", recipe.name) / MODEL, inputs, folder, name=line.request.name)


def _to_qdq(line: Line, folder: Path, recipe: Recipe) -> Outcome:
    from export.convert.to_onnx import MODEL
    from export.convert.to_qdq import to_qdq
    from export.models.artifact import read_golden

    inputs, _ = read_golden(line.folder("torch"))
    module = _quantized_module(line, recipe)
    found, held = to_qdq(module, line.folder("onnx", recipe.name) / MODEL, inputs, folder, name=line.request.name)
    (folder / HELD).write_text(json.dumps(held.to_json(), indent=1) + "\n")
    return Outcome(found, held.compute_dtype)


def _to_tflite(line: Line, folder: Path, recipe: Recipe) -> Outcome:
    from export.convert.to_tf import SAVED_MODEL
    from export.convert.to_tflite import to_tflite
    from export.models.artifact import read_golden

    inputs, _ = read_golden(line.folder("torch"))
    module, parent = _quantized_module(line, recipe), line.folder("tf", recipe.name) / SAVED_MODEL
    found, held = to_tflite(line.tools(), module, parent, inputs, folder, name=line.request.name)
    (folder / HELD).write_text(json.dumps(held.to_json(), indent=1) + "\n")
    return Outcome(found, held.compute_dtype)


def _quantized_module(line: Line, recipe: Recipe) -> "nn.Module":
    from export.quant.integer_file import FILE, load_quantized

    return load_quantized(line.folder("safetensors", recipe.name) / FILE).module


def _to_tfjs(line: Line, folder: Path, recipe: Recipe) -> Verification:
    from export.convert.to_tf import SAVED_MODEL
    from export.convert.to_tfjs import to_tfjs
    from export.models.artifact import read_golden

    inputs, _ = read_golden(line.folder("torch"))
    saved_model = line.folder("tf", origin_of(recipe).name) / SAVED_MODEL
    file = None if recipe.quantization is None else line.folder("safetensors", recipe.name) / "model.safetensors"
    verification, _ = to_tfjs(
        line.tools(), saved_model, inputs, folder, recipe=recipe.name, name=line.request.name, integers=file
    )
    return verification


def _to_vit(line: Line, folder: Path, recipe: Recipe) -> Verification:
    from export.convert.to_engine import FILE, convert_engine
    from export.models.artifact import read_golden

    inputs, _ = read_golden(line.folder("torch"))
    parent = line.folder("safetensors", recipe.name)
    return convert_engine(parent, inputs, folder / FILE, name=line.request.name, log=line.log)


# Format → its parent's, and what makes it.
STAGES: dict[str, tuple[str, Callable[[Line, Path, Recipe], Verification | Outcome]]] = {
    "onnx": ("safetensors", _to_onnx),
    "tf": ("onnx", _to_tf),
    "tfjs": ("tf", _to_tfjs),
    "qdq": ("onnx", _to_qdq),
    "tflite": ("tf", _to_tflite),
    "vit": ("safetensors", _to_vit),
}
