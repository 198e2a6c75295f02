"""Parts of a quantized ViT as the engine's tensors; what it cannot compute is rejected, with the reason."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.core.errors import UnsupportedError
from export.quantization.layers.accumulation import ACCUMULATION_DEPTHS, accumulation_depth, fits_int16, weight_rows
from export.quantization.layers.modules import Product, QuantConv2d, QuantLinear
from export.quantization.layers.packing import pack
from export.quantization.layers.quantizers import Dynamic, Quantizer, Uniform

Array = NDArray[Any]
HINT = "choose another engine, or a recipe that quantizes every operand with one scale"


@dataclass
class Tensors:
    """The file's tensors in the engine's order: `values` by name, and `bits` of packed weights, 0 for floats.

    `accumulation_depths` are those that the weights of layers with integer inputs allow; attention's are 8 where its
    operands allow one step, which is all that it uses, else 0.
    """

    values: dict[str, Array] = field(default_factory=dict)
    bits: dict[str, int] = field(default_factory=dict)
    accumulation_depths: list[int] = field(default_factory=list)

    def add(self, name: str, values: Tensor) -> None:
        """Append floats: as float16 where that holds them exactly, otherwise as float32."""
        single = values.detach().float().cpu()
        half = single.half()
        exact = bool(torch.equal(half.float(), single))
        self.values[name] = (half if exact else single).contiguous().numpy()
        self.bits[name] = 0

    def add_packed(self, name: str, codes: NDArray[np.uint8], bits: int) -> None:
        """Append codes `[rows, columns]` of 0 … 2^bits-1, packed."""
        self.values[name] = pack(np.ascontiguousarray(codes), bits)
        self.bits[name] = bits


def refuse(name: str, reason: str) -> UnsupportedError:
    """Return the error that says why the engine cannot run a part."""
    return UnsupportedError(f"the vit engine cannot run this model: {name} {reason}", hint=HINT)


def kind_of(layer: nn.Module) -> str:
    """Return the name of a layer's class, as timm has it."""
    return type(layer).__name__.removeprefix("Decomposed")


def add_linear(
    tensors: Tensors, name: str, layer: nn.Module, *, factor: Tensor | None = None, may_be_float: bool = False
) -> None:
    """Append weight, scale, bias and, unless its input stays float, the input's quantizer.

    `factor [out]` multiplies the output; in the scales and biases it costs nothing. Convolutions are those of patches:
    their inputs are reordered to rows of the image, channels last.
    """
    if not isinstance(layer, QuantLinear | QuantConv2d):
        raise refuse(name, f"is a {type(layer).__name__} whose weight is not quantized")
    weight, scale = layer.weight, layer.weight.scale
    if weight.zero_point is not None:
        raise refuse(name, "has weights with zero points")
    codes = weight.codes()
    bias = torch.zeros_like(scale) if layer.bias is None else layer.bias
    if factor is not None:
        scale, bias = scale * factor, bias * factor
    tensors.add_packed(f"{name}.weight", weight_rows(codes).cpu().numpy(), weight.bits)
    tensors.add(f"{name}.scale", scale)
    tensors.add(f"{name}.bias", bias)
    if layer.input is not None:
        dim = None if isinstance(layer, QuantConv2d) else -1
        params = operand_params(f"{name}'s input", layer.input, dim, 1, may_be_range=dim is not None)
        tensors.add(f"{name}.input", torch.cat(params))
        tensors.accumulation_depths.append(accumulation_depth(weight.quantized))
    elif not may_be_float:
        raise refuse(name, "has float inputs: the engine multiplies integers")


def operand_params(
    name: str, quantizer: Quantizer | None, dim: int | None, heads: int, *, may_be_range: bool = False
) -> list[Tensor]:
    """Return scale, least and greatest quantized value of an operand, `[heads]` each.

    A scale of 0 is computed at run time from the largest magnitude along `dim`, one of -1 from the whole range, where
    it `may_be_range`.
    """
    if isinstance(quantizer, Dynamic):
        if quantizer.dim != dim:
            raise refuse(name, f"has one scale along dimension {quantizer.dim}, not {dim}")
        signed, unsigned = 2 ** (quantizer.bits - 1) - 1, 2**quantizer.bits - 1
        params = {"symmetric": (0, -signed, signed), "positive": (0, 0, unsigned), "range": (-1, -unsigned, unsigned)}[
            quantizer.spread
        ]
        if quantizer.spread == "range" and not may_be_range:
            raise refuse(name, "has a range of its own, which only inputs of linear layers may have")
        return [torch.full((heads,), float(value)) for value in params]
    if isinstance(quantizer, Uniform):
        low, high = quantizer.bounds()
        return [value.flatten().float().expand(heads) for value in (quantizer.scale, low, high)]
    reason = "stays float" if quantizer is None else f"is quantized in two ranges ({type(quantizer).__name__})"
    raise refuse(name, reason)


def add_products(tensors: Tensors, name: str, scores: nn.Module, gathered: nn.Module, heads: int) -> None:
    """Append the parameters of queries, keys, probabilities and values: `[4, 3, heads]`."""
    if not isinstance(scores, Product) or not isinstance(gathered, Product):
        raise refuse(name, "has products that are not quantized")
    operands = (
        (f"{name}'s queries", scores.left, -1),
        (f"{name}'s keys", scores.right, -2),
        (f"{name}'s probabilities", gathered.left, -1),
        (f"{name}'s values", gathered.right, -2),
    )
    params = [torch.stack(operand_params(label, quantizer, dim, heads)) for label, quantizer, dim in operands]
    fits = all(fits_int16(*params[pair][1:], *params[pair + 1][1:]) for pair in (0, 2))
    tensors.accumulation_depths.append(ACCUMULATION_DEPTHS[0] if fits else 0)
    tensors.add(f"{name}.operands", torch.stack(params))


def add_norm(tensors: Tensors, name: str, norm: nn.Module, *, factor: float = 1.0) -> None:
    """Append a LayerNorm's gamma and beta, times `factor`."""
    if not isinstance(norm, nn.LayerNorm):
        raise refuse(name, f"is a {type(norm).__name__}, not LayerNorm")
    (width,) = norm.normalized_shape
    tensors.add(f"{name}.gamma", (torch.ones(width) if norm.weight is None else norm.weight.detach()) * factor)
    tensors.add(f"{name}.beta", (torch.zeros(width) if norm.bias is None else norm.bias.detach()) * factor)
