"""What training puts in the place of integer weights and quantizers: the same arithmetic on parameters.

Levels are rounded in the forward pass, and the backward pass takes rounding for the identity (the straight-through
estimator, Bengio et al. 2013, arXiv 1308.3432).
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from export.quantization.calibration.layer_solver import spanning
from export.quantization.layers.modules import Weight
from export.quantization.layers.quantizers import Part, Quantizer, Uniform
from export.quantization.layers.rounding import TINY, largest_scale, round_weight, round_weight_asymmetric
from export.quantization.methods import Method


class _Round(torch.autograd.Function):
    """Rounds; the gradient passes as if it had not."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class _Damped(torch.autograd.Function):
    """Returns its input; the gradient is multiplied by a number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def straight_levels(x: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return round(clamp(x / scale, low, high)), differentiable in `x` and `scale` as LSQ's equations 3 and 5 say.

    With v = x / scale, the rounded value levels · scale has the slope round(v) - v in `scale` within the bounds and
    that bound outside; in `x` it has 1 within and 0 outside.
    """
    levels: Tensor = _Round.apply(torch.clamp(x * (1 / scale), low, high))  # type: ignore[no-untyped-call]
    return levels


def learned_scale(log_scale: Tensor, count: int, greatest: float) -> Tensor:
    """Return exp(log_scale), its gradient damped by 1 / √(count · greatest) (LSQ, section 2.2).

    `count` is how many numbers share a step, `greatest` the greatest level. The parameter is the logarithm, so that
    a step stays positive and AdamW changes it by a share of itself (as in Jain et al., MLSys 2020).
    """
    damped: Tensor = _Damped.apply(log_scale, 1 / math.sqrt(count * max(greatest, 1)))  # type: ignore[no-untyped-call]
    return damped.exp()


class TrainedQuantizer(Quantizer):
    """A quantizer of activations in training."""

    @abstractmethod
    def frozen(self) -> Uniform:
        """Return the quantizer as it stands."""

    def to_json(self) -> dict[str, Any]:
        """Return the record of the frozen one."""
        return self.frozen().to_json()


class LearnedUniform(TrainedQuantizer):
    """A `Uniform` whose step is learned; its bounds stay."""

    def __init__(self, start: Uniform) -> None:
        super().__init__()
        self.bits, self.start = start.bits, start
        self.log_scale = nn.Parameter(start.scale.log())

    def parts(self, x: Tensor) -> list[Part]:
        """Return the one part."""
        low, high = self.start.bounds()
        scale = learned_scale(self.log_scale, x[0].numel(), float(high.max()))
        return [(straight_levels(x, scale, low, high), scale)]

    def frozen(self) -> Uniform:
        """Return the quantizer with the step learned so far."""
        zero_point = None if self.start.signed else self.start.zero_point.clone()
        return Uniform(self.bits, self.log_scale.detach().exp(), zero_point)


class TrackedUniform(TrainedQuantizer):
    """A `Uniform` that spans the least and greatest value seen so far; in training it goes on seeing."""

    seen: Tensor

    def __init__(self, values: Tensor, bits: int, *, symmetric: bool) -> None:
        super().__init__()
        self.bits, self.symmetric = bits, symmetric
        self.register_buffer("seen", torch.stack(values.aminmax()))

    def parts(self, x: Tensor) -> list[Part]:
        """Return the one part."""
        if self.training:
            low, high = x.detach().aminmax()
            self.seen.copy_(torch.stack((torch.minimum(self.seen[0], low), torch.maximum(self.seen[1], high))))
        uniform = self.frozen()
        return [(straight_levels(x, uniform.scale, *uniform.bounds()), uniform.scale)]

    def frozen(self) -> Uniform:
        """Return the quantizer of the range seen so far."""
        return spanning(self.seen, self.bits, None, symmetric=self.symmetric)


class TrainedWeight(Weight, ABC):
    """A `Weight` whose levels are made anew, at each use, from the float weight `value` that is trained."""

    def __init__(self, value: Tensor, start: Weight) -> None:
        nn.Module.__init__(self)  # levels and scale are no buffers here
        self.bits = start.bits
        self.value = nn.Parameter(value.detach().clone())
        self.register_buffer("zero_point", start.zero_point)

    @abstractmethod
    def grid(self) -> tuple[Tensor, Tensor | None]:
        """Return the step `[out]` and the zero points `[out]`, None for signed levels."""

    @property
    def scale(self) -> Tensor:  # type: ignore[override]
        """The step per output channel, `[out]`."""
        return self.grid()[0]

    @property
    def levels(self) -> Tensor:  # type: ignore[override]
        """The rounded weight in steps, shaped as the weight."""
        scale, zero_point = self.grid()
        column = (-1, *[1] * (self.value.ndim - 1))
        low, high = (torch.as_tensor(bound).to(scale).reshape(column) for bound in _bounds(self.bits, zero_point))
        return straight_levels(self.value, scale.reshape(column), low, high)

    def frozen(self) -> Weight:
        """Return the integer weight as it stands."""
        scale, zero_point = self.grid()
        return Weight(self.bits, self.levels.detach(), scale.detach().clone(), zero_point)


def _bounds(bits: int, zero_point: Tensor | None) -> tuple[Tensor | float, Tensor | float]:
    if zero_point is None:
        return -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    return -zero_point, 2**bits - 1 - zero_point


class LearnedWeight(TrainedWeight):
    """With learned steps, which start at min(2·mean|w| / √Qp, the step that spans the weight).

    LSQ starts at the former, which at many bits reaches far beyond the largest weight. `shared`: one step for all
    output channels, else one for each.
    """

    def __init__(self, value: Tensor, start: Weight, *, shared: bool) -> None:
        super().__init__(value, start)
        self.greatest = float(torch.as_tensor(_bounds(start.bits, start.zero_point)[1]).max())
        rows = value.detach().reshape(1 if shared else len(value), -1)
        usual = 2 * rows.abs().mean(1) / math.sqrt(max(self.greatest, 1))
        spanned = start.scale[:1] if shared else start.scale
        self.log_scale = nn.Parameter(torch.minimum(usual, spanned).clamp_min(TINY).log())

    def grid(self) -> tuple[Tensor, Tensor | None]:
        """Return the learned steps; zero points stay as they are."""
        scale = learned_scale(self.log_scale, self.value.numel() // len(self.log_scale), self.greatest)
        return scale.expand(len(self.value)), self.zero_point


class TrackedWeight(TrainedWeight):
    """With the steps and zero points that span the weight as it is now."""

    def __init__(self, value: Tensor, bits: int, method: Method) -> None:
        super().__init__(value, spanning_weight(value, bits, method))
        self.method = method

    def grid(self) -> tuple[Tensor, Tensor | None]:
        """Return what calibration would choose."""
        spanned = spanning_weight(self.value, self.bits, self.method)
        return spanned.scale, spanned.zero_point


def spanning_weight(value: Tensor, bits: int, method: Method) -> Weight:
    """Return the integer weight whose range spans the whole of `value`."""
    if method.weight_symmetric:
        return round_weight(value, largest_scale(value, bits, method.weight_granularity), bits)
    return round_weight_asymmetric(value, bits, method.weight_granularity)
