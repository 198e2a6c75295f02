"""What is done to a float model before it is calibrated: attention decomposed, folds, and the bits of every layer."""

import copy
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, nn

from export.core.errors import RequestError
from export.quantization.calibration.folds.apply import apply_folds
from export.quantization.layers.discovery import (
    PRODUCTS,
    QuantizableLayer,
    decompose_attention,
    find_quantizable_layers,
    fold_batch_norm,
)
from export.quantization.recipes import Quantization

Bits = tuple[int | None, int | None]  # of weights and of activations; None stays in float


@dataclass(frozen=True)
class PreparedModel:
    """A float model ready for calibration: attention decomposed, BatchNorm folded, ranges equalized, bits assigned.

    `bits` are those of `layers`, by name, of weights and of activations.
    """

    module: nn.Module
    layers: list[QuantizableLayer]
    bits: dict[str, Bits]


def prepare(module: nn.Module, quantization: Quantization, images: Tensor) -> PreparedModel:
    """Return a copy of the module that is ready for calibration; raises what `calibrate` does."""
    copied = copy.deepcopy(module).eval().requires_grad_(False)
    decompose_attention(copied)
    fold_batch_norm(copied, images[:1])
    layers = find_quantizable_layers(copied, images[:1])
    bits = assign_bits(layers, quantization)
    apply_folds(copied, quantization, images)
    return PreparedModel(copied, layers, bits)


def assign_bits(layers: list[QuantizableLayer], quantization: Quantization) -> dict[str, Bits]:
    """Return every layer's bits; raises `RequestError` for a rule that matches no layer's name or role.

    Without a rule the patch embedding's input, the image, stays in float, as in PTQ4ViT.
    """
    bits: dict[str, Bits] = {}
    unused = list(quantization.rules)
    for layer in layers:
        bits[layer.name] = (quantization.weight_bits, None if layer.role == "stem" else quantization.activation_bits)
        matching = [
            rule for rule in quantization.rules if fnmatchcase(layer.name, rule.pattern) or rule.pattern == layer.role
        ]
        if matching:
            bits[layer.name] = (matching[0].weight_bits, matching[0].activation_bits)
        unused = [rule for rule in unused if rule not in matching]
        if bits[layer.name][0] is None and bits[layer.name][1] is not None and layer.role not in PRODUCTS:
            raise RequestError(
                f"{layer.name}: activations cannot be quantized where the weight is not",
                hint="let the rule quantize the weight too, or neither",
            )
    if unused:
        roles = ", ".join(dict.fromkeys(layer.role for layer in layers))
        raise RequestError(
            f"no layer of the model matches the rule {unused[0].pattern!r}",
            hint=f"roles: {roles}; layers have names such as {layers[0].name} and {layers[-1].name}",
        )
    return bits


def is_quantized(layer: QuantizableLayer, bits: dict[str, Bits]) -> bool:
    """Tell whether a layer's weight, or a product's operands, are quantized."""
    return bits[layer.name][1 if layer.role in PRODUCTS else 0] is not None
