"""The parts of a timm VisionTransformer as plain tensors, from which rewritten modules are built.

All tensors are float64 copies, so that exact algebra on them stays exact to a float32's rounding. D is the width of
the token stream, H the number of heads, d that of a head.
"""

from dataclasses import dataclass
from typing import Any

import torch
from timm.layers import GELU, GELUTanh, LayerScale, Mlp, PatchEmbed, QuickGELU
from timm.layers.attention import Attention as TimmAttention
from timm.models.deit import VisionTransformerDistilled
from timm.models.vision_transformer import Block as TimmBlock
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from export.core.errors import ConversionError
from export.models.architecture import ClassAndMean
from export.quantization.layers.modules import Product


@dataclass(frozen=True, slots=True)
class Affine:
    """y = x·weightᵀ + bias: `weight [out, in]`, `bias [out]` or None."""

    weight: Tensor
    bias: Tensor | None


@dataclass(frozen=True, slots=True)
class Norm:
    """LayerNorm over the last axis with `eps`, `gamma` and `beta`; `centred` where its inputs have a mean of 0."""

    eps: float
    gamma: Tensor | None
    beta: Tensor | None
    centred: bool = False


@dataclass(frozen=True, slots=True)
class Attention:
    """The layers `query`, `key` and `value` `[H·d, D]`, maybe normalised within each head, and `projection` `[D, H·d]`.

    `scale` multiplies the scores.
    """

    heads: int
    scale: float
    query: Affine
    key: Affine
    value: Affine
    query_norm: Norm | None
    key_norm: Norm | None
    projection: Affine


@dataclass(frozen=True, slots=True)
class Block:
    """Both branches of a block, each with the norm before it and maybe a LayerScale `[D]` after it.

    The MLP is the layers `up` and `down` with the `activation`, a value of `ACTIVATIONS`, between them.
    """

    attention_norm: Norm
    attention: Attention
    attention_scale: Tensor | None
    mlp_norm: Norm
    up: Affine
    activation: str
    down: Affine
    mlp_scale: Tensor | None


@dataclass(frozen=True, slots=True)
class PatchEmbedding:
    """The convolution of the patch embedding: `weight [D, C, h, w]`, `grid` rows and columns of patches."""

    weight: Tensor
    bias: Tensor | None
    grid: tuple[int, int]


@dataclass(frozen=True, slots=True)
class OutputHead:
    """Pooling, final norm and classifiers of `count` tokens from the one of index `first`, which alone are read.

    They are normalised (after pooling, with `norm_after_mean`) and, with `mean`, averaged into one. Then each of the
    `classifiers` reads its own token, and their logits are averaged; without classifiers the token is the output.
    With `mean_from`, the second classifier reads the mean of the tokens from that one on.
    """

    first: int
    count: int
    mean: bool
    norm: Norm | None
    norm_after_mean: bool
    classifiers: tuple[Affine, ...]
    mean_from: int = 0


@dataclass(frozen=True, slots=True)
class TransformerParts:
    """The whole model: `prefix [P, D]` tokens come before the `patches`, to which `positions` are added.

    `norm` is applied to the residual stream before the first block; `recentre` then subtracts the mean of each token.
    """

    patches: PatchEmbedding
    prefix: Tensor
    positions: Tensor | None
    norm: Norm | None
    recentre: bool
    blocks: tuple[Block, ...]
    head: OutputHead


ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.GELU: "gelu",
    GELU: "gelu",
    GELUTanh: "gelu_tanh",
    QuickGELU: "quick_gelu",
}


def extract_parts(module: nn.Module) -> TransformerParts:
    """Return the parts of a model with float weights; raises `ConversionError`, with the reason, for unusual parts."""
    if type(module) not in (VisionTransformer, VisionTransformerDistilled, ClassAndMean):
        raise _unsupported("the model", f"is a {type(module).__name__}, not timm's VisionTransformer")
    assert isinstance(module, VisionTransformer)
    prefix, positions = _tokens(module)
    return TransformerParts(
        patches=_patches(module.patch_embed),
        prefix=prefix,
        positions=positions,
        norm=_norm("norm_pre", module.norm_pre),
        recentre=False,
        blocks=tuple(_block(f"blocks.{index}", block) for index, block in enumerate(module.blocks)),
        head=_output_head(module),
    )


def _unsupported(name: str, reason: str) -> ConversionError:
    return ConversionError(f"this model cannot be rewritten for a runtime: {name} {reason}")


def _exact(values: Tensor) -> Tensor:
    return values.detach().double().cpu().clone()


def _affine(name: str, layer: Any) -> Affine:
    if type(layer) is not nn.Linear:
        raise _unsupported(name, f"is a {type(layer).__name__}, not a plain Linear")
    return Affine(_exact(layer.weight), None if layer.bias is None else _exact(layer.bias))


def _norm(name: str, layer: Any) -> Norm | None:
    if isinstance(layer, nn.Identity):
        return None
    if not isinstance(layer, nn.LayerNorm) or len(layer.normalized_shape) != 1:
        raise _unsupported(name, f"is a {type(layer).__name__}, not LayerNorm")
    gamma, beta = (None if values is None else _exact(values) for values in (layer.weight, layer.bias))
    return Norm(layer.eps, gamma, beta)


def _needed_norm(name: str, layer: Any) -> Norm:
    norm = _norm(name, layer)
    if norm is None:
        raise _unsupported(name, "is missing")
    return norm


