"""Rotation: the residual stream of a ViT, its values, queries and keys in a random basis, exactly.

Outliers lie in a few channels. In a random basis each is spread over all of them, so that a token's values fill their
range evenly (Ashkboos et al. 2024, "QuaRot"; Liu et al. 2024, "SpinQuant"). All rotations are multiplied into weights:
the model has the same layers as before.
"""

import torch
from timm.layers.attention import Attention
from torch import Tensor, nn

from export.quantization.calibration.folds.residual_stream import (
    ResidualStream,
    Writer,
    bias_of,
    has_free_keys,
    has_free_values,
)

QUERY, KEY, VALUE = range(3)  # the order of the rows of qkv


def random_rotation(size: int, generator: torch.Generator) -> Tensor:
    """Return an orthogonal matrix `[size, size]` in float64, uniformly distributed."""
    drawn = torch.randn(size, size, generator=generator, dtype=torch.float64)
    orthogonal, triangular = torch.linalg.qr(drawn)
    rotation: Tensor = orthogonal * triangular.diagonal().sign()
    return rotation


def mean_keeping_rotation(size: int, generator: torch.Generator) -> Tensor:
    """Return a random orthogonal Q `[size, size]` in float64 with Q·1 = 1.

    Q leaves the mean of a vector's channels as it is, so LN(Qx) = Q·LN(x) for a LayerNorm without gamma and beta.
    """
    basis = torch.eye(size, dtype=torch.float64)
    basis[:, 0] = 1
    basis = torch.linalg.qr(basis).Q  # its first column is ±1/√size in all rows
    turn = torch.eye(size, dtype=torch.float64)
    turn[1:, 1:] = random_rotation(size - 1, generator)
    rotation: Tensor = basis @ turn @ basis.T
    return rotation


@torch.no_grad()
def rotate(stream: ResidualStream, seed: int) -> None:
    """Rotate the stream, and within each head values, queries and keys, in place; outputs stay the same.

    Gamma and beta of every LayerNorm, and LayerScale, are folded into the layers beside them. Where attention has
    norms of its own, what they normalise is not rotated.
    """
    generator = torch.Generator().manual_seed(seed)
    device = stream.writers[0].layer.weight.device
    rotation = mean_keeping_rotation(stream.size, generator).to(device)
    for token in stream.tokens:
        token.copy_(token.double() @ rotation.T)
    for writer in stream.writers:
        _fold_scale(writer)
        weight = writer.layer.weight
        weight.copy_((rotation @ weight.double().flatten(1)).reshape(weight.shape))
        if writer.layer.bias is not None:
            writer.layer.bias.copy_(rotation @ writer.layer.bias.double())
    for reader in stream.readers:
        if reader.norm is not None:
            _fold_affine(reader.norm, reader.layers)
        for layer in reader.layers:
            layer.weight.copy_(layer.weight.double() @ rotation.T)
    for attention in stream.attentions:
        _rotate_heads(attention, generator)


def _fold_scale(writer: Writer) -> None:
    if writer.scale is None:
        return
    gamma, layer = writer.scale.gamma, writer.layer
    layer.weight.mul_(gamma[:, None])
    if layer.bias is not None:
        layer.bias.mul_(gamma)
    gamma.fill_(1)


def _fold_affine(norm: nn.LayerNorm, layers: tuple[nn.Linear, ...]) -> None:
    if norm.weight is None:
        return
    for layer in layers:
        if norm.bias is not None:
            bias_of(layer).add_(layer.weight @ norm.bias)
        layer.weight.mul_(norm.weight)
    norm.weight.fill_(1)
    if norm.bias is not None:
        norm.bias.zero_()


def _rotate_heads(attention: Attention, generator: torch.Generator) -> None:
    """Rotate each head's values, which the projection undoes, and its queries and keys alike: q·k stays the same."""
    width, projection = attention.head_dim, attention.proj.weight
    for head in range(attention.num_heads):
        of_values, of_keys = (random_rotation(width, generator).to(projection.device) for _ in range(2))
        if has_free_values(attention):
            columns = projection[:, head * width : (head + 1) * width]
            columns.copy_(columns.double() @ of_values.T)
            _rotate_rows(attention, VALUE, head, of_values)
        if has_free_keys(attention):
            for part in (QUERY, KEY):
                _rotate_rows(attention, part, head, of_keys)


def _rotate_rows(attention: Attention, part: int, head: int, rotation: Tensor) -> None:
    first = (part * attention.num_heads + head) * attention.head_dim
    for values in (attention.qkv.weight, attention.qkv.bias):
        if values is not None:
            rows = values[first : first + attention.head_dim]
            rows.copy_(rotation @ rows.double())
