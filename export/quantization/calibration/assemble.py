"""From quantization parameters to a module of quantized layers, and back to plain float layers."""

import copy

from torch import Tensor, nn

from export.quantization.calibration.qparams import ModelQParams
from export.quantization.integer_file import as_stored
from export.quantization.layers.modules import Product, QuantConv2d, QuantLinear, Weight
from export.quantization.layers.quantizers import Quantizer


def replace_layer(module: nn.Module, name: str, qparams: ModelQParams) -> None:
    """Replace a float layer by the quantized one, in place; a layer without parameters stays."""
    if name in qparams.products:
        module.set_submodule(name, Product(*qparams.products[name]))
    elif name in qparams.layers:
        layer, chosen = module.get_submodule(name), qparams.layers[name]
        assert isinstance(layer, nn.Linear | nn.Conv2d)
        module.set_submodule(name, quantized_layer(layer, chosen.weight, chosen.bias, chosen.input))


def quantized_layer(
    layer: nn.Module, weight: Weight, bias: Tensor | None, input: Quantizer | None
) -> QuantLinear | QuantConv2d:
    """Return the quantized layer of a Linear or Conv2d."""
    if isinstance(layer, nn.Conv2d):
        return QuantConv2d(layer, weight, bias, input)
    return QuantLinear(weight, bias, input)


def freeze(module: nn.Module, qparams: ModelQParams) -> nn.Module:
    """Return a copy with the quantized layers, whose float rest is rounded to what the file will hold (F16)."""
    frozen = copy.deepcopy(module).eval().requires_grad_(False)
    names = (*qparams.layers, *qparams.products)
    for name in names:
        replace_layer(frozen, name, qparams)
    for name, value in frozen.state_dict().items():
        quantized = any(name.startswith(f"{layer}.") and name != f"{layer}.bias" for layer in names)
        if value.is_floating_point() and not quantized:
            value.copy_(as_stored(value).float())
    return frozen


def dequantized(module: nn.Module) -> nn.Module:
    """Return a copy of a quantized module with its weights as float32, in plain layers with float activations."""
    plain = copy.deepcopy(module)
    for name, layer in list(plain.named_modules()):
        if isinstance(layer, QuantLinear):
            rows, columns = layer.weight.quantized.shape
            _restore(plain, name, nn.Linear(columns, rows, bias=layer.bias is not None), layer)
        elif isinstance(layer, QuantConv2d):
            out_channels, group_channels, height, width = layer.weight.quantized.shape
            in_channels = group_channels * layer.geometry["groups"]
            size = (height, width)
            conv = nn.Conv2d(in_channels, out_channels, size, bias=layer.bias is not None, **layer.geometry)
            _restore(plain, name, conv, layer)
        elif isinstance(layer, Product):
            plain.set_submodule(name, Product())
    return plain.eval()


def _restore(module: nn.Module, name: str, plain: nn.Linear | nn.Conv2d, layer: QuantLinear | QuantConv2d) -> None:
    plain.weight = nn.Parameter(layer.weight.dequantized(), requires_grad=False)
    plain.bias = layer.bias
    module.set_submodule(name, plain)
