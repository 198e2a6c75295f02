"""Shifting: the mean of activations moved into the biases of the layers that read them, exactly.

What is the same for all tokens takes a part of every range, and tells nothing. A LayerNorm's beta takes away the mean
of its output, and the next layer's bias gives it back (Wei et al. 2023, "Outlier Suppression+"). The bias of values
takes away their mean, and the projection gives it back, since the attention weights of a query sum to 1; that of keys
takes away theirs, to which softmax is invariant (Zhang et al. 2024, "SageAttention").
"""

from collections.abc import Callable
from contextlib import ExitStack

import torch
from timm.layers.attention import Attention
from torch import Tensor, nn

from export.quantization.calibration.folds.residual_stream import (
    ResidualStream,
    bias_of,
    has_free_keys,
    has_free_values,
)
from export.quantization.calibration.observers import BATCH


@torch.no_grad()
def shift(module: nn.Module, stream: ResidualStream, images: Tensor) -> None:
    """Move the means over the tokens of `images [n, 3, H, W]` into biases, in place; outputs stay the same."""
    means = _mean_inputs(module, [layer for reader in stream.readers for layer in reader.layers], images)
    for reader in stream.readers:
        if reader.norm is None or reader.norm.bias is None:
            continue
        mean = torch.stack([means[layer] for layer in reader.layers]).mean(0)
        reader.norm.bias.sub_(mean)
        for layer in reader.layers:
            bias_of(layer).add_(layer.weight @ mean)
            means[layer] -= mean
    for attention in stream.attentions:
        _shift_heads(attention, means[attention.qkv])


def _shift_heads(attention: Attention, mean_input: Tensor) -> None:
    bias = bias_of(attention.qkv)
    mean = attention.qkv.weight @ mean_input + bias
    _, keys, values = (slice(part * attention.attn_dim, (part + 1) * attention.attn_dim) for part in range(3))
    if has_free_keys(attention):
        bias[keys] -= mean[keys]
    if has_free_values(attention):
        bias[values] -= mean[values]
        bias_of(attention.proj).add_(attention.proj.weight @ mean[values])


def _mean_inputs(module: nn.Module, layers: list[nn.Linear], images: Tensor) -> dict[nn.Linear, Tensor]:
    """Return the mean `[in]` of each layer's inputs over all tokens."""
    means = {layer: images.new_zeros(layer.in_features) for layer in layers}

    def keep(share: float) -> Callable[[nn.Linear, tuple[Tensor, ...]], None]:
        def hook(layer: nn.Linear, inputs: tuple[Tensor, ...]) -> None:
            means[layer] += inputs[0].flatten(0, -2).mean(0) * share

        return hook

    for batch in torch.split(images, BATCH):
        with ExitStack() as stack:
            for layer in layers:
                stack.callback(layer.register_forward_pre_hook(keep(len(batch) / len(images))).remove)
            module(batch)
    return means
