"""Bits for each layer under a budget: an integer program over measured sensitivities, solved anew around each solution.

LampQ (arXiv 2511.10004) chooses bits by an integer program over a metric that adds up over layers. Errors of layers do
not quite add up, so here the program is solved in rounds: what a layer costs is measured with all others at the bits of
the best solution so far, which is where its interactions with them show.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from export.core.errors import RequestError
from export.quantization.analysis.layer_swap import BATCH, ModelPair, SuffixRuns, swapped
from export.quantization.analysis.outputs import noise_ratio
from export.quantization.layers.discovery import PRODUCTS, QuantizableLayer
from export.quantization.layers.modules import QuantConv2d, QuantLinear
from export.quantization.layers.packing import row_bytes
from export.quantization.methods import LayerRule

ROUNDS = 4
Chosen = dict[str, int]  # bits by layer


@dataclass(frozen=True)
class Limit:
    """What the bits of the weights must keep to: at most `bytes` of packed weights, or at least an SQNR."""

    bytes: int | None = None
    sqnr_db: float | None = None


@dataclass(frozen=True)
class Solution:
    """The `bits` of each layer's weight, the bytes of all packed weights, and the outputs' SQNR that was measured."""

    bits: Chosen
    bytes: int
    sqnr_db: float
    rounds: int


class Mixture:
    """One model whose layers come from copies of it that are quantized at several bits each."""

    def __init__(self, pairs: Mapping[int, ModelPair], images: Tensor, reference: Tensor) -> None:
        self.pairs, self.images, self.reference = pairs, images, reference
        any_pair = next(iter(pairs.values()))
        self.layers = [layer for layer in any_pair.layers if layer.role not in PRODUCTS]
        self.products = [layer for layer in any_pair.layers if layer.role in PRODUCTS]
        self.module = any_pair.float_module
        self._others = {layer.name: any_pair.quantized.get_submodule(layer.name) for layer in self.products}

    def versions(self, bits: Chosen) -> dict[str, nn.Module]:
        """Return the quantized layers of an assignment of bits, and the products."""
        return {name: self.pairs[width].quantized.get_submodule(name) for name, width in bits.items()} | self._others

    def bytes_of(self, layer: QuantizableLayer, bits: int) -> int:
        """Return how many bytes a layer's packed weight takes."""
        found = self.pairs[bits].quantized.get_submodule(layer.name)
        assert isinstance(found, QuantLinear | QuantConv2d)
        rows = found.weight.quantized.flatten(1)
        return len(rows) * row_bytes(rows.shape[1], bits)

    def noise(self, bits: Chosen) -> float:
        """Return the outputs' noise-to-signal ratio for an assignment of bits."""
        with swapped(self.module, self.versions(bits)), torch.inference_mode():
            outputs = [self.module(batch) for batch in torch.split(self.images, BATCH)]
            return noise_ratio(self.reference, torch.cat(outputs).cpu())

    def changes(self, bits: Chosen) -> dict[tuple[str, int], float]:
        """Return by how much the noise changes when one layer alone gets other bits than in `bits`."""
        here = self.noise(bits)
        found: dict[tuple[str, int], float] = {}
        with swapped(self.module, self.versions(bits)):
            runs = SuffixRuns(self.module, [*self.layers, *self.products], self.images)
            for layer in self.layers:
                for width, pair in self.pairs.items():
                    if width == bits[layer.name]:
                        found[layer.name, width] = 0.0
                        continue
                    version = pair.quantized.get_submodule(layer.name)
                    found[layer.name, width] = (
                        noise_ratio(self.reference, runs.outputs(layer.name, version).cpu()) - here
                    )
        return found


def choose_bits(mixture: Mixture, limit: Limit, tell: Callable[[str], None] = lambda text: None) -> Solution:
    """Return the best bits found within a limit, by rounds of an integer program; raises `RequestError` if none fit."""
    widths = sorted(mixture.pairs)
    _check(mixture, limit, widths)
    best = _start(mixture, limit, widths)
    noise, reach, rounds = mixture.noise(best), len(mixture.layers), 0
    changes = mixture.changes(best)
    while rounds < ROUNDS and reach > 0:
        found = _solve(mixture, changes, (best, noise), limit, reach)
        if found is None or found == best:
            break
        measured = mixture.noise(found)
        tell(f"    {_decibels(measured):.1f} dB in {_bytes(mixture, found):,} bytes of weights")
        if _better(mixture, limit, (found, measured), (best, noise)):
            best, noise, rounds = found, measured, rounds + 1
            changes = mixture.changes(best)
        else:  # so many changes at once do not add up
            reach = min(reach, sum(found[name] != best[name] for name in best)) // 2
    solution = Solution(bits=best, bytes=_bytes(mixture, best), sqnr_db=_decibels(noise), rounds=rounds)
    if limit.sqnr_db is not None and solution.sqnr_db < limit.sqnr_db:
        raise RequestError(
            f"--min-sqnr-db {limit.sqnr_db}: with {widths[-1]} bits everywhere it is {solution.sqnr_db:.1f} dB",
            hint="ask for less, allow more bits with --bits, or quantize activations to more bits",
        )
    return solution


