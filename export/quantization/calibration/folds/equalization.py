"""Equalization: range moved from activations into weights, exactly: LayerNorm is rescaled, the next layer undoes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from export.core.errors import ConversionError

# A LayerNorm and the layer it feeds, by their names within the module that holds both.
PAIRS = (("norm1", "attn.qkv"), ("norm2", "mlp.fc1"), ("norm", "reduction"))
LEAST_SPREAD = 1e-5  # of the mean scale: channels that hardly vary are not blown up
LEAST_SCALE = 1e-30  # where no channel varies at all, or no weight is used: ratios stay finite


@dataclass(frozen=True)
class FoldPair:
    """A LayerNorm `norm` and the layer `linear` that multiplies its output, with the latter's name `layer`."""

    norm: nn.LayerNorm
    linear: nn.Linear
    layer: str


def find_pairs(module: nn.Module) -> list[FoldPair]:
    """Return every LayerNorm with the linear layer it feeds; raises `ConversionError` when the model has none."""
    pairs = []
    for name, parent in module.named_modules():
        for first, second in PAIRS:
            try:
                norm, linear = parent.get_submodule(first), parent.get_submodule(second)
            except AttributeError:
                continue
            if isinstance(norm, nn.LayerNorm) and norm.elementwise_affine and isinstance(linear, nn.Linear):
                pairs.append(FoldPair(norm, linear, f"{name}.{second}" if name else second))
    if not pairs:
        raise ConversionError(
            f"{type(module).__name__} has no LayerNorm before a linear layer: there is nothing to fold",
            hint="choose a method without a fold, such as ptq4vit, minmax or gptq",
        )
    return pairs


@torch.no_grad()
def equalize(pair: FoldPair, ratio: Tensor, shift: Tensor | None = None) -> None:
    """Let the norm give x / ratio - shift, `[in]` each, and the next layer's output stay the same, in place."""
    offset = torch.zeros_like(ratio) if shift is None else shift
    weight = pair.linear.weight * ratio
    if pair.linear.bias is None and shift is not None:
        pair.linear.bias = nn.Parameter(torch.zeros(len(weight), device=weight.device), requires_grad=False)
    if pair.linear.bias is not None:
        pair.linear.bias.add_(weight @ offset)
    pair.linear.weight.copy_(weight)
    pair.norm.weight.div_(ratio)
    pair.norm.bias.div_(ratio).sub_(offset)


def layernorm_factors(inputs: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return ratio and shift `[in]` with which all channels of `inputs [t, in]` have one scale and zero point.

    With each channel's own scale s and zero point z (its min and max), and their means s̃ and z̃: ratio = s / s̃,
    shift = min / ratio + z̃·s̃ (Li et al. 2023, "RepQ-ViT", eq. 8 to 12).
    """
    low, high = inputs.amin(0).clamp_max(0), inputs.amax(0).clamp_min(0)
    scale = (high - low) / (2**bits - 1)
    scale = _clamped(scale)
    zero_point = -low / scale
    mean_scale, mean_point = scale.mean(), zero_point.mean()
    ratio = scale / mean_scale
    return ratio, low / ratio + mean_point * mean_scale


def smooth_factors(inputs: Tensor, weights: Sequence[Tensor], strength: float) -> Tensor:
    """Return the ratio `[in]` = max|x|^α / max|w|^(1-α), geometric mean 1 (Xiao et al. 2023, "SmoothQuant", eq. 4)."""
    activation = inputs.abs().amax(0)
    weight = torch.stack([value.detach().abs().amax(0) for value in weights]).amax(0)
    ratio = _clamped(activation) ** strength / _clamped(weight) ** (1 - strength)
    return ratio / ratio.log().mean().exp()


def _clamped(values: Tensor) -> Tensor:
    return values.clamp_min((values.mean() * LEAST_SPREAD).clamp_min(LEAST_SCALE))
