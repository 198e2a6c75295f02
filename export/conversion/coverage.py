"""What a file of another format holds of a recipe: not every format can say everything that a recipe chose."""

import copy

from torch import nn

from export.core.schema import Record
from export.quantization.layers.modules import Product, QuantConv2d, QuantLayer, QuantLinear


class QuantizationCoverage(Record, frozen=True, kw_only=True):
    """How much of a recipe's quantization a file has, by layer.

    `weights`: the type that a layer's integers are stored in. `activations`, for every layer whose activations the
    recipe quantizes: "recipe" where the file quantizes them as the recipe does, "runtime" where the runtime does by
    scales of its own, "runtime_tensor" where by a single one for the whole tensor, "float32" where they are not
    quantized. `compute_dtype` is int8 where any layer multiplies integers.
    """

    compute_dtype: str
    weights: dict[str, str]
    activations: dict[str, str]


def coverage_of(weights: dict[str, str], activations: dict[str, str]) -> QuantizationCoverage:
    """Return the coverage of `weights` and `activations`, with the type that is multiplied."""
    integer = any(kind != "float32" for kind in activations.values())
    return QuantizationCoverage(
        compute_dtype="int8" if integer else "float32", weights=weights, activations=activations
    )


def weighted_layers(module: nn.Module) -> dict[str, QuantLinear | QuantConv2d]:
    """Return the layers with integer weights, by name, in the module's order."""
    return {name: layer for name, layer in module.named_modules() if isinstance(layer, QuantLinear | QuantConv2d)}


def rounding_layers(module: nn.Module) -> dict[str, QuantLayer]:
    """Return the layers and products whose activations are rounded, by name."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if (isinstance(layer, QuantLinear | QuantConv2d) and layer.input is not None)
        or (isinstance(layer, Product) and layer.left is not None)
    }


def keeping_float(module: nn.Module, activations: dict[str, str]) -> nn.Module:
    """Return a copy in which the layers whose activations the file does not round do not round them either."""
    copied = copy.deepcopy(module)
    for name, kind in activations.items():
        layer = copied.get_submodule(name)
        if kind == "float32" and isinstance(layer, Product):
            layer.left = layer.right = None
        elif kind == "float32" and isinstance(layer, QuantLinear | QuantConv2d):
            layer.input = None
    return copied