def _check(mixture: Mixture, limit: Limit, widths: Sequence[int]) -> None:
    least = _bytes(mixture, dict.fromkeys((layer.name for layer in mixture.layers), widths[0]))
    if limit.bytes is not None and limit.bytes < least:
        raise RequestError(
            f"--budget: the weights take {least:,} bytes at {widths[0]} bits each, but {limit.bytes:,} are allowed",
            hint="allow more bytes, or fewer bits with --bits",
        )


def _start(mixture: Mixture, limit: Limit, widths: Sequence[int]) -> Chosen:
    """Return uniform bits within the limit: the most for a budget, else the most there are."""
    uniform = [dict.fromkeys((layer.name for layer in mixture.layers), width) for width in widths]
    fitting = [bits for bits in uniform if limit.bytes is None or _bytes(mixture, bits) <= limit.bytes]
    return fitting[-1]


def _bytes(mixture: Mixture, bits: Chosen) -> int:
    return sum(mixture.bytes_of(layer, bits[layer.name]) for layer in mixture.layers)


def _better(mixture: Mixture, limit: Limit, new: tuple[Chosen, float], old: tuple[Chosen, float]) -> bool:
    if limit.sqnr_db is None:
        return new[1] < old[1]
    meets_new, meets_old = (_decibels(noise) >= limit.sqnr_db for _, noise in (new, old))
    if meets_new != meets_old:
        return meets_new
    return _bytes(mixture, new[0]) < _bytes(mixture, old[0]) if meets_new else new[1] < old[1]


def _solve(
    mixture: Mixture, changes: dict[tuple[str, int], float], best: tuple[Chosen, float], limit: Limit, reach: int
) -> Chosen | None:
    """Return the bits that the integer program chooses, of which at most `reach` differ from the best so far.

    Each layer has one width; it is the least noise within the bytes that is wanted, or the reverse.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp

    options = [(layer, width) for layer in mixture.layers for width in sorted(mixture.pairs)]
    sizes = np.array([mixture.bytes_of(layer, width) for layer, width in options], float)
    costs = np.array([changes[layer.name, width] for layer, width in options])
    unit = max(float(np.abs(costs).max()), 1e-30)  # noise is a small number, which solvers take for zero
    kept = np.array([float(best[0][layer.name] == width) for layer, width in options])
    one_each = np.array([[float(option is layer) for option, _ in options] for layer in mixture.layers])
    constraints = [LinearConstraint(one_each, 1, 1), LinearConstraint(kept[None], len(mixture.layers) - reach, np.inf)]
    if limit.bytes is not None:
        constraints.append(LinearConstraint(sizes[None], -np.inf, float(limit.bytes)))
        objective = costs / unit
    else:
        assert limit.sqnr_db is not None
        allowed = 10 ** (-limit.sqnr_db / 10) - best[1]
        constraints.append(LinearConstraint(costs[None] / unit, -np.inf, allowed / unit))
        objective = sizes / sizes.max()
    result = milp(objective, integrality=np.ones(len(options)), bounds=Bounds(0, 1), constraints=constraints)
    if result.x is None:
        return None
    return {layer.name: width for (layer, width), taken in zip(options, result.x, strict=True) if taken > 0.5}


def _decibels(noise: float) -> float:
    return float(-10 * np.log10(max(noise, 1e-20)))


def as_rules(bits: Chosen, common: int, activation_bits: Mapping[str, int | None]) -> tuple[LayerRule, ...]:
    """Return rules for the layers whose bits are not the `common` ones; their activations keep theirs."""
    return tuple(
        LayerRule(pattern=name, weight_bits=width, activation_bits=activation_bits[name])
        for name, width in bits.items()
        if width != common
    )
