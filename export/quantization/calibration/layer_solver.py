"""Quantization parameters of one layer: its integer weight, the quantizers of its inputs, and its corrected bias."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.quantization.calibration.assemble import quantized_layer
from export.quantization.calibration.gptq import fit, gptq, ridge_update
from export.quantization.calibration.observers import Observation, squared_over_channels
from export.quantization.calibration.qparams import LayerQParams
from export.quantization.calibration.search.row_search import Target, search_rows, take_rows
from export.quantization.calibration.search.scale_search import (
    Loss,
    candidate_factors,
    input_hessian,
    input_rows,
    search_channel_scales,
    search_channel_scales_by_loss,
)
from export.quantization.layers.discovery import QuantizableLayer
from export.quantization.layers.modules import Weight
from export.quantization.layers.quantizers import Dynamic, Quantizer, Twin, Uniform
from export.quantization.layers.rounding import MIN_SCALE, absmax_scale, quantize_asymmetric, quantize_symmetric
from export.quantization.methods import Method
from export.quantization.recipes import Quantization

GELU_MINIMUM = 0.16997124254703522  # its magnitude
RIDGE = 1e-2
LEAST_IMPORTANCE = 1e-3  # of the mean: no row counts for nothing


@dataclass(frozen=True)
class LayerProblem:
    """A layer to be quantized, how, and what was observed of it.

    `of_float` was observed in the float model; `of_quantized` in the model whose layers before this one are quantized,
    or the same object for methods that calibrate all layers independently. Both are None where nothing is observed.
    """

    layer: QuantizableLayer
    quantization: Quantization
    weight_bits: int
    activation_bits: int | None
    of_float: Observation | None
    of_quantized: Observation | None

    @property
    def method(self) -> Method:
        """The quantization method."""
        return self.quantization.method

    def observation(self) -> Observation:
        """Return the observation of the float model; only methods that calibrate ask for it."""
        assert self.of_float is not None
        return self.of_float

    def output(self) -> Tensor:
        """Return the output of the float model."""
        output = self.observation().output
        assert output is not None
        return output

    def sensitivity(self) -> Tensor | None:
        """Return the mean squared gradient of the output's channels by position, None where no gradient is used."""
        observation = self.observation()
        if observation.sensitivity is not None or observation.gradient is None:
            return observation.sensitivity
        return squared_over_channels(self.layer.module, observation.gradient)

    def inputs(self) -> tuple[Tensor, ...]:
        """Return the inputs as they are once the layers before are quantized."""
        return (self.of_quantized or self.observation()).inputs

    def candidates(self) -> list[float]:
        """Return the candidate scales of a search, as factors of the full range's scale."""
        calibration = self.quantization.calibration
        return candidate_factors(calibration.search_range, calibration.candidates)


@torch.no_grad()
def choose_layer_qparams(problem: LayerProblem) -> LayerQParams:
    """Return the quantization parameters of a Linear or Conv2d."""
    layer, method = problem.layer.module, problem.method
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    rounds = problem.quantization.calibration.rounds if "search" in (method.weights, method.activations) else 1
    input = _initial_input_quantizer(problem)
    weight = None
    for _ in range(rounds):
        weight = _quantize_weight(problem, layer, input)
        if method.activations == "search" and problem.activation_bits is not None:
            input = _search_input_quantizer(problem, layer, weight)
    assert weight is not None
    bias = layer.bias
    if method.compensate in ("bias", "regression"):
        error = problem.output() - quantized_layer(layer, weight, bias, input)(problem.inputs()[0])
        mean = error.mean((0, 2, 3)) if isinstance(layer, nn.Conv2d) else error.flatten(0, -2).mean(0)
        bias = mean if bias is None else bias + mean
    return LayerQParams(weight, input, bias)


def _initial_input_quantizer(problem: LayerProblem) -> Quantizer | None:
    """Return the input's quantizer, or for a search its first one: that of the full range."""
    bits, method = problem.activation_bits, problem.method
    if bits is None:
        return None
    if method.activations == "dynamic":
        return Dynamic(bits, dim=None) if isinstance(problem.layer.module, nn.Conv2d) else Dynamic(bits, spread="range")
    (values,) = problem.inputs()
    if method.activations == "search":
        return _input_candidates(problem, values)(torch.ones((), device=values.device))
    percentile = problem.quantization.calibration.percentile if method.activations == "percentile" else None
    return range_quantizer(values, bits, percentile, symmetric=method.activation_symmetric)


