"""Quantization parameters of one layer: its integer weight, the quantizers of its inputs, and its corrected bias."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.quantization.calibration.assemble import quantized_layer
from export.quantization.calibration.gptq import gptq, ridge_update
from export.quantization.calibration.observers import Observation, squared_over_channels
from export.quantization.calibration.qparams import LayerQParams
from export.quantization.calibration.scale_search import (
    Loss,
    candidate_factors,
    input_hessian,
    input_rows,
    search_channel_scales,
    search_channel_scales_by_loss,
    search_quantizer,
    search_tensor_scales,
)
from export.quantization.layers.accumulation import BITS_OF_DEPTH_1
from export.quantization.layers.discovery import QuantizableLayer
from export.quantization.layers.modules import Weight
from export.quantization.layers.quantizers import Dynamic, Quantizer, Twin, Uniform
from export.quantization.layers.rounding import MIN_SCALE, absmax_scale, quantize_asymmetric, quantize_symmetric
from export.quantization.methods import Method
from export.quantization.recipes import Quantization

GELU_MINIMUM = 0.16997124254703522  # its magnitude
SOFTMAX_SHIFTS = {"exclusive": range(0, 12), "published": range(0, 20)}  # of the power of two between twin ranges
RIDGE = 1e-2


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
    if method.compensate == "bias":
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
        return _candidate_input_quantizer(problem, values, torch.ones((), device=values.device))
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


def _candidate_input_quantizer(problem: LayerProblem, values: Tensor, factor: Tensor) -> Quantizer:
    """Return a layer's symmetric quantizer, `factor` times the full range; twin where the values come from GELU."""
    assert problem.activation_bits is not None
    bits, half = problem.activation_bits, 2 ** (problem.activation_bits - 1)
    if problem.layer.role != "post_gelu" or problem.method.twin == "none":
        return Uniform(bits, (values.abs().max() / (half - 0.5)).clamp_min(MIN_SCALE) * factor)
    high = (values.max() / (half - 0.5)).clamp_min(MIN_SCALE) * factor
    low = torch.full_like(high, GELU_MINIMUM / half)
    if problem.method.twin == "exclusive":  # the finest power of two below the high scale that still spans the minimum
        low = high * 2.0 ** -(high * half / GELU_MINIMUM).log2().floor().clamp(0, 15)
    return Twin("sign", bits, low, high)


def _search_input_quantizer(problem: LayerProblem, layer: nn.Linear | nn.Conv2d, weight: Weight) -> Quantizer:
    (values,) = problem.observation().inputs
    dequantized = weight.dequantized()
    return search_quantizer(
        lambda factor: _candidate_input_quantizer(problem, values, factor),
        lambda quantizer: _apply(layer, quantizer(values), dequantized, layer.bias),
        problem.candidates(),
        _loss(problem, layer),
    )


