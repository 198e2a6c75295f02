"""Facts as data: the JavaScript runtimes a page can run a variant with, and what they run on."""

from dataclasses import dataclass
from typing import Literal

from export.core.errors import RequestError
from export.quantization.recipes import Recipe


@dataclass(frozen=True, slots=True)
class Engine:
    """A JavaScript runtime: which file formats it loads, and on which back ends, the preferred first.

    `takes` says of which recipes: any, those that quantize weights, or only those that quantize activations too.
    """

    name: str
    title: str
    source: str
    formats: tuple[str, ...]
    backends: tuple[str, ...]
    takes: Literal["any", "quantized", "integers"] = "any"

    def runs(self, recipe: Recipe) -> bool:
        """Whether there are files of a recipe for this engine."""
        how = recipe.quantization
        integers = how is not None and how.activation_bits is not None
        return self.takes == "any" or (how is not None and (integers or self.takes == "quantized"))


ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine("vit", "ViT Pages' own engine", "", ("vit",), ("wasm",), takes="integers"),
        Engine(
            "tfjs",
            "TensorFlow.js",
            "https://github.com/tensorflow/tfjs",
            ("tfjs", "tfjs_stock"),
            ("wasm", "webgl", "webgpu", "cpu"),
        ),
        Engine(
            "litert",
            "LiteRT.js",
            "https://github.com/google-ai-edge/LiteRT",
            ("tflite", "tflite_stock"),
            ("wasm", "webgpu"),
            takes="quantized",
        ),
        Engine(
            "ort",
            "ONNX Runtime Web",
            "https://github.com/microsoft/onnxruntime",
            ("qdq",),
            ("wasm", "webgpu"),
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

# How formats are called on the page, the intermediate ones included.
FORMATS: dict[str, str] = {
    "torch": "PyTorch",
    "safetensors": "integer safetensors",
    "qdq": "ONNX with integers",
    "tflite": "LiteRT",
    "onnx": "ONNX",
    "tf": "TensorFlow SavedModel",
    "tfjs": "TensorFlow.js graph model",
    "vit": "integers of the vit engine",
    "onnx_tfjs": "ONNX, shaped for TensorFlow.js",
    "tf_tfjs": "TensorFlow SavedModel, shaped for TensorFlow.js",
    "onnx_tfjs_gpu": "ONNX, shaped for TensorFlow.js on GPUs",
    "tf_tfjs_gpu": "TensorFlow SavedModel, shaped for TensorFlow.js on GPUs",
    "tfjs_stock": "TensorFlow.js graph model, unshaped",
    "onnx_tflite": "ONNX, shaped for LiteRT",
    "tf_tflite": "TensorFlow SavedModel, shaped for LiteRT",
    "tflite_stock": "LiteRT, unshaped",
}


def engine_for(format: str) -> Engine | None:
    """Return the engine that loads a format in the browser, or None for an intermediate one."""
    return next((engine for engine in ENGINES.values() if format in engine.formats), None)


AUTO = "auto"  # the fastest engine that runs a recipe


def engines_of(recipe: Recipe, chosen: tuple[str, ...]) -> tuple[Engine, ...]:
    """Return the engines that a recipe is built for; raises `RequestError` when it is none of those chosen."""
    able = tuple(engine for engine in ENGINES.values() if engine.runs(recipe))
    if chosen == (AUTO,):
        return able[:1]
    found = tuple(engine for engine in able if engine.name in chosen)
    if not found:
        raise RequestError(
            f"--engine {','.join(chosen)}: nothing of it runs the recipe {recipe.name}",
            hint=f"what does: {', '.join(engine.name for engine in able)}",
        )
    return found


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
