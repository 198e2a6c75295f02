"""Facts as data: the extras of the package, and the modules of other projects that each of them brings.

`pyproject.toml` has the versions. Only what our own code imports is listed.
"""

MODULES: dict[str, tuple[str, ...]] = {
    "quantize": ("torch", "timm", "numpy", "safetensors", "PIL", "tqdm", "huggingface_hub", "yaml", "wasmtime"),
    "onnx": ("onnx", "onnxruntime"),
    "tfjs": ("onnxsim", "onnx2tf", "tensorflow", "tf_keras", "tensorflowjs"),
    "litert": ("ai_edge_litert", "ai_edge_quantizer"),
    "measure": ("playwright", "websockets", "brotli"),
    "train": ("torchvision", "torchao"),
    "compare": ("matplotlib",),
    "analyze": ("scipy",),
    "ray": ("ray",),
    "compile": ("ziglang",),
}
EXTRA_OF = {module: extra for extra, modules in MODULES.items() for module in modules}


def install(*extras: str) -> str:
    """Return the command that installs extras, as hints have it."""
    return f"pip install 'vit-pages[{','.join(dict.fromkeys(extras))}]'"


def explain(missing: ModuleNotFoundError) -> tuple[str, str] | None:
    """Return what to say of a module that is not there, and the way on; None for one that no extra brings."""
    module = (missing.name or "").partition(".")[0]
    if module not in EXTRA_OF:
        return None
    return f"the package {module} is not installed", install(EXTRA_OF[module])
