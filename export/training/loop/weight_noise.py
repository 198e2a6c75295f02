"""Quantization noise: some linear layers see rounded weights while the gradients pass straight through."""

import torch
from torch import Tensor, nn

SHARE = 0.5  # of the layers, drawn anew at every step


class WeightNoise:
    """Rounds weights to `bits`, symmetric and per_channel.

    Fan et al. (arXiv 2004.07320): layers that are rounded at random in training keep their accuracy when all are.
    """

    def __init__(self, module: nn.Module, bits: int) -> None:
        self.bits = bits
        self.weights = {
            f"{name}.weight": layer.weight
            for name, layer in module.named_modules()
            if isinstance(layer, nn.Linear) and layer.weight.requires_grad
        }

    def draw(self) -> dict[str, Tensor]:
        """Return rounded weights by name, for a random half of the linear layers."""
        return {
            name: fake_quantize(weight, self.bits)
            for name, weight in self.weights.items()
            if torch.rand(()).item() < SHARE
        }


def fake_quantize(weight: Tensor, bits: int) -> Tensor:
    """Return `[out, in]` rounded to a symmetric grid per row whose gradient is that of the identity."""
    bound = 2 ** (bits - 1) - 1
    with torch.no_grad():
        scale = weight.abs().amax(1, keepdim=True).clamp_min(1e-8) / bound
        offset = (weight / scale).round().clamp(-bound, bound) * scale - weight
    rounded: Tensor = weight + offset
    return rounded
