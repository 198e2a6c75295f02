"""What calibration chose, layer by layer, in memory and on disk."""

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


@dataclass(frozen=True)
class Chosen:
    """A layer's integer weight, the quantizer of its input (None: float) and its bias, changed where compensated."""

    weight: Weight
    input: Quantizer | None
    bias: Tensor | None


@dataclass
class Choices:
    """The chosen numbers by layer name: of layers with weights, and the two operands of products."""

    layers: dict[str, Chosen] = field(default_factory=dict)
    products: dict[str, tuple[Quantizer, Quantizer]] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Tell whether a layer's numbers are chosen."""
        return name in self.layers or name in self.products


@dataclass(frozen=True)
class Kept:
    """The file in which a calibration keeps its choices until it is done; `key` says what they were made from."""

    path: Path
    key: str

    def read(self) -> Choices:
        """Return what an earlier run from the same key left, or nothing."""
        choices = Choices()
        if not self.path.exists():
            return choices
        stored = torch.load(io.BytesIO(self.path.read_bytes()), weights_only=True)
        if stored["key"] != self.key:
            return choices
        for name, values in stored["layers"].items():
            weight = Weight(values["bits"], values["levels"], values["scale"], values["zero_point"])
            choices.layers[name] = Chosen(weight, quantizer_from_json(values["input"]), values["bias"])
        for name, pair in stored["products"].items():
            left, right = (quantizer_from_json(values) for values in pair)
            assert left is not None and right is not None
            choices.products[name] = (left, right)
        return choices

    def write(self, choices: Choices) -> None:
        """Keep the choices."""
        stream = io.BytesIO()
        layers = {name: _plain(chosen) for name, chosen in choices.layers.items()}
        products = {name: [left.to_json(), right.to_json()] for name, (left, right) in choices.products.items()}
        torch.save({"key": self.key, "layers": layers, "products": products}, stream)
        write_atomically(self.path, stream.getvalue())

    def remove(self) -> None:
        """Delete the file: the calibration is done."""
        self.path.unlink(missing_ok=True)


def _plain(chosen: Chosen) -> dict[str, Any]:
    weight = chosen.weight
    return {
        "bits": weight.bits,
        "levels": weight.levels.to(torch.int16),
        "scale": weight.scale,
        "zero_point": weight.zero_point,
        "bias": chosen.bias,
        "input": None if chosen.input is None else chosen.input.to_json(),
    }


def key_of(*parts: str, images: Tensor) -> str:
    """Return the hash that says from what choices are made."""
    digest = hashlib.sha256(images.detach().cpu().numpy().tobytes())
    for part in parts:
        digest.update(part.encode())
    return digest.hexdigest()
