"""Quantization-aware training (QAT): a float model prepared for training with fake quantization, then frozen.

The layers are those of the frozen model, with trainable weights and quantizers: training computes just what the file
will compute.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from export.core.errors import RequestError
from export.quantization.calibration.assemble import dequantized, freeze, replace_layer
from export.quantization.calibration.layer_solver import range_quantizer
from export.quantization.calibration.observers import group_by_memory, observe
from export.quantization.calibration.prepare import Bits, is_quantized, prepare
from export.quantization.calibration.qparams import LayerQParams, ModelQParams
from export.quantization.calibration.search.scale_search import Loss, candidate_factors, search_quantizer
from export.quantization.layers.discovery import QuantizableLayer
from export.quantization.layers.modules import Product, QuantConv2d, QuantLinear, Weight
from export.quantization.layers.quantizers import Quantizer, Uniform
from export.quantization.methods import METHODS, Method
from export.quantization.recipes import Quantization, Recipe
from export.quantization.training.fake_quantize import (
    LearnedUniform,
    LearnedWeight,
    TrackedUniform,
    TrackedWeight,
    TrainedQuantizer,
    TrainedWeight,
    minmax_weight,
)


@torch.no_grad()
def trainable(module: nn.Module, recipe: Recipe, images: Tensor) -> nn.Module:
    """Return a copy of a float module with BatchNorm folded and fake-quantized layers, ready to be trained.

    `images [n, 3, H, W]` are normalised calibration images, from which the scales of activations start. It stays in
    evaluation mode, which folded BatchNorm needs; `tracking` tells its quantizers that training has begun. Raises
    `RequestError` for a recipe that is no method of training, and what `calibrate` does.
    """
    quantization = _checked(recipe)
    prepared = prepare(module, quantization, images)
    layers = [layer for layer in prepared.layers if is_quantized(layer, prepared.bits)]
    qparams = ModelQParams()
    for group in group_by_memory(prepared.module, layers, images[:1], len(images), gradient=False):
        observations = observe(prepared.module, group, images, gradient=None, seed=quantization.calibration.seed)
        for layer in group:
            _add_qparams(layer, prepared.bits[layer.name], quantization, observations[layer.name].inputs, qparams)
    for layer in layers:
        replace_layer(prepared.module, layer.name, qparams)
    _require_gradients(prepared.module)
    return prepared.module


def _checked(recipe: Recipe) -> Quantization:
    quantization = recipe.quantization
    if quantization is None or not quantization.method.trains:
        trained = ", ".join(name for name, method in METHODS.items() if method.trains)
        raise RequestError(f"{recipe.name} is not a training recipe", hint=f"training methods: {trained}")
    if quantization.activation_bits is not None and quantization.method.activations not in ("minmax", "percentile"):
        raise RequestError(
            f"{recipe.name}: in training, activation scales start from minmax or percentile, "
            f"not from {quantization.method.activations}",
            hint="choose one of these with a recipe file, or another method",
        )
    if quantization.method.weights == "learned" and quantization.calibration.metric == "hessian":
        raise RequestError(
            f"{recipe.name}: learned scales start from the metric mse, l1 or cosine, not hessian",
            hint="choose one of these with --metric",
        )
    return quantization


def _add_qparams(
    layer: QuantizableLayer, bits: Bits, quantization: Quantization, inputs: tuple[Tensor, ...], qparams: ModelQParams
) -> None:
    weight_bits, activation_bits = bits
    quantizers = [
        None if activation_bits is None else _quantizer(values, activation_bits, quantization) for values in inputs
    ]
    module = layer.module
    if isinstance(module, nn.Linear | nn.Conv2d):
        assert weight_bits is not None
        weight = _weight(module.weight, weight_bits, quantization.method)
        qparams.layers[layer.name] = LayerQParams(weight, quantizers[0], module.bias)
    else:
        left, right = quantizers
        assert left is not None and right is not None
        qparams.products[layer.name] = (left, right)


def _weight(value: Tensor, bits: int, method: Method) -> Weight:
    if method.weights == "tracked":
        return TrackedWeight(value, bits, method)
    return LearnedWeight(value, minmax_weight(value, bits, method), shared=method.weight_granularity == "tensor")


def _quantizer(values: Tensor, bits: int, quantization: Quantization) -> Quantizer:
    """Return the quantizer of an input; a learned scale starts where the error of `values` is least."""
    method, calibration = quantization.method, quantization.calibration
    if method.weights == "tracked":
        return TrackedUniform(values, bits, symmetric=method.activation_symmetric)
    percentile = calibration.percentile if method.activations == "percentile" else None
    full = range_quantizer(values, bits, percentile, symmetric=method.activation_symmetric)
    zero_point = None if full.signed else full.zero_point
    start = search_quantizer(
        lambda factor: Uniform(bits, full.scale * factor, zero_point),
        lambda quantizer: quantizer(values),
        candidate_factors(calibration.search_range, calibration.candidates),
        Loss(calibration.metric, values, None),
    )
    assert isinstance(start, Uniform)
    return LearnedUniform(start)


def _require_gradients(module: nn.Module) -> None:
    """Let everything be trained but BatchNorm that was folded: as the file has it, it passes its input through."""
    module.eval().requires_grad_(True)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.eps == 0:
            layer.requires_grad_(False)


@contextmanager
def tracking(module: nn.Module) -> Iterator[None]:
    """Let the tracked ranges of a `trainable` module widen within the block."""
    quantizers = [layer for layer in module.modules() if isinstance(layer, TrackedUniform)]
    for quantizer in quantizers:
        quantizer.train()
    try:
        yield
    finally:
        for quantizer in quantizers:
            quantizer.eval()


@torch.no_grad()
def freeze_trained(module: nn.Module) -> nn.Module:
    """Return the quantized module that a `trainable` one has become, its float rest as the file will hold it (F16).

    But for that rounding of the rest to F16 it computes the same as `module`, bit for bit.
    """
    qparams = ModelQParams()
    for name, layer in module.named_modules():
        if isinstance(layer, QuantLinear | QuantConv2d):
            assert isinstance(layer.weight, TrainedWeight)
            qparams.layers[name] = LayerQParams(layer.weight.frozen(), _frozen(layer.input), layer.bias)
        elif isinstance(layer, Product):
            left, right = _frozen(layer.left), _frozen(layer.right)
            if left is not None and right is not None:
                qparams.products[name] = (left, right)
    return freeze(dequantized(module), qparams)


def _frozen(quantizer: Quantizer | None) -> Uniform | None:
    assert quantizer is None or isinstance(quantizer, TrainedQuantizer)
    return None if quantizer is None else quantizer.frozen()
