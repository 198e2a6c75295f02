"""Facts as data: the JavaScript runtimes a page can run a variant with, and what they run on."""

from dataclasses import dataclass

from export.errors import RequestError


@dataclass(frozen=True, slots=True)
class Engine:
    """A JavaScript runtime: which file formats it loads, and on which back ends, the preferred first."""

    name: str
    title: str
    source: str
    formats: tuple[str, ...]
    backends: tuple[str, ...]


ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        Engine(
            "tfjs",
            "TensorFlow.js",
            "https://github.com/tensorflow/tfjs",
            ("tfjs", "tfjs_stock"),
            ("wasm", "webgl", "webgpu", "cpu"),
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
    "onnx_tfjs": "ONNX, shaped for TensorFlow.js",
    "tf_tfjs": "TensorFlow SavedModel, shaped for TensorFlow.js",
    "tfjs_stock": "TensorFlow.js graph model, unshaped",
    "onnx_tflite": "ONNX, shaped for LiteRT",
    "tf_tflite": "TensorFlow SavedModel, shaped for LiteRT",
    "tflite_stock": "LiteRT, unshaped",
}


def engine_for(format: str) -> Engine | None:
    """Return the engine that loads a format in the browser, or None for an intermediate one."""
    return next((engine for engine in ENGINES.values() if format in engine.formats), None)


def find_engines(names: str) -> tuple[str, ...]:
    """Read `tfjs`; raises `RequestError` naming what exists."""
    chosen = tuple(dict.fromkeys(name.strip() for name in names.split(",") if name.strip()))
    unknown = [name for name in chosen if name not in ENGINES]
    if unknown or not chosen:
        raise RequestError(
            f"--engine {names!r}: " + (f"unknown engine {', '.join(unknown)}" if unknown else "names no engine"),
            hint=f"known engines: {', '.join(ENGINES)}",
        )
    return chosen
