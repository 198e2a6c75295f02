"""Facts as data: the extras of the package, and the modules of other projects that each of them brings.

`pyproject.toml` has the versions. What is listed is what our own code imports, and what onnx2tf imports without asking
for it.
"""

from importlib.util import find_spec

from export.core.errors import RequestError

MODULES: dict[str, tuple[str, ...]] = {
    "quantize": ("torch", "timm", "numpy", "safetensors", "PIL", "tqdm", "huggingface_hub", "yaml", "wasmtime"),
    "onnx": ("onnx", "onnxruntime"),
    "tensorflow": ("onnxsim", "onnx2tf", "tensorflow", "tf_keras", "onnx_graphsurgeon", "sng4onnx", "psutil"),
    "tfjs": ("tensorflowjs",),
    "litert": ("ai_edge_litert", "ai_edge_quantizer"),
    "measure": ("playwright", "websockets", "brotli"),
    "train": ("torchvision", "torchao"),
    "compare": ("matplotlib",),
    "analyze": ("scipy",),
    "ray": ("ray",),
    "compile": ("ziglang",),
}
SAID = {"tensorflow": "tfjs"}  # what hints name, for an extra that only others need
EXTRA_OF = {module: SAID.get(extra, extra) for extra, modules in MODULES.items() for module in modules}
DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml"}  # where the name differs


def install(*extras: str) -> str:
    """Return the command that installs extras, as hints have it."""
    return f"pip install 'vit-pages[{','.join(dict.fromkeys(extras))}]'"


def missing(*modules: str) -> tuple[str, ...]:
    """Return those modules that are not installed, by the names of what brings them."""
    return tuple(DISTRIBUTIONS.get(module, module) for module in modules if find_spec(module) is None)


def require(extra: str, *modules: str) -> None:
    """Raise `RequestError` with all the modules that are not installed, and the extra that brings them."""
    if lacking := missing(*modules):
        raise RequestError(f"not installed: {', '.join(lacking)}", hint=install(extra))


def explain(error: ModuleNotFoundError) -> tuple[str, str] | None:
    """Return what to say of a module that is not there, and the way on; None for one that no extra brings."""
    module = (error.name or "").partition(".")[0]
    if module not in EXTRA_OF:
        return None
    return f"the package {DISTRIBUTIONS.get(module, module)} is not installed", install(EXTRA_OF[module])
