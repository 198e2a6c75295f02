"""The integer artifact: packed weights, scales and the float rest with model and recipe in one safetensors file.

Per layer `<layer>.weight` (U8, packed rows, one per output channel), `<layer>.scale` (F32) and, where weights are
asymmetric, `<layer>.zero_point` (U8); the float rest in F16, or F32 where F16 would overflow or lose a small value.
The header has as JSON: `model` (ModelSpec), `recipe` (Recipe), `layers` (shapes, bits, activation quantizers),
`compute_dtype`, `sha256` of the tensor bytes.
"""

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_safetensors
from torch import Tensor, nn

from export.core.errors import ArtifactError
from export.core.files import hash_bytes, write_atomically
from export.core.records import ModelSpec
from export.core.schema import checked, parse_json
from export.models.architecture import create
from export.models.weights.undrawn import UndrawnWeights
from export.quantization.layers.discovery import decompose_attention, reset_batch_norm
from export.quantization.layers.modules import Product, QuantConv2d, QuantLinear, Weight
from export.quantization.layers.packing import pack, unpack
from export.quantization.layers.quantizers import Quantizer, quantizer_from_json
from export.quantization.recipes import Recipe

FORMAT, VERSION = "vit-pages-integer", 2  # 2: the recipe's method has `accumulation_depth`
FILE = "model.safetensors"
AGAIN = "quantize again: python -m export.quantize"


@dataclass(frozen=True)
class QuantizedModel:
    """A `module` of quantized layers, the `spec` of its float model, and the `recipe` it was quantized by."""

    spec: ModelSpec
    recipe: Recipe
    module: nn.Module


def write_quantized(model: QuantizedModel, path: Path) -> None:
    """Write the integer artifact `path`, whole or not at all."""
    tensors, layers = _tensors(model.module)
    header = {
        "format": FORMAT,
        "schema_version": str(VERSION),
        "model": _dump(model.spec.to_json()),
        "recipe": _dump(model.recipe.to_json()),
        "layers": _dump(layers),
        "compute_dtype": model.recipe.compute_dtype,
    }
    write_safetensors(path, tensors, header)


def write_safetensors(path: Path, tensors: dict[str, np.ndarray[Any, Any]], metadata: dict[str, str]) -> None:
    """Write a file, whole or not at all, whose metadata also has the `sha256` of its tensor bytes.

    The metadata are sorted: safetensors itself writes them in an order of chance.
    """
    blob = to_safetensors(tensors)
    (length,) = struct.unpack_from("<Q", blob)
    digest = hash_bytes(blob[8 + length :])
    header = {"__metadata__": dict(sorted({**metadata, "sha256": digest}.items())), **json.loads(blob[8 : 8 + length])}
    text = _dump(header).encode()
    text += b" " * (-len(text) % 8)
    write_atomically(path, struct.pack("<Q", len(text)) + text + blob[8 + length :])


def _dump(values: Any) -> str:
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False)


def _tensors(module: nn.Module) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    tensors: dict[str, np.ndarray[Any, Any]] = {}
    layers: dict[str, Any] = {}
    packed: set[str] = set()
    for name, layer in module.named_modules():
        if isinstance(layer, QuantLinear | QuantConv2d):
            weight = layer.weight
            codes = weight.codes().cpu().numpy()
            tensors[f"{name}.weight"] = pack(codes.reshape(len(codes), -1), weight.bits)
            tensors[f"{name}.scale"] = weight.scale.cpu().numpy()
            if weight.zero_point is not None:
                tensors[f"{name}.zero_point"] = weight.zero_point.cpu().numpy().astype(np.uint8)
            layers[name] = {
                "kind": "linear" if isinstance(layer, QuantLinear) else "conv2d",
                "shape": list(weight.quantized.shape),
                "bits": weight.bits,
                "bias": layer.bias is not None,
                "input": None if layer.input is None else layer.input.to_json(),
            }
            packed |= {f"{name}.weight.{part}" for part in ("quantized", "scale", "zero_point")}
        elif isinstance(layer, Product) and layer.left is not None and layer.right is not None:
            layers[name] = {"kind": "product", "left": layer.left.to_json(), "right": layer.right.to_json()}
        elif isinstance(layer, nn.BatchNorm2d) and layer.eps == 0:
            layers[name] = {"kind": "folded"}
            packed |= {f"{name}.{part}" for part in layer.state_dict()}
    quantizers = tuple(name + "." for name, layer in module.named_modules() if isinstance(layer, Quantizer))
    for name, value in module.state_dict().items():
        if name not in packed and not name.startswith(quantizers):
            tensors[name] = value.cpu().numpy() if not value.is_floating_point() else as_stored(value).cpu().numpy()
    return tensors, layers


def as_stored(value: Tensor) -> Tensor:
    """Return a float tensor as it is stored: F16, or F32 where F16 is off by more than 2^-11 of the largest value."""
    half = value.to(torch.float16)
    error = (half.float() - value).abs().max() if value.numel() else torch.tensor(0.0)
    greatest = value.abs().max() if value.numel() else torch.tensor(0.0)
    return half if bool(error <= greatest * 2.0**-11) else value.float()


