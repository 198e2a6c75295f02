"""Quantization-aware training: a float model becomes one of quantized layers that can be trained, then a frozen one.

The layers are those of the frozen model; only their weights and quantizers are parameters still. So what is trained
computes just what the file will compute.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from export.core.errors import RequestError
from export.quantization.calibration.assemble import dequantized, freeze, place
from export.quantization.calibration.calibrate import Bits, is_quantized, prepare
from export.quantization.calibration.layer_solver import spanning
from export.quantization.calibration.observers import by_memory, capture
from export.quantization.calibration.qparams import Choices, Chosen
from export.quantization.calibration.scale_search import Loss, factors, search_quantizer
from export.quantization.layers.discovery import Site
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
    spanning_weight,
)


@torch.no_grad()
def trainable(module: nn.Module, recipe: Recipe, images: Tensor) -> nn.Module:
    """Return a copy of a float module with BatchNorm folded and quantized layers in place, ready to be trained.

    `images [n, 3, H, W]` are normalised calibration images, from which the steps of activations start. It stays in
    evaluation mode, which folded BatchNorm needs; `tracking` tells its quantizers that training has begun. Raises
    `RequestError` for a recipe that is no method of training, and what `calibrate` does.
    """
    how = _checked(recipe)
    prepared = prepare(module, how, images)
    wanted = [site for site in prepared.sites if is_quantized(site, prepared.bits)]
    choices = Choices()
    for group in by_memory(prepared.module, wanted, images[:1], len(images), gradient=False):
        seen = capture(prepared.module, group, images, gradient=None, seed=how.calibration.seed)
        for site in group:
            _choose(site, prepared.bits[site.name], how, seen[site.name].inputs, choices)
    for site in wanted:
        place(prepared.module, site.name, choices)
    _require_gradients(prepared.module)
    return prepared.module


def _checked(recipe: Recipe) -> Quantization:
    how = recipe.quantization
    if how is None or not how.method.trains:
        trained = ", ".join(name for name, method in METHODS.items() if method.trains)
        raise RequestError(f"{recipe.name} is no recipe for training", hint=f"methods of training are {trained}")
    if how.activation_bits is not None and how.method.activations not in ("minmax", "percentile"):
        raise RequestError(
            f"{recipe.name}: in training, steps of activations start from minmax or percentile, "
            f"not from {how.method.activations}"
        )
    if how.method.weights == "learned" and how.calibration.metric == "hessian":
        raise RequestError(f"{recipe.name}: learned steps start from metric mse, l1 or cosine, not from hessian")
    return how


def _choose(site: Site, bits: Bits, how: Quantization, inputs: tuple[Tensor, ...], choices: Choices) -> None:
    weight_bits, activation_bits = bits
    quantizers = [None if activation_bits is None else _quantizer(values, activation_bits, how) for values in inputs]
    layer = site.module
    if isinstance(layer, nn.Linear | nn.Conv2d):
        assert weight_bits is not None
        choices.layers[site.name] = Chosen(_weight(layer.weight, weight_bits, how.method), quantizers[0], layer.bias)
    else:
        left, right = quantizers
        assert left is not None and right is not None
        choices.products[site.name] = (left, right)


def _weight(value: Tensor, bits: int, method: Method) -> Weight:
    if method.weights == "tracked":
        return TrackedWeight(value, bits, method)
    return LearnedWeight(value, spanning_weight(value, bits, method), shared=method.weight_granularity == "tensor")


def _quantizer(values: Tensor, bits: int, how: Quantization) -> Quantizer:
    """Return the quantizer of an input; a learned step starts where it errs least on `values`."""
    symmetric = how.method.activation_symmetric
    if how.method.weights == "tracked":
        return TrackedUniform(values, bits, symmetric=symmetric)
    percentile = how.calibration.percentile if how.method.activations == "percentile" else None
    spanned = spanning(values, bits, percentile, symmetric=symmetric)
    zero_point = None if spanned.signed else spanned.zero_point
    found = search_quantizer(
        lambda factor: Uniform(bits, spanned.scale * factor, zero_point),
        lambda quantizer: quantizer(values),
        factors(how.calibration.search_range, how.calibration.candidates),
        Loss(how.calibration.metric, values, None),
    )
    assert isinstance(found, Uniform)
    return LearnedUniform(found)


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
    choices = Choices()
    for name, layer in module.named_modules():
        if isinstance(layer, QuantLinear | QuantConv2d):
            assert isinstance(layer.weight, TrainedWeight)
            choices.layers[name] = Chosen(layer.weight.frozen(), _frozen(layer.input), layer.bias)
        elif isinstance(layer, Product):
            left, right = _frozen(layer.left), _frozen(layer.right)
            if left is not None and right is not None:
                choices.products[name] = (left, right)
    return freeze(dequantized(module), choices)


def _frozen(quantizer: Quantizer | None) -> Uniform | None:
    assert quantizer is None or isinstance(quantizer, TrainedQuantizer)
    return None if quantizer is None else quantizer.frozen()
