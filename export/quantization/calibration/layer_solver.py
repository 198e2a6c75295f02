"""The numbers of one layer: the scale of its weight, the quantizers of its inputs, and what makes up for the rest."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.quantization.calibration.assemble import build
from export.quantization.calibration.gptq import gptq, ridge_step
from export.quantization.calibration.observers import Observed
from export.quantization.calibration.qparams import Chosen
from export.quantization.calibration.scale_search import (
    Loss,
    factors,
    gram,
    rows_of,
    search_channels,
    search_quantizer,
    search_rows,
    search_tensor,
)
from export.quantization.layers.accumulation import BITS_WITH_ROOM
from export.quantization.layers.discovery import Site
from export.quantization.layers.modules import Weight
from export.quantization.layers.quantizers import Dynamic, Quantizer, Twin, Uniform
from export.quantization.layers.rounding import TINY, largest_scale, round_weight, round_weight_asymmetric
from export.quantization.methods import Method
from export.quantization.recipes import Quantization

GELU_LEAST = 0.16997124254703522  # minus the least value of GELU
SOFTMAX_SHIFTS = {"exclusive": range(0, 12), "published": range(0, 20)}  # of the power of two between twin ranges
RIDGE = 1e-2


@dataclass(frozen=True)
class Job:
    """A layer to be quantized: what it saw in the float model, and what it sees when the layers before it are rounded.

    The two are the same object for methods that treat all layers apart.
    """

    site: Site
    how: Quantization
    weight_bits: int
    activation_bits: int | None
    seen: Observed | None
    rounded: Observed | None

    @property
    def method(self) -> Method:
        """The steps to take."""
        return self.how.method

    def observed(self) -> Observed:
        """Return what the layer saw; only methods that calibrate ask."""
        assert self.seen is not None
        return self.seen

    def candidates(self) -> list[float]:
        """Return the factors to try."""
        return factors(self.how.calibration.search_range, self.how.calibration.candidates)


@torch.no_grad()
def choose_layer(job: Job) -> Chosen:
    """Return the numbers of a Linear or Conv2d."""
    layer = job.site.module
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    rounds = job.how.calibration.rounds if "search" in (job.method.weights, job.method.activations) else 1
    input = _first_quantizer(job)
    weight = None
    for _ in range(rounds):
        weight = _choose_weight(job, layer, input)
        if job.method.activations == "search" and job.activation_bits is not None:
            input = _search_input(job, layer, weight)
    assert weight is not None
    bias = layer.bias
    if job.method.compensate == "bias":
        assert job.rounded is not None
        error = job.observed().output - build(layer, weight, bias, input)(job.rounded.inputs[0])
        mean = error.mean((0, 2, 3)) if isinstance(layer, nn.Conv2d) else error.flatten(0, -2).mean(0)
        bias = mean if bias is None else bias + mean
    return Chosen(weight, input, bias)


def _first_quantizer(job: Job) -> Quantizer | None:
    """Return the input's quantizer, or for a search its start: the whole range."""
    if job.activation_bits is None:
        return None
    if job.method.activations == "dynamic":
        if isinstance(job.site.module, nn.Conv2d):
            return Dynamic(job.activation_bits, dim=None)
        return Dynamic(job.activation_bits, spread="range")
    source = job.rounded or job.observed()
    if job.method.activations == "search":
        return _candidate_input(job, source.inputs[0], torch.ones((), device=source.output.device))
    percentile = job.how.calibration.percentile if job.method.activations == "percentile" else None
    return spanning(source.inputs[0], job.activation_bits, percentile, symmetric=job.method.activation_symmetric)


def spanning(values: Tensor, bits: int, percentile: float | None, *, symmetric: bool) -> Uniform:
    """Return the quantizer whose range spans the values and 0, or with `percentile` all but the most extreme.

    `percentile` is a share in percent, 99.999 for instance: that of values below the upper end and, mirrored, above
    the lower one.
    """
    if percentile is None:
        low, high = values.min(), values.max()
    else:
        flat = values.flatten()
        beyond = int(flat.numel() * (1 - percentile / 100))
        low, high = flat.kthvalue(beyond + 1).values, flat.kthvalue(flat.numel() - beyond).values
    low, high = low.clamp_max(0), high.clamp_min(0)
    if symmetric:
        return Uniform(bits, (torch.maximum(-low, high) / (2 ** (bits - 1) - 1)).clamp_min(TINY))
    scale = ((high - low) / (2**bits - 1)).clamp_min(TINY)
    return Uniform(bits, scale, (-low / scale).round())


