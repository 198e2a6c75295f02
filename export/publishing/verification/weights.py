"""Whether a variant's weights decode to what the manifest says: every format's own reader, and what must hold of it."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.core.errors import ArtifactError, ExportError
from export.core.files import hash_bytes
from export.core.records import ModelSpec
from export.page.content.manifest import SiteModel, SiteVariant

SHARED = ("outputs", "weights_sha256", "preprocess", "labels", "features", "probabilities")


def decode(folder: Path, model: SiteModel, variant: SiteVariant) -> str:
    """Decode a variant's files and return what is in them; raises `ExportError` where they do not say what they should.

    An unknown format, or one whose reader is not installed, is no error: the text says so and begins with "not".
    """
    known = next((read for prefix, read in DECODERS.items() if variant.format.startswith(prefix)), None)
    if known is None:
        return f"not decoded: {variant.format} is not known to this version"
    try:
        return known(folder, model, variant)
    except ExportError:
        raise
    except Exception as error:  # readers of files raise whatever a wrong byte leads them to
        raise ArtifactError(f"it cannot be decoded: {type(error).__name__}: {error}") from error


def _decode_vit(folder: Path, model: SiteModel, variant: SiteVariant) -> str:
    from safetensors import safe_open

    from export.conversion.engine.export import FILE
    from export.conversion.engine.reference import read_engine_file

    path = folder / FILE
    with safe_open(path, "numpy") as opened:
        metadata = opened.metadata() or {}
    raw = path.read_bytes()
    if metadata.get("sha256") != hash_bytes(raw[8 + int.from_bytes(raw[:8], "little") :]):
        raise ArtifactError("its bytes are not those that its own metadata state")
    _same_model(json.loads(metadata["model"]), model)
    if json.loads(metadata["recipe"])["name"] != variant.recipe:
        raise ArtifactError(f"it is of the recipe {json.loads(metadata['recipe'])['name']}")
    sizes, tensors = read_engine_file(path)
    for name, shape in _engine_shapes(sizes, tensors).items():
        if name not in tensors or tensors[name].shape != shape:
            found = tensors[name].shape if name in tensors else "missing"
            raise ArtifactError(f"{name} is {found}, not {shape}")
    _finite(tensors)
    for name, values in tensors.items():
        if name.endswith(".scale") and (values == 0).all():
            raise ArtifactError(f"{name} is zero throughout")
    outputs = sizes["classes"] or sizes["dim"]
    if outputs != model.outputs:
        raise ArtifactError(f"it has {outputs} outputs, not {model.outputs}")
    return f"{len(tensors)} tensors, {sum(value.size for value in tensors.values()):,} values"


def _same_model(said: dict[str, Any], model: SiteModel) -> None:
    spec = ModelSpec.from_json(said)
    for name in SHARED:
        if getattr(spec, name) != getattr(model, name):
            raise ArtifactError(f"its {name} is not the manifest's")


def _engine_shapes(sizes: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    """Return the shape that each weight, scale and bias has to have."""
    dim, inner, hidden = sizes["dim"], sizes["heads"] * sizes["head_dim"], sizes["hidden"]
    pixels = 3 * sizes["patch_height"] * sizes["patch_width"]
    layers = {"patch_embed.proj": (dim, pixels)}
    for block in range(sizes["depth"]):
        name = f"blocks.{block}"
        layers |= {
            f"{name}.attn.qkv": (3 * inner, dim),
            f"{name}.attn.proj": (dim, inner),
            f"{name}.mlp.fc1": (hidden, dim),
            f"{name}.mlp.fc2": (dim, hidden),
        }
    if sizes["classes"]:
        layers |= dict.fromkeys(("head", "head_dist")[: sizes["classifiers"]], (sizes["classes"], dim))
    shapes: dict[str, tuple[int, ...]] = {}
    for name, (rows, columns) in layers.items():
        shapes |= {f"{name}.weight": (rows, columns), f"{name}.scale": (rows,), f"{name}.bias": (rows,)}
    patches = (sizes["height"] // sizes["patch_height"]) * (sizes["width"] // sizes["patch_width"])
    return shapes | {"positions": (patches, dim)}


def _decode_tfjs(folder: Path, model: SiteModel, variant: SiteVariant) -> str:
    from export.conversion.tfjs.files import read_tensors

    found = []
    for file in variant.files:
        if not file.path.endswith(".json"):
            continue
        tensors = read_tensors(folder, file.path)
        _finite({name: tensor.values for name, tensor in tensors.items()})
        found.append(
            f"{file.path}: {len(tensors)} tensors, {sum(one.values.size for one in tensors.values()):,} values"
        )
    if not found:
        raise ArtifactError("it has no graph model")
    return "; ".join(found)


def _decode_onnx(folder: Path, model: SiteModel, variant: SiteVariant) -> str:
    if importlib.util.find_spec("onnx") is None:
        return "not decoded: onnx is not installed"
    import onnx
    from onnx import numpy_helper

    from export.conversion.onnx.export import MODEL

    graph = onnx.load(str(folder / MODEL)).graph
    tensors = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    _finite(tensors)
    outputs = [one.dim_value for one in graph.output[0].type.tensor_type.shape.dim]
    if outputs[-1:] != [model.outputs]:
        raise ArtifactError(f"its output is {outputs}, not of {model.outputs} values")
    return f"{len(tensors)} tensors, {sum(value.size for value in tensors.values()):,} values"


def _decode_tflite(folder: Path, model: SiteModel, variant: SiteVariant) -> str:
    from export.conversion.litert.export import MODEL

    if (folder / MODEL).read_bytes()[4:8] != b"TFL3":
        raise ArtifactError("it is not a LiteRT file")
    if importlib.util.find_spec("ai_edge_litert") is None:
        return "not decoded: ai-edge-litert is not installed"
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(folder / MODEL))
    interpreter.allocate_tensors()
    outputs = list(interpreter.get_output_details()[0]["shape"])
    if outputs[-1] != model.outputs:
        raise ArtifactError(f"its output is {outputs}, not of {model.outputs} values")
    return f"{len(interpreter.get_tensor_details())} tensors"


def _finite(tensors: dict[str, NDArray[Any]]) -> None:
    """Raise `ArtifactError` for a value that is no number."""
    for name, values in tensors.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ArtifactError(f"{name} has values that are not finite")


DECODERS: dict[str, Callable[[Path, SiteModel, SiteVariant], str]] = {
    "vit": _decode_vit,
    "tfjs": _decode_tfjs,
    "tflite": _decode_tflite,
    "qdq": _decode_onnx,
}