def _apply(layer: nn.Linear | nn.Conv2d, values: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return the output with another weight, channels last."""
    if isinstance(layer, nn.Conv2d):
        assert not isinstance(layer.padding, str)
        output = F.conv2d(values, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)  # type: ignore[arg-type]
        return _channels_last(output, layer)
    return F.linear(values, weight, bias)


def _loss(problem: LayerProblem, layer: nn.Module, rows: slice = slice(None), *, per_channel: bool = False) -> Loss:
    """Return the loss of some output channels of a layer with weights, all together or `per_channel`."""
    observation = problem.observation()
    reference = _channels_last(problem.output(), layer)[..., rows]
    gradient = None if observation.gradient is None else _channels_last(observation.gradient, layer)[..., rows]
    keep = reference.ndim - 1 if per_channel else None
    return Loss(problem.quantization.calibration.metric, reference, gradient, keep)


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
    if method.compensate == "ridge" and input is not None:
        target = _compensate_input_error(problem, layer, values)
    if method.weights == "search" and problem.quantization.calibration.metric in ("cosine", "l1"):
        loss = _loss(problem, layer, per_channel=True)
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
    """Return the float weight that, on quantized inputs, gives the float model's output best (ERQ's Aqer)."""
    output = _channels_last(problem.output(), layer).flatten(0, -2)
    target = output if layer.bias is None else output - layer.bias
    change = ridge_update(input_rows(layer, values), target, layer.weight, RIDGE)
    return nn.Parameter(layer.weight + change.reshape(layer.weight.shape), requires_grad=False)


def _search_tensor(problem: LayerProblem, layer: nn.Linear | nn.Conv2d, input: Quantizer | None) -> Tensor:
    """Return `[out]` scales: one for the whole weight, or for each of Wq, Wk and Wv."""
    values = problem.observation().inputs[0] if input is None else input(problem.observation().inputs[0])

    def start(rows: slice) -> Callable[[Weight], Tensor]:
        loss, bias = _loss(problem, layer, rows), None if layer.bias is None else layer.bias[rows]
        return lambda weight: loss(_apply(layer, values, weight.dequantized(), bias))

    groups = 3 if problem.layer.role == "qkv" else 1
    return search_tensor_scales(layer.weight, problem.weight_bits, groups, problem.candidates(), start)


@torch.no_grad()
def choose_product_qparams(problem: LayerProblem) -> tuple[Quantizer, Quantizer]:
    """Return the quantizers of an attention product's operands: one scale per head where they are searched."""
    assert problem.activation_bits is not None
    bits, method, softmax = problem.activation_bits, problem.method, problem.layer.role == "product_av"
    if method.activations == "dynamic":
        right_bits = min(bits, BITS_OF_DEPTH_1) if method.accumulation_depth else bits
        return Dynamic(bits, spread="positive" if softmax else "symmetric"), Dynamic(right_bits, dim=-2)
    if method.activations != "search":
        percentile = problem.quantization.calibration.percentile if method.activations == "percentile" else None
        left, right = problem.inputs()
        choose = partial(range_quantizer, bits=bits, percentile=percentile, symmetric=method.activation_symmetric)
        return choose(left), choose(right)
    left, right = problem.observation().inputs
    left_quantizer: Quantizer | None = None
    right_quantizer: Quantizer | None = None
    for _ in range(problem.quantization.calibration.rounds):
        quantized_right = right if right_quantizer is None else right_quantizer(right)
        if softmax and method.twin != "none":
            left_quantizer = _search_softmax(problem, right if method.twin == "published" else quantized_right)
        else:
            left_quantizer = _search_operand(problem, left, partial(_times, right=quantized_right))
        right_quantizer = _search_operand(problem, right, partial(torch.matmul, left_quantizer(left)))
    assert left_quantizer is not None and right_quantizer is not None
    return left_quantizer, right_quantizer


def _times(left: Tensor, *, right: Tensor) -> Tensor:
    return torch.matmul(left, right)


def _search_operand(problem: LayerProblem, values: Tensor, multiply: Callable[[Tensor], Tensor]) -> Quantizer:
    """Return the quantizer of an operand, one scale per head; `multiply` gives the product with the other one."""
    assert problem.activation_bits is not None
    bits, observation = problem.activation_bits, problem.observation()
    full = (values.abs().amax((0, 2, 3)) / (2 ** (bits - 1) - 0.5)).clamp_min(MIN_SCALE)
    return search_quantizer(
        lambda factor: Uniform(bits, (full * factor)[:, None, None]),
        lambda quantizer: multiply(quantizer(values)),
        problem.candidates(),
        Loss(problem.quantization.calibration.metric, problem.output(), observation.gradient, keep=1),
    )


def _search_softmax(problem: LayerProblem, right: Tensor) -> Quantizer:
    """Return the twin quantizer of attention's probabilities, one for all heads (PTQ4ViT, section 3.2)."""
    assert problem.activation_bits is not None
    bits, observation, twin = problem.activation_bits, problem.observation(), problem.method.twin
    left = observation.inputs[0]
    high = torch.tensor(1 / (2 ** (bits - 1) - 1), device=left.device)
    kind = "overlap" if twin == "published" else "magnitude"
    return search_quantizer(
        lambda split: Twin(kind, bits, high * split, high),
        lambda quantizer: torch.matmul(quantizer(left), right),
        [2.0**-shift for shift in SOFTMAX_SHIFTS[twin]],
        Loss(problem.quantization.calibration.metric, problem.output(), observation.gradient),
    )
