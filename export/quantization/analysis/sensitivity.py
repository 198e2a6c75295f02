"""Sensitivity: the model's outputs when one layer at a time is quantized, and every layer's when all are."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from export.core.files import hash_json
from export.quantization.analysis.layer_swap import ModelPair, SuffixRuns, own_noise
from export.quantization.analysis.outputs import figures
from export.quantization.analysis.records import CumulativeRow, SensitivityRow
from export.quantization.layers.discovery import QuantizableLayer

FEW = 8  # images of a pass that keeps the outputs of all layers
Keep = Callable[[SensitivityRow], None]


def measure_sensitivity(
    pair: ModelPair,
    images: Tensor,
    reference: Tensor,
    labels: Tensor | None,
    *,
    features: bool,
    key: str,
    earlier: dict[str, SensitivityRow],
    keep: Keep,
) -> None:
    """Give `keep` a row for every layer and kind of tensor, in the order in which they run.

    `images [n, 3, H, W]` are normalised, `reference [n, K]` the float model's outputs. `key` is the hash of all that
    decides the rows but layer and tensors; rows that are among the `earlier` ones are not measured again.
    """
    runs = SuffixRuns(pair.float_module, pair.layers, images)
    for layer in pair.layers:
        for tensors in pair.kinds(layer):
            own_key = hash_json([key, layer.name, tensors])
            if own_key in earlier:
                keep(earlier[own_key])
                continue
            version = pair.version(layer, tensors)
            with own_noise(layer.module, version) as sums:
                outputs = runs.outputs(layer.name, version).cpu()
            keep(
                SensitivityRow(
                    key=own_key,
                    layer=layer.name,
                    role=layer.role,
                    tensors=tensors,
                    weights=_weights(layer),
                    own_sqnr_db=_decibels(*sums),
                    **figures(reference, outputs, labels, features=features),
                )
            )


def _weights(layer: QuantizableLayer) -> int:
    weight = getattr(layer.module, "weight", None)
    return weight.numel() if isinstance(weight, Tensor) else 0


def _decibels(signal: float, noise: float) -> float:
    return 200.0 if noise == 0 else float(np.clip(10 * np.log10(max(signal, 1e-30) / noise), -200, 200))


@torch.inference_mode()
def measure_cumulative(pair: ModelPair, images: Tensor) -> list[CumulativeRow]:
    """Return how far each layer's output lies from the float model's, every layer before it being quantized.

    The same inputs `[n, 3, H, W]` run through both models, a batch at a time.
    """
    sums: dict[str, list[float]] = {layer.name: [0.0] * 4 for layer in pair.layers}
    for batch in torch.split(images, FEW):
        expected = _layer_outputs(pair.float_module, pair.layers, batch)
        found = _layer_outputs(pair.quantized, pair.layers, batch)
        for name, total in sums.items():
            a, b = expected.pop(name).double(), found.pop(name).double()
            for index, value in enumerate((a.square(), b.square(), a * b, (a - b).square())):
                total[index] += float(value.sum())
    return [
        CumulativeRow(
            layer=layer.name,
            role=layer.role,
            sqnr_db=_decibels(sums[layer.name][0], sums[layer.name][3]),
            cosine=_cosine(*sums[layer.name][:3]),
        )
        for layer in pair.layers
    ]


def _cosine(first: float, second: float, both: float) -> float:
    return both / max(float(np.sqrt(first * second)), 1e-30)


def _layer_outputs(module: nn.Module, layers: Sequence[QuantizableLayer], batch: Tensor) -> dict[str, Tensor]:
    given: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        return lambda layer, inputs, output: given.__setitem__(name, output)

    handles = [module.get_submodule(layer.name).register_forward_hook(keep(layer.name)) for layer in layers]
    try:
        module(batch)
    finally:
        for handle in handles:
            handle.remove()
    return given
