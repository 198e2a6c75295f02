"""What becomes of a float tensor: the integer levels it is rounded to, and the scales that bring them back."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from export.core.errors import ArtifactError

Part = tuple[Tensor, Tensor]  # integer levels (as float32 or int32) and the scale that multiplies them


class Quantizer(nn.Module, ABC):
    """Base: `parts(x)` are levels with scales, whose products sum to the rounded `x`."""

    bits: int

    @abstractmethod
    def parts(self, x: Tensor) -> list[Part]:
        """Return integer-valued levels (float32, shape of `x`) with scales that broadcast to them."""

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` rounded to the quantizer's grid, shape unchanged."""
        parts = self.parts(x)
        total = parts[0][0].mul_(parts[0][1])
        for levels, scale in parts[1:]:
            total.addcmul_(levels, scale)
        return total

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Return kind, bits and numbers as plain JSON; float32 values survive exactly."""


def _numbers(value: Tensor) -> Any:
    return value.item() if value.ndim == 0 else value.flatten().tolist()


def _per_head(values: Any) -> Tensor:
    """Return a scalar, or one value per head as `[heads, 1, 1]`."""
    tensor = torch.tensor(values, dtype=torch.float32)
    return tensor if tensor.ndim == 0 else tensor[:, None, None]


class Uniform(Quantizer):
    """One step: levels = clamp(round(x / scale), low - zero_point, high - zero_point).

    Signed codes -2^(b-1) … 2^(b-1)-1 with zero_point 0, or unsigned 0 … 2^b-1 with any. `scale` and `zero_point`
    are scalars, or `[heads, 1, 1]` for operands `[batch, heads, rows, columns]` of attention.
    """

    scale: Tensor
    zero_point: Tensor

    def __init__(self, bits: int, scale: Tensor, zero_point: Tensor | None = None) -> None:
        super().__init__()
        self.bits, self.signed = bits, zero_point is None
        self.register_buffer("scale", scale.float())
        self.register_buffer("zero_point", torch.zeros_like(self.scale) if zero_point is None else zero_point.float())

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Return the least and greatest level."""
        low, high = (-(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1) if self.signed else (0, 2**self.bits - 1)
        return low - self.zero_point, high - self.zero_point

    def parts(self, x: Tensor) -> list[Part]:
        """Return the one part."""
        low, high = self.bounds()
        levels = torch.mul(x, 1 / self.scale).round_()
        levels = levels.clamp_(low.item(), high.item()) if low.ndim == 0 else torch.clamp(levels, low, high)
        return [(levels, self.scale)]

    def to_json(self) -> dict[str, Any]:
        """Return the record."""
        found = {"kind": "uniform", "bits": self.bits, "signed": self.signed, "scale": _numbers(self.scale)}
        return found if self.signed else found | {"zero_point": _numbers(self.zero_point)}


class Twin(Quantizer):
    """Two steps for one tensor, as PTQ4ViT's twin uniform quantization: one bit says which.

    `sign`: negative values by `low_scale` (levels -Q … 0), others by `high_scale` (0 … Q-1), Q = 2^(b-1).
    `magnitude`: values of 0 or more, those that round to at most Q-1 by `low_scale`, others by `high_scale`.
    `overlap`: as `magnitude`, but a large value also carries the full low range, as PTQ4ViT's code has it.
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

    def parts(self, x: Tensor) -> list[Part]:
        """Return the low and the high part; but for `overlap`, one of both is zero for every value."""
        levels = 2 ** (self.bits - 1)
        low, high = x / self.low_scale, (x / self.high_scale).round_().clamp_(0, levels - 1)
        if self.kind == "sign":
            low = low.round_().clamp_(-levels, 0)
        elif self.kind == "magnitude":
            low = low.round_()
            is_low = low <= levels - 1
            low, high = low.clamp_(min=0).mul_(is_low), high.mul_(~is_low)
        else:
            split = self.low_scale * (levels - 1)
            high = (x.clamp(split.item(), 1.0) / self.high_scale).round_().clamp_(0, levels - 1)
            low = (x.clamp(0.0, split.item()) / self.low_scale).round_().clamp_(0, levels - 1)
        return [(low, self.low_scale), (high, self.high_scale)]

    def to_json(self) -> dict[str, Any]:
        """Return the record."""
        return {
            "kind": f"twin_{self.kind}",
            "bits": self.bits,
            "low_scale": _numbers(self.low_scale),
            "high_scale": _numbers(self.high_scale),
        }


class Dynamic(Quantizer):
    """One scale per vector along `dim`, or per image with `dim` None, from its own values, at run time.

    `symmetric`: levels -(Q-1) … Q-1 with Q = 2^(b-1), of the largest magnitude; `positive`: 0 … 2^b-1, for values of 0
    or more; `range`: the least to the greatest value, 0 included, in 2^b-2 steps, so that its rounded ends are at most
    2^b-1 levels apart.
    """

    def __init__(self, bits: int, *, dim: int | None = -1, spread: str = "symmetric") -> None:
        super().__init__()
        if spread not in ("symmetric", "positive", "range"):
            raise ArtifactError(f"unknown spread {spread!r} of a dynamic quantizer")
        self.bits, self.dim, self.spread = bits, dim, spread

    def steps(self) -> int:
        """Return how many steps the span from which the scale is found has: from 0, or for `range` from end to end."""
        all_codes = 1 << self.bits
        return {"symmetric": all_codes // 2 - 1, "positive": all_codes - 1, "range": all_codes - 2}[self.spread]

    def parts(self, x: Tensor) -> list[Part]:
        """Return the one part; its scale has size 1 along `dim`, or along all dimensions but the first."""
        reduced = tuple(range(1, x.ndim)) if self.dim is None else (self.dim,)
        if self.spread == "range":
            span = x.amax(reduced, keepdim=True).clamp_min_(0) - x.amin(reduced, keepdim=True).clamp_max_(0)
        else:
            span = x.abs().amax(reduced, keepdim=True)
        scale = span.clamp_min_(torch.finfo(torch.float32).tiny * 256) / self.steps()
        return [((x / scale).round_(), scale)]

    def to_json(self) -> dict[str, Any]:
        """Return the record."""
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