def _candidate_input(job: Job, values: Tensor, factor: Tensor) -> Quantizer:
    """Return a layer's symmetric quantizer, `factor` times the whole range; twin where the values come from GELU."""
    assert job.activation_bits is not None
    levels = 2 ** (job.activation_bits - 1)
    if job.site.role != "post_gelu" or job.method.twin == "none":
        return Uniform(job.activation_bits, (values.abs().max() / (levels - 0.5)).clamp_min(TINY) * factor)
    high = (values.max() / (levels - 0.5)).clamp_min(TINY) * factor
    low = torch.full_like(high, GELU_LEAST / levels)
    if job.method.twin == "exclusive":  # the finest power of two below the high step that still spans GELU's dip
        low = high * 2.0 ** -(high * levels / GELU_LEAST).log2().floor().clamp(0, 15)
    return Twin("sign", job.activation_bits, low, high)


def _search_input(job: Job, layer: nn.Linear | nn.Conv2d, weight: Weight) -> Quantizer:
    (values,) = job.observed().inputs
    fixed = weight.dequantized()
    return search_quantizer(
        lambda factor: _candidate_input(job, values, factor),
        lambda quantizer: _apply(layer, quantizer(values), fixed, layer.bias),
        job.candidates(),
        _loss(job, layer),
    )