def range_quantizer(values: Tensor, bits: int, percentile: float | None, *, symmetric: bool) -> Uniform:
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
        return Uniform(bits, (torch.maximum(-low, high) / (2 ** (bits - 1) - 1)).clamp_min(MIN_SCALE))
    scale = ((high - low) / (2**bits - 1)).clamp_min(MIN_SCALE)
    return Uniform(bits, scale, (-low / scale).round())


def _input_candidates(problem: LayerProblem, values: Tensor) -> Callable[[Tensor], Quantizer]:
    """Return what makes a layer's symmetric quantizer, of a factor of the full range; twin where values are GELU's."""
    assert problem.activation_bits is not None
    bits, half = problem.activation_bits, 2 ** (problem.activation_bits - 1)
    if problem.layer.role != "post_gelu" or problem.method.twin_gelu == "none":
        full = (values.abs().max() / (half - 0.5)).clamp_min(MIN_SCALE)
        return lambda factor: Uniform(bits, full * factor)
    full = (values.max() / (half - 0.5)).clamp_min(MIN_SCALE)

    def twin(factor: Tensor) -> Twin:
        high = full * factor
        low = torch.full_like(high, GELU_MINIMUM / half)
        if problem.method.twin_gelu == "exclusive":  # the finest power of two below it that still spans the minimum
            low = high * 2.0 ** -(high * half / GELU_MINIMUM).log2().floor().clamp(0, 15)
        return Twin("sign", bits, low, high)

    return twin


def _search_input_quantizer(problem: LayerProblem, layer: nn.Linear | nn.Conv2d, weight: Weight) -> Quantizer:
    values, dequantized = _rows(problem.observation().inputs[0], layer), weight.dequantized()

    def start(rows: Tensor | None) -> Callable[[Quantizer], Tensor]:
        chosen = take_rows(values, rows)
        return lambda quantizer: _apply(layer, quantizer(chosen), dequantized, layer.bias)

    make = _input_candidates(problem, values)
    return make(search_rows(make, start, problem.candidates(), _target(problem, layer)))


def _rows(values: Tensor, layer: nn.Module) -> Tensor:
    """Return a linear layer's values as rows, `[rows, …]`; a convolution's rows are its images."""
    return values if isinstance(layer, nn.Conv2d) else values.flatten(0, -2)


def _target(problem: LayerProblem, layer: nn.Module, channels: slice = slice(None)) -> Target:
    """Return what some output channels of a layer with weights are compared with."""
    observation = problem.observation()
    reference, gradient = (
        None if values is None else _rows(_channels_last(values, layer)[..., channels], layer)
        for values in (problem.output(), observation.gradient)
    )
    assert reference is not None
    return Target(problem.quantization.calibration.metric, reference, gradient)


