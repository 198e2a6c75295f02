"""One module per edge: torch → ONNX → TensorFlow → TF.js, each verified against its parent.

Importing this package imports nothing heavy: the tools themselves are loaded by the edges, most of them
in the converter process (`toolrun`).
"""

from importlib.metadata import version

# The tools whose version decides an edge's bytes, as distributions are named.
TOOLS: dict[str, tuple[str, ...]] = {
    "safetensors": ("torch", "timm", "numpy"),
    "onnx": ("torch", "timm", "onnx"),
    "qdq": ("torch", "onnx", "onnxruntime"),
    "tflite": ("tensorflow", "ai-edge-quantizer", "ai-edge-litert"),
    "tf": ("onnx", "onnxsim", "onnx2tf", "tensorflow"),
    "tfjs": ("tensorflow", "tensorflowjs"),
    "vit": ("torch", "timm", "ziglang"),
}

SHAPE_RECORD = "shape.json"  # beside ONNX: the shape that was wanted, and why the model does not have it, or null


def kind(format: str) -> str:
    """Return what a format is a kind of: `onnx_tfjs` is the ONNX made for TF.js, `tfjs_stock` TF.js of plain ONNX."""
    return format.partition("_")[0]


def tool_versions(format: str) -> dict[str, str]:
    """Return the installed versions of an edge's tools, read without importing them."""
    return {name: version(name) for name in TOOLS[kind(format)]}
