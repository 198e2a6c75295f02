"""From a method and a limit to an ordinary recipe with bits by layer, calibrated and measured beside uniform ones."""

import copy
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from msgspec.structs import replace
from torch import nn

from export.core.console import say
from export.core.errors import RequestError
from export.quantization.analysis.layer_swap import BATCH, ModelPair
from export.quantization.analysis.mixed_precision import Limit, Mixture, Solution, as_rules, choose_bits
from export.quantization.analysis.outputs import figures
from export.quantization.analysis.records import MixedPrecision, MixedRow
from export.quantization.analysis.run import Subject
from export.quantization.integer_file import QuantizedModel, write_quantized
from export.quantization.layers.modules import QuantConv2d, QuantLinear
from export.quantization.layers.packing import row_bytes
from export.quantization.recipes import Recipe, quantizing
from export.quantization.resources import describe_device


def mix(
    subject: Subject, recipe: Recipe, widths: Sequence[int], limit: Limit, *, average: float | None, command: str
) -> tuple[Recipe, MixedPrecision]:
    """Return the recipe with the best bits by layer that is found, and its comparison with uniform bits.

    The method, the bits of activations and the calibration are those of `recipe`. `average` are bits a weight, which
    are counted as uniform layers are stored. Raises what `choose_bits` and `calibrate` do.
    """
    quantization = recipe.quantization
    if quantization is None:
        raise RequestError(
            f"--recipe {recipe.name} quantizes nothing, so it has no bits to choose", hint="for instance w4a8_gptq"
        )
    calibration = subject.calibration(recipe)
    uniform = {width: _uniform(recipe, width) for width in widths}
    pairs = {width: subject.pair(of_width, calibration) for width, of_width in uniform.items()}
    asked = _short(limit, average)
    if average is not None:
        limit = Limit(bytes=_average_bytes(next(iter(pairs.values())), average))
    mixture = Mixture(pairs, subject.pixels, subject.outputs)
    say(f"choosing bits of {len(mixture.layers)} layers, of {', '.join(map(str, widths))}")
    solution = choose_bits(mixture, limit, tell=say)
    chosen = _as_recipe(recipe, solution, pairs, asked)
    compared = [_row(subject, of_width, pairs[width].quantized) for width, of_width in uniform.items()]
    found = subject.pair(chosen, calibration)
    return chosen, MixedPrecision(
        command=command,
        model=subject.spec.name,
        weights_sha256=subject.spec.weights_sha256,
        data=subject.title,
        calibration_data=calibration.title,
        n=len(subject.pixels),
        machine=describe_device(subject.pixels.device),
        tools={name: version(name) for name in ("torch", "timm", "scipy")},
        limit=f"{limit.bytes} bytes of weights" if limit.bytes is not None else f"{limit.sqnr_db} dB",
        bits=solution.bits,
        predicted_sqnr_db=solution.sqnr_db,
        rounds=solution.rounds,
        chosen=_row(subject, chosen, found.quantized),
        uniform=tuple(compared),
    )


def _uniform(recipe: Recipe, width: int) -> Recipe:
    quantization = recipe.quantization
    assert quantization is not None
    rules = tuple(rule for rule in quantization.rules if rule.weight_bits is None)  # what stays in float
    return quantizing(quantization.method, width, quantization.activation_bits, rules, quantization.calibration)


def _average_bytes(pair: ModelPair, average: float) -> int:
    """Return the bytes of all weights at an average of so many bits, between those of the whole numbers around it."""
    shapes = [
        layer.weight.quantized.flatten(1).shape
        for layer in pair.quantized.modules()
        if isinstance(layer, QuantLinear | QuantConv2d)
    ]
    low = int(average)
    below, above = (sum(rows * row_bytes(columns, width) for rows, columns in shapes) for width in (low, low + 1))
    return int(below + (average - low) * (above - below))


def _short(limit: Limit, average: float | None) -> str:
    """Return what was asked for as a part of names: `4bits`, `4_5bits`, `7200000bytes`, `20db`."""
    if average is not None:
        return f"{average:g}bits".replace(".", "_")
    return f"{limit.bytes}bytes" if limit.bytes is not None else f"{limit.sqnr_db:g}db".replace(".", "_")


def _as_recipe(recipe: Recipe, solution: Solution, pairs: dict[int, ModelPair], asked: str) -> Recipe:
    quantization = recipe.quantization
    assert quantization is not None
    widths = list(solution.bits.values())
    common = max(set(widths), key=widths.count)
    found = next(iter(pairs.values())).quantized
    activation_bits: dict[str, int | None] = {}
    for name in solution.bits:
        layer = found.get_submodule(name)
        assert isinstance(layer, QuantLinear | QuantConv2d)
        activation_bits[name] = quantization.activation_bits if layer.input is not None else None
    kept = tuple(rule for rule in quantization.rules if rule.weight_bits is None)
    rules = (*as_rules(solution.bits, common, activation_bits), *kept)
    base = quantizing(quantization.method, common, quantization.activation_bits, rules, quantization.calibration)
    activations = f"a{quantization.activation_bits}" if quantization.activation_bits else ""
    return replace(
        base,
        name=f"w{min(widths)}to{max(widths)}{activations}_{quantization.method.name}_{asked}",
        title=f"{min(widths)}- to {max(widths)}-bit weights ({quantization.method.title}, mixed precision)",
        note=f"{base.note} Each layer has bits of its own, chosen by its measured effect on the outputs.",
    )


def _row(subject: Subject, recipe: Recipe, module: nn.Module) -> MixedRow:
    device = subject.pixels.device
    with torch.inference_mode():
        outputs = torch.cat([module.to(device)(batch) for batch in torch.split(subject.pixels, BATCH)]).float().cpu()
    weights = [layer.weight for layer in module.modules() if isinstance(layer, QuantLinear | QuantConv2d)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        write_quantized(QuantizedModel(subject.spec, recipe, copy.deepcopy(module).cpu()), file)
        size = file.stat().st_size
    return MixedRow(
        recipe=recipe.name,
        bytes=size,
        weight_bytes=sum(
            len(weight.quantized) * row_bytes(weight.quantized.flatten(1).shape[1], weight.bits) for weight in weights
        ),
        **figures(subject.outputs, outputs, subject.labels, features=subject.spec.features),
    )
