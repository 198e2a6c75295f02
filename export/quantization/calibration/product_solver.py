"""The operands of attention's two products: their quantizers, one scale per head where they are searched."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from export.quantization.calibration.layer_solver import LayerProblem, range_quantizer
from export.quantization.calibration.search.row_search import Target, search_rows, take_rows
from export.quantization.layers.accumulation import BITS_OF_DEPTH_1
from export.quantization.layers.quantizers import Dynamic, Quantizer, Twin, Uniform
from export.quantization.layers.rounding import MIN_SCALE

SOFTMAX_SHIFTS = {"exclusive": range(0, 12), "published": range(0, 20)}  # of the power of two between twin ranges


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
        if softmax and method.twin_softmax != "none":
            left_quantizer = _search_softmax(problem, right if method.twin_softmax == "published" else quantized_right)
        else:
            left_quantizer = _search_operand(problem, left, partial(_start_left, left, quantized_right))
        right_quantizer = _search_operand(problem, right, partial(_start_right, left_quantizer(left), right))
    assert left_quantizer is not None and right_quantizer is not None
    return left_quantizer, right_quantizer


def _start_left(left: Tensor, right: Tensor, rows: Tensor | None) -> Callable[[Quantizer], Tensor]:
    """Return the function from a quantizer of the left operand to some rows of the product."""
    chosen = take_rows(left, rows)
    return lambda quantizer: torch.matmul(quantizer(chosen), right)


def _start_right(left: Tensor, right: Tensor, rows: Tensor | None) -> Callable[[Quantizer], Tensor]:
    """Return the function from a quantizer of the right operand to some rows of the product."""
    chosen = take_rows(left, rows)
    return lambda quantizer: torch.matmul(chosen, quantizer(right))


def _search_operand(
    problem: LayerProblem, values: Tensor, start: Callable[[Tensor | None], Callable[[Quantizer], Tensor]]
) -> Quantizer:
    """Return the quantizer of an operand, one scale per head; `start` is one of the two above."""
    assert problem.activation_bits is not None
    bits, observation = problem.activation_bits, problem.observation()
    full = (values.abs().amax((0, 2, 3)) / (2 ** (bits - 1) - 0.5)).clamp_min(MIN_SCALE)

    def make(factor: Tensor) -> Quantizer:
        return Uniform(bits, (full * factor)[:, None, None])

    metric = problem.quantization.calibration.metric
    target = Target(metric, problem.output(), observation.gradient, keep=1, product=True)
    return make(search_rows(make, start, problem.candidates(), target))


def _search_softmax(problem: LayerProblem, right: Tensor) -> Quantizer:
    """Return the twin quantizer of attention's probabilities, one for all heads (PTQ4ViT, section 3.2)."""
    assert problem.activation_bits is not None
    bits, observation, twin = problem.activation_bits, problem.observation(), problem.method.twin_softmax
    left = observation.inputs[0]
    high = torch.tensor(1 / (2 ** (bits - 1) - 1), device=left.device)
    kind = "overlap" if twin == "published" else "magnitude"

    def make(split: Tensor) -> Quantizer:
        return Twin(kind, bits, high * split, high)

    splits = [2.0**-shift for shift in SOFTMAX_SHIFTS[twin]]
    target = Target(problem.quantization.calibration.metric, problem.output(), observation.gradient, product=True)
    return make(search_rows(make, partial(_start_left, left, right), splits, target))
