"""The stages of one model, each stored, verified and made only when needed.

torch → ONNX → TensorFlow → TF.js; a recipe that quantizes puts integers between torch and ONNX. TF.js and LiteRT each
have a line of their own (`onnx_tfjs`, `tf_tfjs`, `tfjs`) that begins with the model in the shape their kernels like;
the stock line (`onnx`, `tf`, `tfjs_stock`) is for the other formats and for comparison.
"""

import json
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from export.console import say, stage
from export.convert import kind, tool_versions
from export.errors import RequestError
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
    "shape": ("models/anatomy.py", "models/folds.py", "models/shaped*.py", "convert/to_shaped.py"),
    "qdq": ("convert/to_qdq.py", "convert/qdq_nodes.py", "convert/held.py", "convert/verify.py"),
    "tflite": (
        "convert/to_tflite.py", "convert/tflite_graph.py", "convert/tflite_integers.py", "convert/held.py",
        "convert/toolrun.py", "convert/verify.py",
    ),
    "tf": ("convert/to_tf.py", "convert/toolrun.py", "convert/verify.py"),
    "tfjs": (
        "convert/to_tfjs.py", "convert/graph.py", "convert/tfjs_files.py", "convert/packed_tfjs.py",
        "convert/verify.py", "quant/packing.py", "quant/integer_file.py",
    ),
}  # fmt: skip

FLOAT = find_recipe("f32")
HELD = "held.json"  # what a file of another format holds of a recipe
INTEGER_FORMATS = ("safetensors",)  # whose runtimes multiply integers where the recipe says so


class Line:
    """The production line of one model: every stage starts from its parent's artifact, never from memory."""

    def __init__(self, request: ModelRequest, store: Store, *, force: bool, stack: ExitStack) -> None:
        self.request, self.store, self.force, self.stack = request, store, force, stack
        self.notices: list[str] = []  # what a stage decided and should be seen
        self.log = (store.root / request.name / "convert.log").absolute()
        self._tools: ConverterProcess | None = None

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
        while self.notices:
            say(f"    {self.notices.pop(0)}")
        return artifact


def convert(
    request: ModelRequest,
    recipes: tuple[Recipe, ...],
    store: Store,
    *,
    force: bool,
    data: Path | None = None,
    formats: tuple[str, ...] = ("tfjs",),
) -> list[Artifact]:
    """Return a model's artifacts of each recipe in each of `formats`, making and verifying what is missing.

    `formats` are of `tfjs`, `tflite` and, for comparison, `tfjs_stock` and `tflite_stock`; `data` are images to
    calibrate on. Raises `RequestError` where a format does not hold what a recipe stores.
    """
    with ExitStack() as stack:
        line = Line(request, store, force=force, stack=stack)
        torch = load_float(line)
        return [
            _to_browser(line, format, _numbers(line, torch, recipe, data), recipe)
            for recipe in recipes
            for format in formats
        ]


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

    `formats` are of `safetensors` (packed integers), `qdq` (ONNX) and those of `convert`.
    """
    with ExitStack() as stack:
        line = Line(request, store, force=force, stack=stack)
        made = {"safetensors": quantized(line, load_float(line), recipe, data)}
        if "qdq" in formats:
            onnx = _onnx(line, "onnx", made["safetensors"], recipe)
            made["qdq"] = line.obtain("qdq", onnx, lambda folder: _to_qdq(line, folder, recipe), recipe=recipe)
        for format in (format for format in formats if format not in made):
            made[format] = _to_browser(line, format, made["safetensors"], recipe)
        return {format: made[format] for format in formats}


def float_artifact(request: ModelRequest, store: Store) -> Path:
    """Return the folder of the float model, loaded if it is not there yet."""
    with ExitStack() as stack:
        line = Line(request, store, force=False, stack=stack)
        load_float(line)
        return line.folder("torch")


def load_float(line: Line) -> Artifact:
    """Return the float model's artifact and say what was decided for it."""
    torch = line.obtain("torch", None, lambda folder: _load(line, folder), options=describe(line.request))
    if line.request.kind == "random":
        say("    random weights: predictions mean nothing, sizes and latency do")
    return torch


def quantized(line: Line, torch: Artifact, recipe: Recipe, data: Path | None) -> Artifact:
    """Return the integer artifact of a recipe; its images are a part of its key."""
    how = recipe.quantization
    assert how is not None
    images = _calibration_images(line, how, data)
    kept = line.store.root / line.request.name / f".{recipe.name}.calibration"

    def make(folder: Path) -> Verification:
        from export.quant.quantized import quantize

        return quantize(line.folder("torch"), recipe, images, folder, kept)

    return line.obtain("safetensors", torch, make, recipe=recipe, options=hash_bytes(images.images.tobytes()))


def _calibration_images(line: Line, how: Quantization, data: Path | None) -> "CalibrationImages":
    from export.data.calibration import calibration_images

    spec = ModelSpec.from_json(json.loads((line.folder("torch") / "spec.json").read_text()))
    return calibration_images(spec, data, how.calibration.images, how.calibration.seed)


def _numbers(line: Line, torch: Artifact, recipe: Recipe, data: Path | None) -> Artifact:
    """Return what a recipe's conversions start from: its integers, or the float model."""
    return torch if recipe.quantization is None else quantized(line, torch, recipe, data)