def _patches(embed: Any) -> PatchEmbedding:
    if type(embed) is not PatchEmbed or not isinstance(embed.norm, nn.Identity):
        raise _unsupported("patch_embed", f"is a {type(embed).__name__}, or has a normalisation of its own")
    conv = embed.proj
    plain = type(conv) is nn.Conv2d and conv.stride == conv.kernel_size and conv.groups == 1
    if not plain or conv.padding != (0, 0) or conv.dilation != (1, 1) or embed.dynamic_img_pad or not embed.grid_size:
        raise _unsupported("patch_embed", "does not just cut images of one size into patches")
    return PatchEmbedding(_exact(conv.weight), None if conv.bias is None else _exact(conv.bias), tuple(embed.grid_size))


def _tokens(module: VisionTransformer) -> tuple[Tensor, Tensor | None]:
    """Return the tokens before the patches' with their positions added, and the patches' positions."""
    names = [getattr(module, name, None) for name in ("cls_token", "dist_token", "reg_token")]
    tokens = [_exact(token)[0] for token in names if token is not None]
    prefix = torch.cat(tokens) if tokens else torch.zeros(0, module.embed_dim, dtype=torch.float64)
    if module.pos_embed is None:
        return prefix, None
    positions = _exact(module.pos_embed)[0]
    if module.no_embed_class:
        return prefix, positions
    return prefix + positions[: len(prefix)], positions[len(prefix) :]


def _block(name: str, block: Any) -> Block:
    if type(block) is not TimmBlock:
        raise _unsupported(name, f"is a {type(block).__name__}, not timm's Block")
    mlp = block.mlp
    if type(mlp) is not Mlp or not isinstance(mlp.norm, nn.Identity):
        raise _unsupported(f"{name}.mlp", f"is a {type(mlp).__name__}, or has a normalisation within")
    activation = ACTIVATIONS.get(type(mlp.act))
    if activation is None:
        raise _unsupported(f"{name}.mlp", f"has the activation {type(mlp.act).__name__}")
    if activation == "gelu" and getattr(mlp.act, "approximate", "none") == "tanh":
        activation = "gelu_tanh"
    return Block(
        attention_norm=_needed_norm(f"{name}.norm1", block.norm1),
        attention=_attention(f"{name}.attn", block.attn),
        attention_scale=_layer_scale(f"{name}.ls1", block.ls1),
        mlp_norm=_needed_norm(f"{name}.norm2", block.norm2),
        up=_affine(f"{name}.mlp.fc1", mlp.fc1),
        activation=activation,
        down=_affine(f"{name}.mlp.fc2", mlp.fc2),
        mlp_scale=_layer_scale(f"{name}.ls2", block.ls2),
    )


def _layer_scale(name: str, layer: Any) -> Tensor | None:
    if isinstance(layer, nn.Identity):
        return None
    if type(layer) is not LayerScale:
        raise _unsupported(name, f"is a {type(layer).__name__}")
    return _exact(layer.gamma)


def _attention(name: str, layer: Any) -> Attention:
    # Attention that was decomposed for quantization is a class of its own with the same arithmetic.
    decomposed = isinstance(layer, TimmAttention) and isinstance(getattr(layer, "product_qk", None), Product)
    if not (type(layer) is TimmAttention or decomposed) or layer.gate is not None:
        raise _unsupported(name, f"is a {type(layer).__name__}, or has a gate")
    if not isinstance(layer.norm, nn.Identity):
        raise _unsupported(name, "has a normalisation of its output")
    qkv = _affine(f"{name}.qkv", layer.qkv)
    biases = (None,) * 3 if qkv.bias is None else qkv.bias.chunk(3)
    query, key, value = (Affine(*pair) for pair in zip(qkv.weight.chunk(3), biases, strict=True))
    return Attention(
        heads=layer.num_heads,
        scale=layer.scale,
        query=query,
        key=key,
        value=value,
        query_norm=_norm(f"{name}.q_norm", layer.q_norm),
        key_norm=_norm(f"{name}.k_norm", layer.k_norm),
        projection=_affine(f"{name}.proj", layer.proj),
    )


def _output_head(module: VisionTransformer) -> OutputHead:
    if isinstance(module, ClassAndMean):
        return _class_and_mean(module)
    distilled = isinstance(module, VisionTransformerDistilled)
    if module.attn_pool is not None or module.global_pool not in ("token", "avg"):
        raise _unsupported("the pooling", f"{module.global_pool or 'none'!r} is not the class token or the mean")
    before = _norm("norm", module.norm)
    after = None if distilled else _norm("fc_norm", module.fc_norm)
    if before is not None and after is not None:
        raise _unsupported("fc_norm", "comes on top of another norm")
    layers = {"head": module.head} | ({"head_dist": module.head_dist} if distilled else {})
    classifiers = [_affine(name, layer) for name, layer in layers.items() if not isinstance(layer, nn.Identity)]
    first, count, mean = 0, 2 if distilled else 1, distilled and not classifiers
    if module.global_pool == "avg":
        first = 0 if module.pool_include_prefix else module.num_prefix_tokens
        count, mean = module.patch_embed.num_patches + module.num_prefix_tokens - first, True
    return OutputHead(first, count, mean, before or after, after is not None, tuple(classifiers))


def _class_and_mean(module: ClassAndMean) -> OutputHead:
    if not module.num_classes:
        raise _unsupported("the output", "is the class token beside the mean of the patches' tokens")
    if not isinstance(module.fc_norm, nn.Identity):
        raise _unsupported("fc_norm", "comes before two classifiers")
    classifiers = (_affine("head", module.head), _affine("head_mean", module.head_mean))
    tokens = module.patch_embed.num_patches + module.num_prefix_tokens
    return OutputHead(0, tokens, False, _norm("norm", module.norm), False, classifiers, module.num_prefix_tokens)