def _apply(layer: nn.Linear | nn.Conv2d, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the output with another weight, channels last."""
    if isinstance(layer, nn.Conv2d):
        assert not isinstance(layer.padding, str)
        found = F.conv2d(values, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)  # type: ignore[arg-type]
        return _last_channels(found, layer)
    return F.linear(values, weight, bias)


def _loss(job: Job, layer: nn.Module, rows: slice = slice(None), *, keep: bool = False) -> Loss:
    """Return the loss of some output channels of a layer with weights, all together or, with `keep`, each apart."""
    seen = job.observed()
    reference = _last_channels(seen.output, layer)[..., rows]
    gradient = None if seen.gradient is None else _last_channels(seen.gradient, layer)[..., rows]
    return Loss(job.how.calibration.metric, reference, gradient, reference.ndim - 1 if keep else None)


def _last_channels(output: Tensor, layer: nn.Module) -> Tensor:
    """Return a convolution's output with its channels last, as a linear layer has them."""
    return output.permute(0, 2, 3, 1) if isinstance(layer, nn.Conv2d) else output


def _choose_weight(job: Job, layer: nn.Linear | nn.Conv2d, input: Quantizer | None) -> Weight:
    method, bits = job.method, job.weight_bits
    if method.weights == "max":
        if not method.weight_symmetric:
            return round_weight_asymmetric(layer.weight, bits, method.weight_granularity)
        return round_weight(layer.weight, largest_scale(layer.weight, bits, method.weight_granularity), bits)
    if method.weights == "search" and method.weight_granularity == "tensor":
        return round_weight(layer.weight, _search_tensor(job, layer, input), bits)
    source = job.rounded or job.observed()
    values = source.inputs[0] if input is None else input(source.inputs[0])
    target = layer.weight
    if method.compensate == "ridge" and input is not None:
        rows = _last_channels(job.observed().output, layer).flatten(0, -2)
        wanted = rows if layer.bias is None else rows - layer.bias
        change = ridge_step(rows_of(layer, values), wanted, layer.weight, RIDGE)
        target = nn.Parameter(layer.weight + change.reshape(layer.weight.shape), requires_grad=False)
    if method.weights == "search" and job.how.calibration.metric in ("cosine", "l1"):
        own = _loss(job, layer, keep=True)
        scale = search_rows(
            layer.weight,
            bits,
            job.candidates(),
            lambda weight: own(_apply(layer, values, weight.dequantized(), layer.bias)),
        )
        return round_weight(layer.weight, scale, bits)
    curvature = gram(layer, values, job.observed().gradient)
    scale = search_channels(target, curvature, bits, job.candidates())
    if method.weights != "gptq":
        return round_weight(target, scale, bits)
    return gptq(target, curvature, scale, bits, run=0 if input is None else method.run)


def _search_tensor(job: Job, layer: nn.Linear | nn.Conv2d, input: Quantizer | None) -> Tensor:
    """Return `[out]` scales: one for the whole weight, or for each of Wq, Wk and Wv."""
    values = job.observed().inputs[0] if input is None else input(job.observed().inputs[0])

    def start(rows: slice) -> Callable[[Weight], Tensor]:
        loss, bias = _loss(job, layer, rows), None if layer.bias is None else layer.bias[rows]
        return lambda weight: loss(_apply(layer, values, weight.dequantized(), bias))

    groups = 3 if job.site.role == "qkv" else 1
    return search_tensor(layer.weight, job.weight_bits, groups, job.candidates(), start)


@torch.no_grad()
def choose_product(job: Job) -> tuple[Quantizer, Quantizer]:
    """Return the quantizers of an attention product's operands: one scale per head where they are searched."""
    assert job.activation_bits is not None
    bits, method, softmax = job.activation_bits, job.method, job.site.role == "product_av"
    if method.activations == "dynamic":
        as_weights = Dynamic(min(bits, BITS_WITH_ROOM) if method.run else bits, dim=-2)
        return Dynamic(bits, spread="positive" if softmax else "symmetric"), as_weights
    if method.activations != "search":
        percentile = job.how.calibration.percentile if method.activations == "percentile" else None
        left, right = (job.rounded or job.observed()).inputs
        range_of = partial(spanning, bits=bits, percentile=percentile, symmetric=method.activation_symmetric)
        return range_of(left), range_of(right)
    left, right = job.observed().inputs
    first: Quantizer | None = None
    second: Quantizer | None = None
    for _ in range(job.how.calibration.rounds):
        rounded_right = right if second is None else second(right)
        if softmax and method.twin != "none":
            first = _search_softmax(job, right if method.twin == "published" else rounded_right)
        else:
            first = _search_operand(job, left, partial(_right_times, rounded_right))
        second = _search_operand(job, right, partial(torch.matmul, first(left)))
    assert first is not None and second is not None
    return first, second


def _right_times(right: Tensor, left: Tensor) -> Tensor:
    return torch.matmul(left, right)


def _search_operand(job: Job, values: Tensor, multiply: Callable[[Tensor], Tensor]) -> Quantizer:
    """Return the quantizer of an operand, one scale per head; `multiply` gives the product with the other one."""
    assert job.activation_bits is not None
    bits, seen = job.activation_bits, job.observed()
    full = (values.abs().amax((0, 2, 3)) / (2 ** (bits - 1) - 0.5)).clamp_min(TINY)
    return search_quantizer(
        lambda factor: Uniform(bits, (full * factor)[:, None, None]),
        lambda quantizer: multiply(quantizer(values)),
        job.candidates(),
        Loss(job.how.calibration.metric, seen.output, seen.gradient, keep=1),
    )


def _search_softmax(job: Job, right: Tensor) -> Quantizer:
    """Return the twin quantizer of attention's probabilities, one for all heads (PTQ4ViT, section 3.2)."""
    assert job.activation_bits is not None
    bits, seen, twin = job.activation_bits, job.observed(), job.method.twin
    left = seen.inputs[0]
    high = torch.tensor(1 / (2 ** (bits - 1) - 1), device=left.device)
    kind = "overlap" if twin == "published" else "magnitude"
    return search_quantizer(
        lambda split: Twin(kind, bits, high * split, high),
        lambda quantizer: torch.matmul(quantizer(left), right),
        [2.0**-shift for shift in SOFTMAX_SHIFTS[twin]],
        Loss(job.how.calibration.metric, seen.output, seen.gradient),
    )
