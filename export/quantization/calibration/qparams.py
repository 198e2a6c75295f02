"""Quantization parameters (qparams) of a model, layer by layer: in memory, and on disk while it is calibrated."""

import hashlib
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from export.core.files import write_atomically
from export.quantization.layers.modules import Weight
from export.quantization.layers.quantizers import Quantizer, quantizer_from_json

SCHEMA_VERSION = 2


@dataclass(frozen=True)
class LayerQParams:
    """A layer's integer `weight`, the quantizer of its `input` (None: float) and its `bias`, maybe corrected."""

    weight: Weight
    input: Quantizer | None
    bias: Tensor | None


QParams = LayerQParams | tuple[Quantizer, Quantizer]


@dataclass
class ModelQParams:
    """Quantization parameters by layer name: of `layers` with weights, and of the operands of `products`."""

    layers: dict[str, LayerQParams] = field(default_factory=dict)
    products: dict[str, tuple[Quantizer, Quantizer]] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Tell whether a layer's parameters are chosen."""
        return name in self.layers or name in self.products

    def put(self, name: str, chosen: QParams) -> None:
        """Add a layer's parameters, or those of a product's operands."""
        if isinstance(chosen, LayerQParams):
            self.layers[name] = chosen
        else:
            self.products[name] = chosen


@dataclass(frozen=True)
class CalibrationCheckpoint:
    """The file `path` from which an interrupted calibration is resumed; `key` is the hash of all that decides it."""

    path: Path
    key: str

    def read(self, device: torch.device) -> ModelQParams:
        """Return the parameters, on a device, that an earlier run with the same key had chosen, or none."""
        qparams = ModelQParams()
        if not self.path.exists():
            return qparams
        stored = torch.load(io.BytesIO(self.path.read_bytes()), weights_only=True, map_location=device)
        if (stored.get("schema_version"), stored["key"]) != (SCHEMA_VERSION, self.key):
            return qparams
        for name, values in stored["layers"].items():
            weight = Weight(values["bits"], values["quantized"], values["scale"], values["zero_point"])
            input = quantizer_from_json(values["input"])
            qparams.layers[name] = LayerQParams(weight, input and input.to(device), values["bias"])
        for name, pair in stored["products"].items():
            left, right = (quantizer_from_json(values) for values in pair)
            assert left is not None and right is not None
            qparams.products[name] = (left.to(device), right.to(device))
        return qparams

    def write(self, qparams: ModelQParams) -> None:
        """Write the parameters chosen so far, whole or not at all."""
        stored = {
            "schema_version": SCHEMA_VERSION,
            "key": self.key,
            "layers": {name: _plain(layer) for name, layer in qparams.layers.items()},
            "products": {name: [left.to_json(), right.to_json()] for name, (left, right) in qparams.products.items()},
        }
        stream = io.BytesIO()
        torch.save(stored, stream)
        write_atomically(self.path, stream.getvalue())

    def remove(self) -> None:
        """Delete the file: the calibration is done."""
        self.path.unlink(missing_ok=True)


def _plain(qparams: LayerQParams) -> dict[str, Any]:
    weight = qparams.weight
    return {
        "bits": weight.bits,
        "quantized": weight.quantized.to(torch.int16),
        "scale": weight.scale,
        "zero_point": weight.zero_point,
        "bias": qparams.bias,
        "input": None if qparams.input is None else qparams.input.to_json(),
    }


def key_of(*parts: str, images: Tensor) -> str:
    """Return the SHA-256 of the calibration images `[n, 3, H, W]` and of the texts that decide the result with them."""
    digest = hashlib.sha256(images.detach().cpu().numpy().tobytes())
    for part in parts:
        digest.update(part.encode())
    return digest.hexdigest()
