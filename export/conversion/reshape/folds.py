"""Constant folding on the parts of a model: each fold moves work from run time into constants, exactly."""

from dataclasses import replace

import torch
from torch import Tensor

from export.conversion.reshape.parts import Affine, Attention, Block, Norm, TransformerParts


def add_to_bias(layer: Affine, shift: Tensor) -> Affine:
    """Return the layer whose outputs have `shift [out]` added."""
    return replace(layer, bias=shift if layer.bias is None else layer.bias + shift)


def scale_outputs(layer: Affine, factor: Tensor | float) -> Affine:
    """Return the layer whose outputs are multiplied by `factor`, one number or `[out]`."""
    column = factor[:, None] if isinstance(factor, Tensor) else factor
    return Affine(layer.weight * column, None if layer.bias is None else layer.bias * factor)


def centre_outputs(layer: Affine, groups: int = 1) -> Affine:
    """Return the layer whose outputs have a mean of 0 within each of `groups` equal groups."""
    return Affine(centre(layer.weight, 0, groups), None if layer.bias is None else centre(layer.bias, 0, groups))


def centre(values: Tensor, axis: int, groups: int = 1) -> Tensor:
    """Return the values minus their mean along an axis, within each of `groups` equal groups of it."""
    parts = [part - part.mean(axis, keepdim=True) for part in values.chunk(groups, axis)]
    return torch.cat(parts, axis)


def shift_into(norm: Norm, *layers: Affine) -> tuple[Norm, tuple[Affine, ...]]:
    """Move beta into the biases of the layers that read the norm: W(n + β) = Wn + Wβ."""
    if norm.beta is None:
        return norm, layers
    beta = norm.beta
    return replace(norm, beta=None), tuple(add_to_bias(layer, layer.weight @ beta) for layer in layers)


def scale_into(norm: Norm, *layers: Affine) -> tuple[Norm, tuple[Affine, ...]]:
    """Move gamma into the weights of the layers that read the norm, whose beta was moved before: W(γn) = (Wγ)n."""
    if norm.gamma is None:
        return norm, layers
    assert norm.beta is None
    gamma = norm.gamma
    return replace(norm, gamma=None), tuple(replace(layer, weight=layer.weight * gamma) for layer in layers)


def drop_key_bias(attention: Attention) -> Attention:
    """Drop what adds the same to a query's scores of all keys, to which softmax is invariant.

    That is the keys' bias, or, where keys are normalised, the beta of their norm.
    """
    if attention.key_norm is None:
        return replace(attention, key=replace(attention.key, bias=None))
    return replace(attention, key_norm=replace(attention.key_norm, beta=None))


def move_value_bias(attention: Attention) -> Attention:
    """Move the values' bias into the projection's: the attention weights of a query sum to 1."""
    bias = attention.value.bias
    if bias is None:
        return attention
    projection = add_to_bias(attention.projection, attention.projection.weight @ bias)
    return replace(attention, value=replace(attention.value, bias=None), projection=projection)


def move_key_gamma(attention: Attention) -> Attention:
    """Move the gamma of the keys' norm, whose beta was dropped, into that of the queries: q·(γk) = (γq)·k."""
    key, query = attention.key_norm, attention.query_norm
    if key is None or query is None or key.gamma is None:
        return attention
    assert key.beta is None
    gamma = key.gamma if query.gamma is None else query.gamma * key.gamma
    beta = None if query.beta is None else query.beta * key.gamma
    return replace(attention, key_norm=replace(key, gamma=None), query_norm=replace(query, gamma=gamma, beta=beta))


def centre_heads(attention: Attention) -> Attention:
    """Let queries and keys that are normalised within each head have a mean of 0 there: their norms subtract it."""
    if attention.key_norm is None or attention.query_norm is None:
        return attention
    return replace(
        attention,
        query=centre_outputs(attention.query, attention.heads),
        key=centre_outputs(attention.key, attention.heads),
        query_norm=replace(attention.query_norm, centred=True),
        key_norm=replace(attention.key_norm, centred=True),
    )


def scale_queries(attention: Attention) -> Attention:
    """Move the scale of the scores into the queries, or into the affine part of their norm."""
    scale, norm = attention.scale, attention.query_norm
    if norm is None:
        return replace(attention, scale=1.0, query=scale_outputs(attention.query, scale))
    width = len(attention.query.weight) // attention.heads
    gamma = torch.full((width,), scale, dtype=torch.float64) if norm.gamma is None else norm.gamma * scale
    beta = None if norm.beta is None else norm.beta * scale
    return replace(attention, scale=1.0, query_norm=replace(norm, gamma=gamma, beta=beta))


def absorb_layer_scale(block: Block) -> Block:
    """Fold both LayerScales into the layers before them."""
    attention, down = block.attention, block.down
    if block.attention_scale is not None:
        attention = replace(attention, projection=scale_outputs(attention.projection, block.attention_scale))
    if block.mlp_scale is not None:
        down = scale_outputs(down, block.mlp_scale)
    return replace(block, attention=attention, down=down, attention_scale=None, mlp_scale=None)


def centre_stream(extracted: TransformerParts) -> TransformerParts:
    """Let every token of the residual stream have a mean of 0: all that read it are norms, which subtract the mean.

    Whatever is added to the stream is centred, once its LayerScale was folded. A stream that the output head reads
    without a norm stays as it is.
    """
    if extracted.head.norm is None:
        return extracted
    patches, first = extracted.patches, extracted.norm
    centred = replace(
        patches, weight=centre(patches.weight, 0), bias=None if patches.bias is None else centre(patches.bias, 0)
    )
    return replace(
        extracted,
        patches=centred,
        prefix=centre(extracted.prefix, 1),
        positions=None if extracted.positions is None else centre(extracted.positions, 1),
        norm=None if first is None else replace(first, centred=True),
        recentre=first is not None,
        blocks=tuple(_centre_block(block) for block in extracted.blocks),
        head=replace(extracted.head, norm=replace(extracted.head.norm, centred=True)),
    )


def _centre_block(block: Block) -> Block:
    assert block.attention_scale is None and block.mlp_scale is None
    projection = centre_outputs(block.attention.projection)
    return replace(
        block,
        attention_norm=replace(block.attention_norm, centred=True),
        mlp_norm=replace(block.mlp_norm, centred=True),
        attention=replace(block.attention, projection=projection),
        down=centre_outputs(block.down),
    )
