"""From chosen numbers to a module of quantized layers, and back to plain float layers."""

import copy

from torch import Tensor, nn

from export.quantization.calibration.qparams import Choices
from export.quantization.integer_file import as_stored
from export.quantization.layers.modules import Product, QuantConv2d, QuantLinear, Weight
from export.quantization.layers.quantizers import Quantizer


def place(module: nn.Module, name: str, choices: Choices) -> None:
    """Put the quantized layer in the place of the float one; a layer that was not chosen stays."""
    if name in choices.products:
        module.set_submodule(name, Product(*choices.products[name]))
    elif name in choices.layers:
        layer, chosen = module.get_submodule(name), choices.layers[name]
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        module.set_submodule(name, build(layer, chosen.weight, chosen.bias, chosen.input))


def build(layer: nn.Module, weight: Weight, bias: Tensor | None, input: Quantizer | None) -> QuantLinear | QuantConv2d:
    """Return the quantized layer of a float one."""
    if isinstance(layer, nn.Conv2d):
        return QuantConv2d(layer, weight, bias, input)
    return QuantLinear(weight, bias, input)


def freeze(module: nn.Module, choices: Choices) -> nn.Module:
    """Return a copy whose chosen layers are quantized and whose float rest is what the file will hold (F16)."""
    frozen = copy.deepcopy(module).eval().requires_grad_(False)
    chosen = (*choices.layers, *choices.products)
    for name in chosen:
        place(frozen, name, choices)
    for name, value in frozen.state_dict().items():
        quantized = any(name.startswith(f"{layer}.") and name != f"{layer}.bias" for layer in chosen)
        if value.is_floating_point() and not quantized:
            value.copy_(as_stored(value).float())
    return frozen


def dequantized(module: nn.Module) -> nn.Module:
    """Return a copy of a quantized module with its weights as float32, in plain layers with float activations."""
    plain = copy.deepcopy(module)
    for name, layer in list(plain.named_modules()):
        if isinstance(layer, QuantLinear):
            rows, columns = layer.weight.levels.shape
            _replace(plain, name, nn.Linear(columns, rows, bias=layer.bias is not None), layer)
        elif isinstance(layer, QuantConv2d):
            channels, own, height, width = layer.weight.levels.shape
            conv = nn.Conv2d(
                own * layer.geometry["groups"], channels, (height, width), bias=layer.bias is not None, **layer.geometry
            )
            _replace(plain, name, conv, layer)
        elif isinstance(layer, Product):
            plain.set_submodule(name, Product())
    return plain.eval()


def _replace(module: nn.Module, name: str, plain: nn.Linear | nn.Conv2d, layer: QuantLinear | QuantConv2d) -> None:
    plain.weight = nn.Parameter(layer.weight.dequantized(), requires_grad=False)
    plain.bias = layer.bias
    module.set_submodule(name, plain)
