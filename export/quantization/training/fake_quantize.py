"""Fake quantization for training: weights and quantizers with the arithmetic of the frozen ones, on parameters.

Values are rounded in the forward pass, and the backward pass takes rounding for the identity (the straight-through
estimator, STE, Bengio et al. 2013, arXiv 1308.3432).
"""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from export.quantization.calibration.layer_solver import range_quantizer
from export.quantization.layers.modules import Weight
from export.quantization.layers.quantizers import Quantizer, Term, Uniform
from export.quantization.layers.rounding import MIN_SCALE, absmax_scale, quantize_asymmetric, quantize_symmetric
from export.quantization.methods import Method


class _RoundSTE(torch.autograd.Function):
    """Rounds; the gradient passes unchanged (straight-through estimator)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class _GradientScale(torch.autograd.Function):
    """Returns its input; the gradient is multiplied by a factor (LSQ's gradient scale)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None


def quantize_ste(x: Tensor, scale: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Return round(clamp(x / scale, low, high)), differentiable in `x` and `scale` as LSQ's equations 3 and 5 say.

    With v = x / scale, the dequantized value has the slope round(v) - v in `scale` within the bounds and that bound
    outside; in `x` it has 1 within and 0 outside.
    """
    quantized: Tensor = _RoundSTE.apply(torch.clamp(x * (1 / scale), low, high))  # type: ignore[no-untyped-call]
    return quantized


def learned_scale(log_scale: Tensor, count: int, qmax: float) -> Tensor:
    """Return exp(log_scale), its gradient damped by 1 / √(count · greatest) (LSQ, section 2.2).

    `count` is how many numbers share the scale, `qmax` the greatest quantized value. The parameter is the logarithm, so
    that a scale stays positive and AdamW changes it by a share of itself (as in Jain et al., MLSys 2020).
    """
    damped: Tensor = _GradientScale.apply(log_scale, 1 / math.sqrt(count * max(qmax, 1)))  # type: ignore[no-untyped-call]
    return damped.exp()


class TrainedQuantizer(Quantizer):
    """A quantizer of activations in training."""

    @abstractmethod
    def frozen(self) -> Uniform:
        """Return the quantizer with its current parameters, as the file will hold it."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON of the frozen quantizer."""
        return self.frozen().to_json()


class LearnedUniform(TrainedQuantizer):
    """A `Uniform` whose scale is learned (LSQ); its bounds stay."""

    def __init__(self, start: Uniform) -> None:
        super().__init__()
        self.bits, self.start = start.bits, start
        self.log_scale = nn.Parameter(start.scale.log())

    def quantize(self, x: Tensor) -> list[Term]:
        """Return one term."""
        low, high = self.start.bounds()
        scale = learned_scale(self.log_scale, x[0].numel(), float(high.max()))
        return [(quantize_ste(x, scale, low, high), scale)]

    def frozen(self) -> Uniform:
        """Return the quantizer with the scale learned so far."""
        zero_point = None if self.start.signed else self.start.zero_point.clone()
        return Uniform(self.bits, self.log_scale.detach().exp(), zero_point)


class TrackedUniform(TrainedQuantizer):
    """A `Uniform` over the range observed so far, `min_max`, which in training goes on being observed."""

    min_max: Tensor

    def __init__(self, values: Tensor, bits: int, *, symmetric: bool) -> None:
        super().__init__()
        self.bits, self.symmetric = bits, symmetric
        self.register_buffer("min_max", torch.stack(values.aminmax()))

    def quantize(self, x: Tensor) -> list[Term]:
        """Return one term."""
        if self.training:
            low, high = x.detach().aminmax()
            self.min_max.copy_(torch.stack((torch.minimum(self.min_max[0], low), torch.maximum(self.min_max[1], high))))
        uniform = self.frozen()
        return [(quantize_ste(x, uniform.scale, *uniform.bounds()), uniform.scale)]

    def frozen(self) -> Uniform:
        """Return the quantizer of the range observed so far."""
        return range_quantizer(self.min_max, self.bits, None, symmetric=self.symmetric)


class TrainedWeight(Weight, ABC):
    """A `Weight` that is quantized anew, at each use, from the float weight `value` that is trained."""

    def __init__(self, value: Tensor, start: Weight) -> None:
        nn.Module.__init__(self)  # quantized values and scale are no buffers here
        self.bits = start.bits
        self.value = nn.Parameter(value.detach().clone())
        self.register_buffer("zero_point", start.zero_point)

    @abstractmethod
    def qparams(self) -> tuple[Tensor, Tensor | None]:
        """Return the scales `[out]` and the zero points `[out]`, None for symmetric ones."""

    @property
    def scale(self) -> Tensor:  # type: ignore[override]
        """The scale per output channel, `[out]`."""
        return self.qparams()[0]

    @property
    def quantized(self) -> Tensor:  # type: ignore[override]
        """The quantized weight, integer-valued, shaped as the float one."""
        scale, zero_point = self.qparams()
        column = (-1, *[1] * (self.value.ndim - 1))
        low, high = (torch.as_tensor(bound).to(scale).reshape(column) for bound in _bounds(self.bits, zero_point))
        return quantize_ste(self.value, scale.reshape(column), low, high)

    def frozen(self) -> Weight:
        """Return the integer weight with its current parameters, as the file will hold it."""
        scale, zero_point = self.qparams()
        return Weight(self.bits, self.quantized.detach(), scale.detach().clone(), zero_point)


def _bounds(bits: int, zero_point: Tensor | None) -> tuple[Tensor | float, Tensor | float]:
    if zero_point is None:
        return -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    return -zero_point, 2**bits - 1 - zero_point


class LearnedWeight(TrainedWeight):
    """With learned scales (LSQ), which start at min(2·mean|w| / √qmax, the min/max scale).

    LSQ starts at the former, whose range at many bits is far beyond the largest weight. `shared`: one scale for all
    output channels, else one for each.
    """

    def __init__(self, value: Tensor, start: Weight, *, shared: bool) -> None:
        super().__init__(value, start)
        self.qmax = float(torch.as_tensor(_bounds(start.bits, start.zero_point)[1]).max())
        rows = value.detach().reshape(1 if shared else len(value), -1)
        usual = 2 * rows.abs().mean(1) / math.sqrt(max(self.qmax, 1))
        minmax = start.scale[:1] if shared else start.scale
        self.log_scale = nn.Parameter(torch.minimum(usual, minmax).clamp_min(MIN_SCALE).log())

    def qparams(self) -> tuple[Tensor, Tensor | None]:
        """Return the learned scales; zero points stay as they are."""
        scale = learned_scale(self.log_scale, self.value.numel() // len(self.log_scale), self.qmax)
        return scale.expand(len(self.value)), self.zero_point


class TrackedWeight(TrainedWeight):
    """With the min/max scales and zero points of the weight as it is now."""

    def __init__(self, value: Tensor, bits: int, method: Method) -> None:
        super().__init__(value, minmax_weight(value, bits, method))
        self.method = method

    def qparams(self) -> tuple[Tensor, Tensor | None]:
        """Return the scales and zero points that min/max calibration would choose."""
        minmax = minmax_weight(self.value, self.bits, self.method)
        return minmax.scale, minmax.zero_point


def minmax_weight(value: Tensor, bits: int, method: Method) -> Weight:
    """Return the integer weight of `value` with min/max scales."""
    if method.weight_symmetric:
        return quantize_symmetric(value, absmax_scale(value, bits, method.weight_granularity), bits)
    return quantize_asymmetric(value, bits, method.weight_granularity)
