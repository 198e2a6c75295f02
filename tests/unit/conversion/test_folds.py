"""Every fold changes constants, not outputs: both sides in float64, on random numbers."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from shaped_models import model
from torch import Tensor

from export.conversion.reshape import folds
from export.conversion.reshape.layers import BatchedHeadsAttention, Linear, PerHeadAttention
from export.conversion.reshape.layers import Norm as NormLayer
from export.conversion.reshape.model import REWRITES, RewrittenTransformer
from export.conversion.reshape.parts import Affine, Attention, Block, Norm, TransformerParts, extract_parts

HEADS, WIDTH, TOKENS = 2, 6, 5
SAME = {"rtol": 0.0, "atol": 1e-12}


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + sum(size)))


def affine(seed: int = 0, bias: bool = True) -> Affine:
    return Affine(random(WIDTH, WIDTH, seed=seed), random(WIDTH, seed=seed) if bias else None)


def norm(seed: int = 0, size: int = WIDTH) -> Norm:
    return Norm(1e-6, 1 + random(size, seed=seed), random(size, seed=seed + 1))


def attention(*, norms: bool, bias: bool = True) -> Attention:
    query, key, value = (affine(seed, bias) for seed in range(3))
    own = (norm(7, WIDTH // HEADS), norm(9, WIDTH // HEADS)) if norms else (None, None)
    return Attention(HEADS, 0.7, query, key, value, *own, affine(5, bias))


def attended(parts: Attention, layer: type[PerHeadAttention | BatchedHeadsAttention] = PerHeadAttention) -> Tensor:
    found: Tensor = layer(parts)(random(TOKENS, WIDTH), None)
    return found


def through(norm_parts: Norm, layer: Affine) -> Tensor:
    found: Tensor = Linear(layer)(NormLayer(norm_parts)(random(TOKENS, WIDTH)))
    return found


@pytest.mark.parametrize("bias", [True, False])
def test_a_norm_s_shift_and_scale_move_into_what_reads_it(bias: bool) -> None:
    layers = affine(1, bias), affine(2, bias)
    shifted, moved = folds.shift_into(norm(), *layers)
    assert shifted.beta is None and [layer.weight for layer in moved] == [layer.weight for layer in layers]
    scaled, folded = folds.scale_into(shifted, *moved)
    assert scaled.gamma is None
    for before, between, after in zip(layers, moved, folded, strict=True):
        torch.testing.assert_close(through(shifted, between), through(norm(), before), **SAME)
        torch.testing.assert_close(through(scaled, after), through(norm(), before), **SAME)


def test_a_norm_without_them_is_left_alone() -> None:
    plain, layer = Norm(1e-6, None, None), affine()
    assert folds.shift_into(plain, layer) == (plain, (layer,)) == folds.scale_into(plain, layer)


@pytest.mark.parametrize("groups", [1, HEADS])
@pytest.mark.parametrize("bias", [True, False])
def test_centred_outputs_differ_by_their_mean_alone(groups: int, bias: bool) -> None:
    x = random(TOKENS, WIDTH)
    before, after = Linear(affine(1, bias))(x), Linear(folds.centre_outputs(affine(1, bias), groups))(x)
    parts = before.reshape(TOKENS, groups, -1)
    torch.testing.assert_close(after, (parts - parts.mean(-1, keepdim=True)).reshape(before.shape), **SAME)


@pytest.mark.parametrize("factor", [0.3, random(WIDTH)])
def test_scaled_outputs(factor: float | Tensor) -> None:
    x = random(TOKENS, WIDTH)
    torch.testing.assert_close(Linear(folds.scale_outputs(affine(), factor))(x), Linear(affine())(x) * factor, **SAME)


@pytest.mark.parametrize("norms", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("fold", [folds.drop_key_bias, folds.move_value_bias, folds.centre_heads, folds.scale_queries])
def test_folds_of_attention(fold: Callable[[Attention], Attention], norms: bool, bias: bool) -> None:
    parts = attention(norms=norms, bias=bias)
    torch.testing.assert_close(attended(fold(parts)), attended(parts), **SAME)


def test_what_folds_of_attention_leave_out() -> None:
    assert folds.drop_key_bias(attention(norms=False)).key.bias is None
    assert folds.move_value_bias(attention(norms=False)).value.bias is None
    assert folds.scale_queries(attention(norms=True)).scale == 1
    normed = folds.drop_key_bias(attention(norms=True))
    assert normed.key_norm is not None and normed.key_norm.beta is None
    moved = folds.move_key_gamma(normed)
    assert moved.key_norm is not None and moved.key_norm.gamma is None
    torch.testing.assert_close(attended(moved), attended(attention(norms=True)), **SAME)
    plain = attention(norms=False)
    assert folds.move_key_gamma(plain) is plain


@pytest.mark.parametrize("norms", [True, False])
def test_heads_apart_and_together_attend_alike(norms: bool) -> None:
    parts = attention(norms=norms)
    torch.testing.assert_close(attended(parts, BatchedHeadsAttention), attended(parts), **SAME)
    rows, x = slice(1, 3), random(TOKENS, WIDTH)
    for layer in (PerHeadAttention, BatchedHeadsAttention):
        torch.testing.assert_close(layer(parts)(x, rows), attended(parts)[rows], **SAME)


def run(parts: TransformerParts, pixels: Tensor) -> Tensor:
    found: Tensor = RewrittenTransformer(parts, replace(REWRITES["tfjs"], sigmoid_gelu=False))(pixels.double())
    return found


@pytest.mark.parametrize("kind", ["positions of patches alone", "norm before the blocks, quick GELU", "no last norm"])
def test_layer_scale_and_mean_of_the_stream(kind: str) -> None:
    module, pixels = model(kind)
    parts = extract_parts(module)
    absorbed = replace(parts, blocks=tuple(folds.absorb_layer_scale(block) for block in parts.blocks))
    torch.testing.assert_close(run(absorbed, pixels), run(parts, pixels), **SAME)
    centred = folds.centre_stream(absorbed)
    torch.testing.assert_close(run(centred, pixels), run(parts, pixels), **SAME)
    if parts.head.norm is None:
        assert centred is absorbed
        return
    stream = RewrittenTransformer(centred, REWRITES["tfjs"]).embedding(pixels.double())
    torch.testing.assert_close(stream.mean(-1), torch.zeros(len(stream), dtype=torch.float64), **SAME)
    assert all(unscaled(block) and block.mlp_norm.centred for block in centred.blocks)


def unscaled(block: Block) -> bool:
    return block.attention_scale is None and block.mlp_scale is None
