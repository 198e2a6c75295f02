"""What makes each format out of its parent's artifact; every one is verified against that.

torch → ONNX → TensorFlow → TF.js or LiteRT, the float model or what is left of it in a recipe's integers; ONNX with
integers, and the vit engine's file. TF.js and LiteRT have lines of their own, in a shape that they run fast.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from export.conversion import SHAPE_RECORD
from export.core.errors import RequestError
from export.core.records import Verification
from export.pipeline.session import FLOAT, Line, origin_of
from export.pipeline.store import Outcome
from export.quantization.recipes import Recipe

if TYPE_CHECKING:
    from torch import nn

HELD = "held.json"  # what a file of another format holds of a recipe


def load_model(line: Line, folder: Path) -> None:
    """Load the float model and write it with its golden inputs and outputs."""
    line.tools()  # TensorFlow takes seconds to import: that happens beside the work here
    from export.data.synthetic import golden_inputs
    from export.models.float_artifact import write_model
    from export.models.load import load

    spec, module = load(line.request, line.notices.append)
    write_model(spec, module, golden_inputs(spec), folder)


def _module(line: Line, recipe: Recipe) -> "nn.Module":
    """Return the float model, or a quantized one, whose layers are the recipe's."""
    if recipe.quantization is None:
        from export.models.float_artifact import read_model

        return read_model(line.folder("torch"))[1]
    from export.quantization.integer_file import FILE, load_quantized

    return load_quantized(line.folder("safetensors", recipe.name) / FILE).module


def _to_onnx(line: Line, folder: Path, recipe: Recipe, format: str) -> Verification:
    line.tools()
    from export.conversion.onnx.export import to_onnx
    from export.conversion.reshape.export import to_shaped_onnx
    from export.models.float_artifact import read_golden, run_model
    from export.quantization.calibration.assemble import dequantized

    module = dequantized(_module(line, recipe))
    inputs, outputs = read_golden(line.folder("torch"))
    if recipe.quantization is not None:
        outputs = run_model(module, inputs)
    runtime = format.partition("_")[2]
    if not runtime:
        return to_onnx(module, inputs, outputs, folder, name=line.request.name, log=line.log)
    target = runtime if recipe.quantization is None else f"{runtime}_packed"
    found, reason = to_shaped_onnx(module, inputs, outputs, folder, target=target, name=line.request.name, log=line.log)
    if reason:
        line.notices.append(f"note: {reason}; it is converted as it is")
    return found


def _to_tf(line: Line, folder: Path, recipe: Recipe, format: str) -> Verification:
    from export.conversion.onnx.export import MODEL
    from export.conversion.tensorflow import to_tf
    from export.models.float_artifact import read_golden

    inputs, _ = read_golden(line.folder("torch"))
    source = line.folder(STAGES[format][0], recipe.name) / MODEL
    return to_tf(line.tools(), source, inputs, folder, name=line.request.name)


def _to_qdq(line: Line, folder: Path, recipe: Recipe, format: str) -> Outcome:
    from export.conversion.onnx.export import MODEL
    from export.conversion.onnx.quantized import to_qdq
    from export.models.float_artifact import read_golden

    inputs, _ = read_golden(line.folder("torch"))
    module = _module(line, recipe)
    found, held = to_qdq(
        module, line.folder(STAGES[format][0], recipe.name) / MODEL, inputs, folder, name=line.request.name
    )
    (folder / HELD).write_text(json.dumps(held.to_json(), indent=1) + "\n")
    return Outcome(found, held.compute_dtype)


def _to_tflite(line: Line, folder: Path, recipe: Recipe, format: str) -> Outcome:
    from export.conversion.litert.export import to_tflite
    from export.conversion.tensorflow import SAVED_MODEL
    from export.models.float_artifact import read_golden

    if recipe.quantization is None and recipe != FLOAT:
        raise RequestError(f"there is no {format} of {recipe.name}", hint=f"choose {FLOAT.name} or one that quantizes")
    inputs, _ = read_golden(line.folder("torch"))
    module, parent = _module(line, recipe), line.folder(STAGES[format][0], recipe.name) / SAVED_MODEL
    found, held = to_tflite(line.tools(), module, parent, inputs, folder, name=line.request.name)
    (folder / HELD).write_text(json.dumps(held.to_json(), indent=1) + "\n")
    return Outcome(found, held.compute_dtype)


def _to_tfjs(line: Line, folder: Path, recipe: Recipe, format: str) -> Outcome:
    from export.conversion.tensorflow import SAVED_MODEL
    from export.conversion.tfjs.export import to_tfjs
    from export.models.float_artifact import read_golden

    inputs, _ = read_golden(line.folder("torch"))
    saved_model = line.folder(STAGES[format][0], origin_of(recipe).name) / SAVED_MODEL
    file = None if recipe.quantization is None else line.folder("safetensors", recipe.name) / "model.safetensors"
    other = beside(line, format, recipe)
    verification, _ = to_tfjs(
        line.tools(),
        saved_model,
        inputs,
        folder,
        recipe=recipe.name,
        name=line.request.name,
        integers=file,
        for_gpu=line.folder(other, origin_of(recipe).name) / SAVED_MODEL if other else None,
    )
    return Outcome(verification, "float32")


def _to_vit(line: Line, folder: Path, recipe: Recipe, format: str) -> Verification:
    from export.conversion.engine.export import FILE, convert_engine
    from export.models.float_artifact import read_golden

    inputs, _ = read_golden(line.folder("torch"))
    parent = line.folder(STAGES[format][0], recipe.name)
    return convert_engine(parent, inputs, folder / FILE, name=line.request.name, log=line.log)


# Format → its parent's, and what makes it. `safetensors` is the float model for recipes that only store.
STAGES: dict[str, tuple[str, Callable[[Line, Path, Recipe, str], Verification | Outcome]]] = {
    "onnx": ("safetensors", _to_onnx),
    "onnx_tfjs": ("safetensors", _to_onnx),
    "onnx_tfjs_gpu": ("safetensors", _to_onnx),
    "onnx_tflite": ("safetensors", _to_onnx),
    "tf": ("onnx", _to_tf),
    "tf_tfjs": ("onnx_tfjs", _to_tf),
    "tf_tfjs_gpu": ("onnx_tfjs_gpu", _to_tf),
    "tf_tflite": ("onnx_tflite", _to_tf),
    "tfjs": ("tf_tfjs", _to_tfjs),
    "tfjs_stock": ("tf", _to_tfjs),
    "tflite": ("tf_tflite", _to_tflite),
    "tflite_stock": ("tf", _to_tflite),
    "qdq": ("onnx", _to_qdq),
    "vit": ("safetensors", _to_vit),
}

# What a format is made of beside its parent.
BESIDE: dict[str, str] = {"tfjs": "tf_tfjs_gpu"}


def beside(line: Line, format: str, recipe: Recipe) -> str | None:
    """Return what a format is made of beside its parent, if anything: a model that keeps its own shape has but one."""
    if format not in BESIDE:
        return None
    onnx = line.folder(STAGES[STAGES[format][0]][0], origin_of(recipe).name)
    return None if json.loads((onnx / SHAPE_RECORD).read_text())["reason"] else BESIDE[format]
