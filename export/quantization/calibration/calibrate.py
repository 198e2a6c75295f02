"""From a float model and a recipe to a quantized one: fold, observe, choose, round, make up for the rest."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import Tensor, nn

from export.core.errors import RequestError
from export.quantization.calibration.assemble import freeze, place
from export.quantization.calibration.equalization import find_pairs, fold, layernorm_fold, smooth_fold
from export.quantization.calibration.layer_solver import Job, choose_layer, choose_product
from export.quantization.calibration.observers import Observed, by_block, by_memory, capture
from export.quantization.calibration.qparams import Choices, Kept
from export.quantization.layers.discovery import PRODUCTS, Site, find_sites, fold_batch_norm, open_attention
from export.quantization.recipes import Quantization, Recipe

Bits = tuple[int | None, int | None]  # of weights and of activations; None stays in float
Tell = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Prepared:
    """A float model ready to be calibrated: attention opened, BatchNorm and the method's folds done, bits assigned."""

    module: nn.Module
    sites: list[Site]
    bits: dict[str, Bits]


def calibrate(
    module: nn.Module,
    recipe: Recipe,
    images: Tensor,
    *,
    features: bool = False,
    tell: Tell = lambda done, total, name: None,
    kept: Kept | None = None,
) -> nn.Module:
    """Return the quantized copy of a float module, in evaluation mode on its device.

    `images [n, 3, H, W]` are normalised calibration images on the same device; `features` says that the outputs are
    an embedding. `tell` hears of every layer done; `kept` holds what was chosen so far, so that a run that was stopped
    goes on. Raises `RequestError` for a rule that fits no layer, `ConversionError` when the method does not fit the
    model.
    """
    how = recipe.quantization
    assert how is not None
    if how.method.trains:
        raise RequestError(
            f"{recipe.name}: {how.method.name} is a method of training, not of calibration",
            hint=f"run: python -m export.train --qat {recipe.name}",
        )
    prepared = prepare(module, how, images)
    choices = kept.read() if kept else Choices()
    wanted = [site for site in prepared.sites if is_quantized(site, prepared.bits)]
    groups, working = _groups(prepared, wanted, how, images)
    done = 0
    for group in groups:
        todo = [site for site in group if not choices.has(site.name)]
        if todo:
            _choose_group(prepared, working, todo, how, images, choices, features)
            if kept:
                kept.write(choices)
        for site in group:
            done += 1
            tell(done, len(wanted), site.name)
            if working is not prepared.module:
                place(working, site.name, choices)
    return freeze(prepared.module, choices)


def prepare(module: nn.Module, how: Quantization, images: Tensor) -> Prepared:
    """Return a copy of the module that is ready; raises what `calibrate` does."""
    copied = copy.deepcopy(module).eval().requires_grad_(False)
    open_attention(copied)
    fold_batch_norm(copied, images[:1])
    sites = find_sites(copied, images[:1])
    bits = assign_bits(sites, how)
    if how.method.fold != "none" and how.activation_bits is not None:
        _fold(copied, how, images, how.activation_bits)
    return Prepared(copied, sites, bits)


def assign_bits(sites: list[Site], how: Quantization) -> dict[str, Bits]:
    """Return every layer's bits; raises `RequestError` naming a rule that fits no layer's name or role.

    Without a rule the patch embedding's input, the image, stays in float, as in PTQ4ViT.
    """
    bits: dict[str, Bits] = {}
    unused = list(how.rules)
    for site in sites:
        bits[site.name] = (how.weight_bits, None if site.role == "stem" else how.activation_bits)
        fitting = [rule for rule in how.rules if fnmatchcase(site.name, rule.pattern) or rule.pattern == site.role]
        if fitting:
            bits[site.name] = (fitting[0].weight_bits, fitting[0].activation_bits)
        unused = [rule for rule in unused if rule not in fitting]
        if bits[site.name][0] is None and bits[site.name][1] is not None and site.role not in PRODUCTS:
            raise RequestError(f"{site.name}: activations cannot be quantized where the weight is not")
    if unused:
        roles = ", ".join(dict.fromkeys(site.role for site in sites))
        raise RequestError(
            f"no layer of the model matches the rule {unused[0].pattern!r}",
            hint=f"roles are {roles}; layers are named like {sites[0].name}, {sites[-1].name}",
        )
    return bits


def is_quantized(site: Site, bits: dict[str, Bits]) -> bool:
    """Tell whether a layer's weight, or a product's operands, get integers."""
    return bits[site.name][1 if site.role in PRODUCTS else 0] is not None


def _fold(module: nn.Module, how: Quantization, images: Tensor, bits: int) -> None:
    for pair in find_pairs(module):
        site = Site(pair.layer, "linear", pair.linear)
        rows = capture(module, [site], images, gradient=None, seed=0)[pair.layer].inputs[0].flatten(0, -2)
        if how.method.fold == "layernorm":
            fold(pair, *layernorm_fold(rows, bits))
        else:
            fold(pair, smooth_fold(rows, [pair.linear.weight], how.calibration.smooth))


def _observes(how: Quantization) -> bool:
    method = how.method
    active = method.activations if how.activation_bits is not None else "none"
    return method.weights != "max" or active not in ("none", "dynamic") or method.compensate != "none"


def _is_sequential(how: Quantization) -> bool:
    """Whether a layer is to see what the layers before it give once they are quantized."""
    return how.method.weights == "gptq" or how.method.compensate != "none"


def _gradient(how: Quantization, features: bool) -> str | None:
    searches = "search" in (how.method.weights, how.method.activations) or how.method.weights == "gptq"
    if how.calibration.metric != "hessian" or not searches:
        return None
    return "gaussian" if features and how.method.gradient == "fisher" else how.method.gradient


def _groups(
    prepared: Prepared, wanted: list[Site], how: Quantization, images: Tensor
) -> tuple[list[list[Site]], nn.Module]:
    """Return the layers in the groups they are observed in, and the module whose inputs they are rounded for."""
    if not _observes(how):
        return [wanted], prepared.module
    if _is_sequential(how):
        return by_block(wanted), copy.deepcopy(prepared.module)
    gradient = how.calibration.metric == "hessian"
    return by_memory(prepared.module, wanted, images[:1], len(images), gradient=gradient), prepared.module


def _choose_group(
    prepared: Prepared,
    working: nn.Module,
    group: list[Site],
    how: Quantization,
    images: Tensor,
    choices: Choices,
    features: bool,
) -> None:
    seen: dict[str, Observed] = {}
    rounded: dict[str, Observed] = {}
    if _observes(how):
        gradient = _gradient(how, features)
        seen = capture(prepared.module, group, images, gradient=gradient, seed=how.calibration.seed)
        if working is not prepared.module:
            rounded = capture(working, group, images, gradient=None, seed=0)
    for site in group:
        weight_bits, activation_bits = prepared.bits[site.name]
        before = seen.pop(site.name, None)
        job = Job(site, how, weight_bits or 0, activation_bits, before, rounded.pop(site.name, before))
        if site.role in PRODUCTS:
            choices.products[site.name] = choose_product(job)
        else:
            choices.layers[site.name] = choose_layer(job)