def _apply(layer: nn.Linear | nn.Conv2d, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the output with another weight, channels last."""
    if isinstance(layer, nn.Conv2d):
        assert not isinstance(layer.padding, str)
        output = F.conv2d(values, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)  # type: ignore[arg-type]
        return _channels_last(output, layer)
    return F.linear(values, weight, bias)


def _channel_loss(problem: LayerProblem, layer: nn.Module) -> Loss:
    """Return the loss of each output channel of a layer with weights."""
    observation = problem.observation()
    reference = _channels_last(problem.output(), layer)
    gradient = None if observation.gradient is None else _channels_last(observation.gradient, layer)
    return Loss(problem.quantization.calibration.metric, reference, gradient, reference.ndim - 1)


def _channels_last(output: Tensor, layer: nn.Module) -> Tensor:
    """Return a convolution's output with its channels last, as a linear layer has them."""
    return output.permute(0, 2, 3, 1) if isinstance(layer, nn.Conv2d) else output


def _quantize_weight(problem: LayerProblem, layer: nn.Linear | nn.Conv2d, input: Quantizer | None) -> Weight:
    method, bits = problem.method, problem.weight_bits
    if method.weights == "max":
        if not method.weight_symmetric:
            return quantize_asymmetric(layer.weight, bits, method.weight_granularity)
        return quantize_symmetric(layer.weight, absmax_scale(layer.weight, bits, method.weight_granularity), bits)
    if method.weights == "search" and method.weight_granularity == "tensor":
        return quantize_symmetric(layer.weight, _search_tensor(problem, layer, input), bits)
    values = problem.inputs()[0] if input is None else input(problem.inputs()[0])
    target = layer.weight
    if method.compensate in ("ridge", "regression") and input is not None:
        target = _compensate_input_error(problem, layer, values)
    if method.weights == "search" and problem.quantization.calibration.metric in ("cosine", "l1"):
        loss = _channel_loss(problem, layer)
        scale = search_channel_scales_by_loss(
            layer.weight,
            bits,
            problem.candidates(),
            lambda weight: loss(_apply(layer, values, weight.dequantized(), layer.bias)),
        )
        return quantize_symmetric(layer.weight, scale, bits)
    hessian = input_hessian(layer, values, problem.sensitivity())
    scale = search_channel_scales(target, hessian, bits, problem.candidates())
    if method.weights != "gptq":
        return quantize_symmetric(target, scale, bits)
    depth = 0 if input is None else method.accumulation_depth
    return gptq(target, hessian, scale, bits, accumulation_depth=depth)


def _compensate_input_error(problem: LayerProblem, layer: nn.Linear | nn.Conv2d, values: Tensor) -> nn.Parameter:
    """Return the float weight that, on quantized inputs, gives the best outputs.

    The best are those of the float model (ERQ's Aqer), or by regression those that the same inputs give unquantized.
    """
    rows = input_rows(layer, values)
    if problem.method.compensate == "regression":
        target = input_rows(layer, problem.inputs()[0]) @ layer.weight.flatten(1).T
        found = fit(rows, target, layer.weight, _importance(problem, len(rows)))
    else:
        output = _channels_last(problem.output(), layer).flatten(0, -2)
        target = output if layer.bias is None else output - layer.bias
        found = layer.weight + ridge_update(rows, target, layer.weight, RIDGE).reshape(layer.weight.shape)
    return nn.Parameter(found.reshape(layer.weight.shape), requires_grad=False)


def _importance(problem: LayerProblem, count: int) -> Tensor:
    """Return how much each of `count` rows of the output matters: its sensitivity, where that is known."""
    sensitivity = problem.sensitivity()
    if sensitivity is None:
        return problem.output().new_ones(count)
    return sensitivity.flatten() + LEAST_IMPORTANCE * sensitivity.mean().clamp_min(MIN_SCALE)


def _search_tensor(problem: LayerProblem, layer: nn.Linear | nn.Conv2d, input: Quantizer | None) -> Tensor:
    """Return `[out]` scales: one for the whole weight or each of Wq, Wk and Wv, or for each group of its rows."""
    (observed,) = problem.observation().inputs
    values = _rows(observed if input is None else input(observed), layer)
    parts = layer.weight.detach().chunk(3 if problem.layer.role == "qkv" else 1)
    groups = [group for part in parts for group in part.chunk(problem.method.weight_groups)]
    scales, first = [], 0
    for group in groups:
        scales.append(_search_group(problem, layer, values, group, slice(first, first + len(group))))
        first += len(group)
    return torch.cat(scales)


def _search_group(
    problem: LayerProblem, layer: nn.Linear | nn.Conv2d, values: Tensor, weight: Tensor, channels: slice
) -> Tensor:
    """Return the scale of some output channels, once for each; `weight` is theirs."""
    bits, bias = problem.weight_bits, None if layer.bias is None else layer.bias[channels]
    full = (weight.abs().max() / (2 ** (bits - 1) - 0.5)).clamp_min(MIN_SCALE)

    def make(factor: Tensor) -> Weight:
        return quantize_symmetric(weight, (full * factor).expand(len(weight)), bits)

    def start(rows: Tensor | None) -> Callable[[Weight], Tensor]:
        chosen = take_rows(values, rows)
        return lambda candidate: _apply(layer, chosen, candidate.dequantized(), bias)

    scale: Tensor = full * search_rows(make, start, problem.candidates(), _target(problem, layer, channels))
    return scale.expand(len(weight))