def load_quantized(path: Path) -> QuantizedModel:
    """Rebuild the quantized module, in evaluation mode on the CPU, from its file alone.

    Raises `ArtifactError` when the file is not one, is damaged, or its tensors do not fit its model.
    """
    header, tensors = read_tensors(path)
    spec, recipe, layers = _read_header(header, path)
    with UndrawnWeights():
        module = create(spec.timm_name, spec.arguments).eval()
    decompose_attention(module)
    for name, record in layers.items():
        _load_layer(module, name, record, tensors)
    state = module.state_dict()
    rest = {name: torch.from_numpy(value) for name, value in tensors.items() if name in state}
    unknown = (
        set(tensors) - set(rest) - {f"{name}.{part}" for name in layers for part in ("weight", "scale", "zero_point")}
    )
    if unknown:
        raise ArtifactError(f"{path} has tensors that are not in its model: {sorted(unknown)[:5]}")
    missing = {name for name in state if name not in rest and not any(name.startswith(f"{layer}.") for layer in layers)}
    if missing:
        raise ArtifactError(f"{path} lacks tensors that are in its model: {sorted(missing)[:5]}")
    module.load_state_dict(rest, strict=False)
    return QuantizedModel(spec, recipe, module.eval())


def _read_header(header: dict[str, str], path: Path) -> tuple[ModelSpec, Recipe, dict[str, dict[str, Any]]]:
    try:
        layers = checked(parse_json(header["layers"]), dict[str, dict[str, Any]])
        return ModelSpec.parse(header["model"]), Recipe.parse(header["recipe"]), layers
    except KeyError as error:
        raise ArtifactError(f"the header of {path} lacks {error}", hint=AGAIN) from error
    except ArtifactError as error:
        raise ArtifactError(f"the header of {path} cannot be read: {error}", hint=AGAIN) from error


def read_tensors(path: Path) -> tuple[dict[str, str], dict[str, np.ndarray[Any, Any]]]:
    """Return header and tensors of an integer artifact; raises `ArtifactError` when it is not one or is damaged."""
    try:
        blob = path.read_bytes()
        with safe_open(path, "numpy") as opened:
            header = opened.metadata() or {}
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError, ValueError) as error:
        message = f"{path} is not a safetensors file, or it is truncated: {error}"
        raise ArtifactError(message, hint="copy it again") from error
    if header.get("format") != FORMAT or header.get("schema_version") != str(VERSION):
        raise ArtifactError(
            f"{path} is not a quantized model of this version (format {header.get('format')!r}, "
            f"schema_version {header.get('schema_version')!r})",
            hint=AGAIN,
        )
    (length,) = struct.unpack_from("<Q", blob)
    if hash_bytes(blob[8 + length :]) != header.get("sha256"):
        raise ArtifactError(f"{path} is damaged: the SHA-256 of its tensors does not match", hint="copy it again")
    return header, tensors


def unpack_weight(record: dict[str, Any], tensors: dict[str, np.ndarray[Any, Any]], name: str) -> Weight:
    """Return the quantized weight of layer `name`, whose entry in the header's `layers` is `record`."""
    shape, bits = record["shape"], int(record["bits"])
    codes = unpack(tensors[f"{name}.weight"], int(np.prod(shape[1:])), bits).astype(np.float32).reshape(shape)
    scale, zero_point = tensors[f"{name}.scale"], tensors.get(f"{name}.zero_point")
    offset = np.float32(2 ** (bits - 1))
    column = (-1, *[1] * (len(shape) - 1))
    quantized = codes - (offset if zero_point is None else zero_point.astype(np.float32).reshape(column))
    points = None if zero_point is None else torch.from_numpy(zero_point.astype(np.float32))
    return Weight(bits, torch.from_numpy(quantized), torch.from_numpy(scale.copy()), points)


def _load_layer(module: nn.Module, name: str, record: dict[str, Any], tensors: dict[str, np.ndarray[Any, Any]]) -> None:
    try:
        layer, kind = module.get_submodule(name), record["kind"]
        if kind == "product":
            left, right = quantizer_from_json(record["left"]), quantizer_from_json(record["right"])
            module.set_submodule(name, Product(left, right))
        elif kind == "folded" and isinstance(layer, nn.BatchNorm2d):
            reset_batch_norm(layer)
        else:
            weight, input = unpack_weight(record, tensors, name), quantizer_from_json(record["input"])
            bias = torch.from_numpy(tensors[f"{name}.bias"]).float() if record["bias"] else None
            if kind == "conv2d" and isinstance(layer, nn.Conv2d):
                module.set_submodule(name, QuantConv2d(layer, weight, bias, input))
            elif kind == "linear" and isinstance(layer, nn.Linear):
                module.set_submodule(name, QuantLinear(weight, bias, input))
            else:
                raise ArtifactError(f"layer {name} is {type(layer).__name__} in the model, {kind} in the file")
    except (AttributeError, KeyError) as error:
        raise ArtifactError(f"layer {name} of the file does not fit its model: {error}") from error
