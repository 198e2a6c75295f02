"""From a float model and a recipe to a quantized one: fold, observe, choose qparams, round, compensate the error."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, nn

from export.core.errors import RequestError
from export.quantization.calibration.assemble import freeze, replace_layer
from export.quantization.calibration.equalization import equalize, find_pairs, layernorm_factors, smooth_factors
from export.quantization.calibration.layer_solver import LayerProblem, choose_layer_qparams, choose_product_qparams
from export.quantization.calibration.observers import Observation, group_by_block, group_by_memory, observe
from export.quantization.calibration.qparams import CalibrationCheckpoint, ModelQParams
from export.quantization.layers.discovery import (
    PRODUCTS,
    QuantizableLayer,
    decompose_attention,
    find_quantizable_layers,
    fold_batch_norm,
)
from export.quantization.recipes import Quantization, Recipe

Bits = tuple[int | None, int | None]  # of weights and of activations; None stays in float
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class PreparedModel:
    """A float model ready for calibration: attention decomposed, BatchNorm folded, ranges equalized, bits assigned.

    `bits` are those of `layers`, by name, of weights and of activations.
    """

    module: nn.Module
    layers: list[QuantizableLayer]
    bits: dict[str, Bits]


def calibrate(
    module: nn.Module,
    recipe: Recipe,
    images: Tensor,
    *,
    features: bool = False,
    tell: Tell = lambda done, total, name: None,
    checkpoint: CalibrationCheckpoint | None = None,
) -> nn.Module:
    """Return the quantized copy of a float module, in evaluation mode on its device.

    `images [n, 3, H, W]` are normalised calibration images on the same device; `features` says that the outputs are
    an embedding. `tell` is called after every layer. An interrupted calibration is resumed from its `checkpoint`.
    Raises `RequestError` for a rule that matches no layer, `ConversionError` when the method does not fit the model.
    """
    quantization = recipe.quantization
    assert quantization is not None
    if quantization.method.trains:
        raise RequestError(
            f"{recipe.name}: {quantization.method.name} is a method of training (QAT), not of calibration (PTQ)",
            hint=f"run: python -m export.train --qat {recipe.name}",
        )
    prepared = prepare(module, quantization, images)
    qparams = checkpoint.read() if checkpoint else ModelQParams()
    layers = [layer for layer in prepared.layers if is_quantized(layer, prepared.bits)]
    groups, working = _groups(prepared, layers, quantization, images)
    done = 0
    for group in groups:
        todo = [layer for layer in group if not qparams.has(layer.name)]
        if todo:
            _choose_group_qparams(prepared, working, todo, quantization, images, qparams, features)
            if checkpoint:
                checkpoint.write(qparams)
        for layer in group:
            done += 1
            tell(done, len(layers), layer.name)
            if working is not prepared.module:
                replace_layer(working, layer.name, qparams)
    return freeze(prepared.module, qparams)


def prepare(module: nn.Module, quantization: Quantization, images: Tensor) -> PreparedModel:
    """Return a copy of the module that is ready for calibration; raises what `calibrate` does."""
    copied = copy.deepcopy(module).eval().requires_grad_(False)
    decompose_attention(copied)
    fold_batch_norm(copied, images[:1])
    layers = find_quantizable_layers(copied, images[:1])
    bits = assign_bits(layers, quantization)
    if quantization.method.fold != "none" and quantization.activation_bits is not None:
        _equalize(copied, quantization, images, quantization.activation_bits)
    return PreparedModel(copied, layers, bits)


def assign_bits(layers: list[QuantizableLayer], quantization: Quantization) -> dict[str, Bits]:
    """Return every layer's bits; raises `RequestError` for a rule that matches no layer's name or role.

    Without a rule the patch embedding's input, the image, stays in float, as in PTQ4ViT.
    """
    bits: dict[str, Bits] = {}
    unused = list(quantization.rules)
    for layer in layers:
        bits[layer.name] = (quantization.weight_bits, None if layer.role == "stem" else quantization.activation_bits)
        matching = [
            rule for rule in quantization.rules if fnmatchcase(layer.name, rule.pattern) or rule.pattern == layer.role
        ]
        if matching:
            bits[layer.name] = (matching[0].weight_bits, matching[0].activation_bits)
        unused = [rule for rule in unused if rule not in matching]
        if bits[layer.name][0] is None and bits[layer.name][1] is not None and layer.role not in PRODUCTS:
            raise RequestError(f"{layer.name}: activations cannot be quantized where the weight is not")
    if unused:
        roles = ", ".join(dict.fromkeys(layer.role for layer in layers))
        raise RequestError(
            f"no layer of the model matches the rule {unused[0].pattern!r}",
            hint=f"roles are {roles}; layers are named like {layers[0].name}, {layers[-1].name}",
        )
    return bits


def is_quantized(layer: QuantizableLayer, bits: dict[str, Bits]) -> bool:
    """Tell whether a layer's weight, or a product's operands, are quantized."""
    return bits[layer.name][1 if layer.role in PRODUCTS else 0] is not None


def _equalize(module: nn.Module, quantization: Quantization, images: Tensor, bits: int) -> None:
    for pair in find_pairs(module):
        layer = QuantizableLayer(pair.layer, "linear", pair.linear)
        inputs = observe(module, [layer], images, gradient=None, seed=0)[pair.layer].inputs[0].flatten(0, -2)
        if quantization.method.fold == "layernorm":
            equalize(pair, *layernorm_factors(inputs, bits))
        else:
            equalize(pair, smooth_factors(inputs, [pair.linear.weight], quantization.calibration.smooth))


def _observes(quantization: Quantization) -> bool:
    method = quantization.method
    activations = method.activations if quantization.activation_bits is not None else "none"
    return method.weights != "max" or activations not in ("none", "dynamic") or method.compensate != "none"


def _is_sequential(quantization: Quantization) -> bool:
    """Tell whether a layer is calibrated on what the layers before it give once they are quantized."""
    return quantization.method.weights == "gptq" or quantization.method.compensate != "none"


def _gradient(quantization: Quantization, features: bool) -> str | None:
    method = quantization.method
    searches = "search" in (method.weights, method.activations) or method.weights == "gptq"
    if quantization.calibration.metric != "hessian" or not searches:
        return None
    return "gaussian" if features and method.gradient == "fisher" else method.gradient


def _groups(
    prepared: PreparedModel, layers: list[QuantizableLayer], quantization: Quantization, images: Tensor
) -> tuple[list[list[QuantizableLayer]], nn.Module]:
    """Return the layers in the groups they are observed in, and the module whose inputs they are quantized for."""
    if not _observes(quantization):
        return [layers], prepared.module
    if _is_sequential(quantization):
        return group_by_block(layers), copy.deepcopy(prepared.module)
    gradient = quantization.calibration.metric == "hessian"
    return group_by_memory(prepared.module, layers, images[:1], len(images), gradient=gradient), prepared.module


def _choose_group_qparams(
    prepared: PreparedModel,
    working: nn.Module,
    group: list[QuantizableLayer],
    quantization: Quantization,
    images: Tensor,
    qparams: ModelQParams,
    features: bool,
) -> None:
    """Add the parameters of a group of layers to `qparams`; in `working` the layers before it are quantized."""
    of_float: dict[str, Observation] = {}
    of_quantized: dict[str, Observation] = {}
    if _observes(quantization):
        gradient = _gradient(quantization, features)
        of_float = observe(prepared.module, group, images, gradient=gradient, seed=quantization.calibration.seed)
        if working is not prepared.module:
            of_quantized = observe(working, group, images, gradient=None, seed=0)
    for layer in group:
        weight_bits, activation_bits = prepared.bits[layer.name]
        of_layer = of_float.pop(layer.name, None)
        problem = LayerProblem(
            layer, quantization, weight_bits or 0, activation_bits, of_layer, of_quantized.pop(layer.name, of_layer)
        )
        if layer.role in PRODUCTS:
            qparams.products[layer.name] = choose_product_qparams(problem)
        else:
            qparams.layers[layer.name] = choose_layer_qparams(problem)