def _to_browser(line: Line, format: str, parent: Artifact, recipe: Recipe) -> Artifact:
    """Return a recipe's artifact in a format; recipes that only store share one float line."""
    numbers = FLOAT if recipe.quantization is None else recipe
    if kind(format) == "tflite" and recipe.quantization is None and recipe != FLOAT:
        raise RequestError(f"there is no {format} of {recipe.name}", hint=f"choose {FLOAT.name} or one that quantizes")
    own = "" if format.endswith("_stock") else f"_{format}"
    onnx = _onnx(line, f"onnx{own}", parent, numbers)
    tf = line.obtain(f"tf{own}", onnx, lambda folder: _to_tf(line, folder, numbers, own), recipe=numbers)
    maker = _to_tfjs if kind(format) == "tfjs" else _to_tflite
    return line.obtain(format, tf, lambda folder: maker(line, folder, recipe, own), recipe=recipe)


def _onnx(line: Line, stage: str, parent: Artifact, numbers: Recipe) -> Artifact:
    return line.obtain(stage, parent, lambda folder: _to_onnx(line, folder, numbers, stage), recipe=numbers)


def _code(format: str) -> list[list[str]]:
    patterns = SOURCES[kind(format)] + (SOURCES["shape"] if format.startswith("onnx_") else ())
    files = sorted({file for pattern in patterns for file in SOURCE.glob(pattern)})
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


def _module(line: Line, numbers: Recipe) -> "nn.Module":
    """Return the float model, or a quantized one, whose layers are the recipe's."""
    if numbers.quantization is None:
        from export.models.artifact import read_model

        return read_model(line.folder("torch"))[1]
    from export.quant.integer_file import FILE, load_quantized

    return load_quantized(line.folder("safetensors", numbers.name) / FILE).module


def _to_onnx(line: Line, folder: Path, numbers: Recipe, stage: str) -> Verification:
    line.tools()
    from export.convert.to_onnx import to_onnx
    from export.convert.to_shaped import to_shaped_onnx
    from export.models.artifact import read_golden, run_model
    from export.quant.rounding import dequantized

    module = dequantized(_module(line, numbers))
    inputs, outputs = read_golden(line.folder("torch"))
    if numbers.quantization is not None:
        outputs = run_model(module, inputs)
    runtime = stage.partition("_")[2]
    if not runtime:
        return to_onnx(module, inputs, outputs, folder, name=line.request.name, log=line.log)
    target = runtime if numbers.quantization is None else f"{runtime}_packed"
    found, reason = to_shaped_onnx(module, inputs, outputs, folder, target=target, name=line.request.name, log=line.log)
    if reason:
        line.notices.append(f"note: {reason}; it is converted as it is")
    return found


def _to_tf(line: Line, folder: Path, numbers: Recipe, own: str) -> Verification:
    from export.convert.to_onnx import MODEL
    from export.convert.to_tf import to_tf
    from export.models.artifact import read_golden

    inputs, _ = read_golden(line.folder("torch"))
    source = line.folder(f"onnx{own}", numbers.name) / MODEL
    return to_tf(line.tools(), source, inputs, folder, name=line.request.name)


def _to_qdq(line: Line, folder: Path, recipe: Recipe) -> Outcome:
    from export.convert.to_onnx import MODEL
    from export.convert.to_qdq import to_qdq
    from export.models.artifact import read_golden

    inputs, _ = read_golden(line.folder("torch"))
    module = _module(line, recipe)
    found, held = to_qdq(module, line.folder("onnx", recipe.name) / MODEL, inputs, folder, name=line.request.name)
    (folder / HELD).write_text(json.dumps(held.to_json(), indent=1) + "\n")
    return Outcome(found, held.compute_dtype)


def _to_tflite(line: Line, folder: Path, recipe: Recipe, own: str) -> Outcome:
    from export.convert.to_tf import SAVED_MODEL
    from export.convert.to_tflite import to_tflite
    from export.models.artifact import read_golden

    inputs, _ = read_golden(line.folder("torch"))
    module, parent = _module(line, recipe), line.folder(f"tf{own}", recipe.name) / SAVED_MODEL
    found, held = to_tflite(line.tools(), module, parent, inputs, folder, name=line.request.name)
    (folder / HELD).write_text(json.dumps(held.to_json(), indent=1) + "\n")
    return Outcome(found, held.compute_dtype)


def _to_tfjs(line: Line, folder: Path, recipe: Recipe, own: str) -> Outcome:
    from export.convert.to_tf import SAVED_MODEL
    from export.convert.to_tfjs import to_tfjs
    from export.models.artifact import read_golden

    inputs, _ = read_golden(line.folder("torch"))
    origin = FLOAT if recipe.quantization is None else recipe
    saved_model = line.folder(f"tf{own}", origin.name) / SAVED_MODEL
    file = None if recipe.quantization is None else line.folder("safetensors", recipe.name) / "model.safetensors"
    verification, _ = to_tfjs(
        line.tools(), saved_model, inputs, folder, recipe=recipe.name, name=line.request.name, integers=file
    )
    return Outcome(verification, "float32")
