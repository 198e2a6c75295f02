"""Quantizers of activations: from a float tensor to integers with scales, and back (fake quantization)."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from export.core.errors import ArtifactError

Term = tuple[Tensor, Tensor]  # quantized values (integers as float32 or int32) and the scale that multiplies them


class Quantizer(nn.Module, ABC):
    """Base: `quantize(x)` gives terms of quantized values and scale, whose products sum to the dequantized `x`.

    `bits` is the width of the stored integers. There is one term, but two where a tensor has twin ranges.
    """

    bits: int

    @abstractmethod
    def quantize(self, x: Tensor) -> list[Term]:
        """Return integer-valued tensors (float32, shape of `x`) with scales that broadcast to them."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` quantized and dequantized (fake-quantized), shape unchanged."""
        terms = self.quantize(x)
        total = terms[0][0].mul_(terms[0][1])
        for quantized, scale in terms[1:]:
            total.addcmul_(quantized, scale)
        return total

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return kind, bits and parameters as plain JSON; float32 values survive exactly."""


def _numbers(value: Tensor) -> Any:
    return value.item() if value.ndim == 0 else value.flatten().tolist()


def _per_head(values: Any) -> Tensor:
    """Return a scalar, or one value per head as `[heads, 1, 1]`."""
    tensor = torch.tensor(values, dtype=torch.float32)
    return tensor if tensor.ndim == 0 else tensor[:, None, None]


class Uniform(Quantizer):
    """Uniform quantization: quantized = clamp(round(x / scale), qmin - zero_point, qmax - zero_point).

    Symmetric, signed codes -2^(b-1) … 2^(b-1)-1 with zero_point 0; or asymmetric, unsigned codes 0 … 2^b-1 with any.
    `scale` and `zero_point` are scalars, or `[heads, 1, 1]` for operands `[batch, heads, rows, columns]` of attention.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, bits: int, scale: Tensor, zero_point: Tensor | None = None) -> None:
        super().__init__()
        self.bits, self.signed = bits, zero_point is None
        self.register_buffer("scale", scale.float())
        self.register_buffer("zero_point", torch.zeros_like(self.scale) if zero_point is None else zero_point.float())

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Return the least and greatest quantized value, the zero point subtracted: qmin and qmax - zero_point."""
        low, high = (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1) if self.signed else (0, 2**self.bits - 1)
        return low - self.zero_point, high - self.zero_point

    def quantize(self, x: Tensor) -> list[Term]:
        """Return one term."""
        low, high = self.bounds()
        quantized = torch.mul(x, 1 / self.scale).round_()
        if self.signed or low.ndim == 0:  # one range for all: several are an order slower
            quantized = quantized.clamp_(low.flatten()[0].item(), high.flatten()[0].item())
        else:
            quantized = torch.clamp(quantized, low, high)
        return [(quantized, self.scale)]

    def to_json(self) -> dict[str, Any]:
        """Return kind uniform with its parameters; symmetric ones have no zero point."""
        record = {"kind": "uniform", "bits": self.bits, "signed": self.signed, "scale": _numbers(self.scale)}
        return record if self.signed else record | {"zero_point": _numbers(self.zero_point)}


class Twin(Quantizer):
    """Twin uniform quantization (PTQ4ViT, section 3.2): two scales for one tensor, one bit of a code says which.

    By `kind`, with Q = 2^(b-1): sign, negative values by `low_scale` (-Q … 0), others by `high_scale` (0 … Q-1);
    magnitude, values of 0 or more, those that round to at most Q-1 by `low_scale`, others by `high_scale`; overlap, as
    magnitude, but a large value also carries the full low range, as PTQ4ViT's code has it.
    """

    low_scale: Tensor
    high_scale: Tensor

    def __init__(self, kind: str, bits: int, low_scale: Tensor, high_scale: Tensor) -> None:
        super().__init__()
        if kind not in ("sign", "magnitude", "overlap"):
            raise ArtifactError(f"unknown twin quantizer {kind!r}")
        self.kind, self.bits = kind, bits
        self.register_buffer("low_scale", low_scale.float())
        self.register_buffer("high_scale", high_scale.float())

    def quantize(self, x: Tensor) -> list[Term]:
        """Return the low and the high term; but for the kind overlap, one of both is zero for every value."""
        half = 2 ** (self.bits - 1)
        low, high = x / self.low_scale, (x / self.high_scale).round_().clamp_(0, half - 1)
        if self.kind == "sign":
            low = low.round_().clamp_(-half, 0)
        elif self.kind == "magnitude":
            low = low.round_()
            is_low = low <= half - 1
            low, high = low.clamp_(min=0).mul_(is_low), high.mul_(~is_low)
        else:
            split = self.low_scale * (half - 1)
            high = (x.clamp(split.item(), 1.0) / self.high_scale).round_().clamp_(0, half - 1)
            low = (x.clamp(0.0, split.item()) / self.low_scale).round_().clamp_(0, half - 1)
        return [(low, self.low_scale), (high, self.high_scale)]

    def to_json(self) -> dict[str, Any]:
        """Return kind twin_sign, twin_magnitude or twin_overlap with both scales."""
        return {
            "kind": f"twin_{self.kind}",
            "bits": self.bits,
            "low_scale": _numbers(self.low_scale),
            "high_scale": _numbers(self.high_scale),
        }


class Dynamic(Quantizer):
    """Dynamic quantization: scales are computed at run time, one per vector along `dim`, or with `dim` None per image.

    By `spread`, with Q = 2^(b-1): symmetric, -(Q-1) … Q-1 of the largest magnitude; positive, 0 … 2^b-1 for values of
    0 or more; range, the least to the greatest value, 0 included, in 2^b-2 intervals, so that its rounded ends are at
    most 2^b-1 apart.
    """

    def __init__(self, bits: int, *, dim: int | None = -1, spread: str = "symmetric") -> None:
        super().__init__()
        if spread not in ("symmetric", "positive", "range"):
            raise ArtifactError(f"unknown spread {spread!r} of a dynamic quantizer")
        self.bits, self.dim, self.spread = bits, dim, spread

    def intervals(self) -> int:
        """Return qmax - qmin of the span that gives the scale: from 0, or for the spread range from end to end."""
        all_codes = 1 << self.bits
        return {"symmetric": all_codes // 2 - 1, "positive": all_codes - 1, "range": all_codes - 2}[self.spread]

    def quantize(self, x: Tensor) -> list[Term]:
        """Return one term; its scale has size 1 along `dim`, or along all dimensions but the first."""
        reduced = tuple(range(1, x.ndim)) if self.dim is None else (self.dim,)
        if self.spread == "range":
            span = x.amax(reduced, keepdim=True).clamp_min_(0) - x.amin(reduced, keepdim=True).clamp_max_(0)
        else:
            span = x.abs().amax(reduced, keepdim=True)
        scale = span.clamp_min_(torch.finfo(torch.float32).tiny * 256) / self.intervals()
        return [((x / scale).round_(), scale)]

    def to_json(self) -> dict[str, Any]:
        """Return kind dynamic with what its scales are computed over; there are none to store."""
        return {"kind": "dynamic", "bits": self.bits, "dim": self.dim, "spread": self.spread}


def quantizer_from_json(values: dict[str, Any] | None) -> Quantizer | None:
    """Return the quantizer of a record, or None for None; raises `ArtifactError` on an unknown kind."""
    if values is None:
        return None
    kind, bits = str(values.get("kind")), int(values.get("bits", 0))
    if kind == "uniform":
        zero_point = None if values["signed"] else _per_head(values["zero_point"])
        return Uniform(bits, _per_head(values["scale"]), zero_point)
    if kind.startswith("twin_"):
        return Twin(
            kind.removeprefix("twin_"), bits, torch.tensor(values["low_scale"]), torch.tensor(values["high_scale"])
        )
    if kind == "dynamic":
        return Dynamic(bits, dim=values["dim"], spread=str(values["spread"]))
    raise ArtifactError(f"unknown quantizer {kind!r}", hint="the file was written by another version")
