"""The quantized layers: integer weights with scales, computed in float arithmetic on integers or in int32."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.quantization.layers import bytes_product
from export.quantization.layers.quantizers import Quantizer, Term

Multiply = Callable[[Tensor, Tensor], Tensor]


class Weight(nn.Module):
    """A quantized weight `[out, …]` with one scale per output channel: value = quantized · scale.

    `quantized` is float32 but integer-valued, the zero point subtracted: -2^(b-1) … 2^(b-1)-1 where `zero_point` is
    None (symmetric), else -zero_point … 2^b-1 - zero_point, with `zero_point` per output channel.
    """

    quantized: Tensor
    scale: Tensor
    zero_point: Tensor | None

    def __init__(self, bits: int, quantized: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> None:
        super().__init__()
        self.bits = bits
        self.register_buffer("quantized", quantized.float())
        self.register_buffer("scale", scale.float())
        self.register_buffer("zero_point", None if zero_point is None else zero_point.float())

    def codes(self) -> Tensor:
        """Return the unsigned integers that are stored, uint8 0 … 2^b-1: quantized + zero_point, or + 2^(b-1)."""
        offset = torch.tensor(2.0 ** (self.bits - 1)) if self.zero_point is None else self._column(self.zero_point)
        return (self.quantized + offset.to(self.quantized.device)).to(torch.uint8)

    def dequantized(self) -> Tensor:
        """Return the float32 weight `[out, …]` = quantized · scale."""
        return self.quantized * self._column(self.scale)

    def _column(self, values: Tensor) -> Tensor:
        return values.reshape(-1, *[1] * (self.quantized.ndim - 1))


class QuantLayer(nn.Module):
    """Base of the layers; `integer` chooses int32 arithmetic, which only the CPU has."""

    integer = False


class QuantLinear(QuantLayer):
    """y = Σ terms (x.quantized @ weight.quantizedᵀ)·x.scale·weight.scale + bias.

    `input` is the quantizer of the activations; None leaves them in float.
    """

    def __init__(self, weight: Weight, bias: Tensor | None, input: Quantizer | None) -> None:
        super().__init__()
        self.weight, self.input = weight, input
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[…, in]` to `[…, out]`."""
        y = _accumulate(self, x, _linear, bytes_product.linear).mul_(self.weight.scale)
        return y if self.bias is None else y.add_(self.bias)


class QuantConv2d(QuantLayer):
    """A convolution with integer weights `[out, in / groups, kh, kw]`; see `QuantLinear`."""

    def __init__(self, conv: nn.Conv2d, weight: Weight, bias: Tensor | None, input: Quantizer | None) -> None:
        super().__init__()
        self.weight, self.input = weight, input
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)
        self.geometry: dict[str, Any] = {
            name: getattr(conv, name) for name in ("stride", "padding", "dilation", "groups")
        }

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, in, h, w]` to `[n, out, h', w']`."""
        y = _accumulate(self, x, self._convolve, self._convolve).mul_(self.weight.scale[:, None, None])
        return y if self.bias is None else y.add_(self.bias[:, None, None])

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        if x.dtype == torch.int32:  # a sum of products is exact in float64 as in int32, and only the former is offered
            return F.conv2d(x.double(), weight.double(), **self.geometry).to(torch.int32)
        return F.conv2d(x, weight, **self.geometry)


class Product(QuantLayer):
    """A matrix product of two activations, `left @ right`, in attention; without quantizers a plain one."""

    def __init__(self, left: Quantizer | None = None, right: Quantizer | None = None) -> None:
        super().__init__()
        self.left, self.right = left, right

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Map `[…, n, k]` and `[…, k, m]` to `[…, n, m]`."""
        if self.left is None and self.right is None:
            return torch.matmul(left, right)
        ((right_quantized, right_scale),) = _quantize(self.right, right)
        terms = _quantize(self.left, left)
        if not self.integer and len(terms) > 1 and self.left is not None:
            return torch.matmul(self.left(left), right_quantized) * right_scale
        total = None
        for quantized, scale in terms:
            if self.integer:
                product = torch.matmul(quantized.to(torch.int32), right_quantized.to(torch.int32)).float()
            else:
                product = torch.matmul(quantized, right_quantized)
            total = product * (scale * right_scale) + (0 if total is None else total)
        assert total is not None
        return total


def _quantize(quantizer: Quantizer | None, x: Tensor) -> list[Term]:
    return [(x, torch.ones((), device=x.device))] if quantizer is None else quantizer.quantize(x)


def _linear(x: Tensor, weight: Tensor) -> Tensor:
    if x.dtype == torch.int32:  # torch.mm: attention's own torch.matmul is routed through `Product`
        return torch.mm(x.flatten(0, -2), weight.T).reshape(*x.shape[:-1], -1)
    return F.linear(x, weight)


def _accumulate(layer: QuantLinear | QuantConv2d, x: Tensor, multiply: Multiply, multiply_integers: Multiply) -> Tensor:
    """Return Σ terms multiply(x.quantized, weight.quantized)·x.scale, yet to be multiplied by the weight's scale."""
    weight = layer.weight.quantized
    if layer.input is None:
        return multiply(x, weight)
    if layer.integer:
        integers = weight.to(torch.int32)
        products = [
            multiply(quantized.to(torch.int32), integers).float() * scale
            for quantized, scale in layer.input.quantize(x)
        ]
        return sum(products[1:], start=products[0])
    terms = layer.input.quantize(x)
    if len(terms) == 1:  # integers as floats: the sums are exact below 2^24, and equal those of int32
        quantized, scale = terms[0]
        return multiply_integers(quantized, weight) * scale
    return multiply(layer.input(x), weight)


@contextmanager
def integer_arithmetic(module: nn.Module) -> Iterator[None]:
    """Let every quantized layer of a module multiply in int32 within the block (the reference executor)."""
    layers = [layer for layer in module.modules() if isinstance(layer, QuantLayer)]
    for layer in layers:
        layer.integer = True
    try:
        yield
    finally:
        for layer in layers:
            layer.integer = False
