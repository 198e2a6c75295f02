"""What writes to a ViT's residual stream and what reads it: the parts that a change of its basis concerns."""

from dataclasses import dataclass

from timm.layers import LayerScale
from timm.layers.attention import Attention
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from export.core.errors import ConversionError

HEADS = ("head", "head_dist", "head_mean")
GATED = "fc1_g", "fc1_x"  # of an MLP whose two first layers are apart
HINT = "choose a method that does not change the basis, such as gptq, repq or smoothquant"


@dataclass(frozen=True)
class Reader:
    """The linear `layers` that read the stream behind `norm`, or read it as it is where that is None."""

    norm: nn.LayerNorm | None
    layers: tuple[nn.Linear, ...]


@dataclass(frozen=True)
class Writer:
    """A layer whose outputs are added to the stream, scaled by `scale` where that is not None."""

    layer: nn.Linear | nn.Conv2d
    scale: LayerScale | None = None


@dataclass(frozen=True)
class ResidualStream:
    """The stream of a pre-norm ViT: all that writes to it, all that reads it, and what is added as it stands.

    `tokens` are parameters `[…, size]`: the prefix and the position embeddings.
    """

    size: int
    tokens: tuple[nn.Parameter, ...]
    writers: tuple[Writer, ...]
    readers: tuple[Reader, ...]
    attentions: tuple[Attention, ...]


def find_stream(module: nn.Module) -> ResidualStream:
    """Return the residual stream of one of timm's ViTs; raises `ConversionError` for any other model."""
    if not isinstance(module, VisionTransformer):
        raise _refused(module, "only the ViTs and DeiTs of timm have one whose basis is free")
    heads = tuple(head for name in HEADS if isinstance(head := getattr(module, name, None), nn.Linear))
    if not heads or module.attn_pool is not None:
        raise _refused(module, "its output is an embedding, or pooled by attention, in the basis as it is")
    if not all(isinstance(layer, nn.Identity) for layer in (module.norm_pre, module.patch_embed.norm)):
        raise _refused(module, "a LayerNorm writes to it")
    tokens = (getattr(module, name, None) for name in ("cls_token", "dist_token", "reg_token", "pos_embed"))
    last = next((norm for norm in (module.norm, module.fc_norm) if not isinstance(norm, nn.Identity)), None)
    writers, readers = [Writer(module.patch_embed.proj)], []
    for block in module.blocks:
        if type(block) is not Block or not isinstance(block.attn, Attention):
            raise _refused(module, f"its blocks are {type(block).__name__}s with {type(block.attn).__name__}")
        writers += [_writer(block.attn.proj, block.ls1), _writer(block.mlp.fc2, block.ls2)]
        gate = () if block.attn.gate is None else (block.attn.gate,)
        readers.append(_reader(module, block.norm1, (block.attn.qkv, *gate)))
        readers.append(_reader(module, block.norm2, _first_layers(block.mlp)))
    return ResidualStream(
        size=module.embed_dim,
        tokens=tuple(token for token in tokens if isinstance(token, nn.Parameter)),
        writers=tuple(writers),
        readers=(*readers, _reader(module, last, heads)),
        attentions=tuple(block.attn for block in module.blocks),
    )


def _first_layers(mlp: nn.Module) -> tuple[nn.Module, ...]:
    return (mlp.fc1,) if hasattr(mlp, "fc1") else tuple(getattr(mlp, name) for name in GATED)  # type: ignore[return-value]


def _writer(layer: nn.Linear, scale: nn.Module) -> Writer:
    return Writer(layer, scale if isinstance(scale, LayerScale) else None)


def _reader(module: nn.Module, norm: nn.Module | None, layers: tuple[nn.Module, ...]) -> Reader:
    linear = tuple(layer for layer in layers if isinstance(layer, nn.Linear))
    if norm is not None and not isinstance(norm, nn.LayerNorm):
        raise _refused(module, f"its norm is {type(norm).__name__}, not LayerNorm")
    if len(linear) != len(layers):
        raise _refused(module, "what reads it is not linear")
    return Reader(norm, linear)


def has_free_values(attention: Attention) -> bool:
    """Tell whether nothing but the projection takes the weighted means of values, in their own basis or not."""
    return isinstance(attention.norm, nn.Identity) and attention.gate is None


def has_free_keys(attention: Attention) -> bool:
    """Tell whether queries and keys are multiplied as the layer gives them, without norms between."""
    return isinstance(attention.q_norm, nn.Identity) and isinstance(attention.k_norm, nn.Identity)


def bias_of(layer: nn.Linear) -> Tensor:
    """Return a layer's bias, of zeros where it had none before."""
    if layer.bias is None:
        layer.bias = nn.Parameter(layer.weight.new_zeros(layer.out_features), requires_grad=False)
    return layer.bias


def _refused(module: nn.Module, why: str) -> ConversionError:
    return ConversionError(f"{type(module).__name__}: the residual stream cannot be rotated: {why}", hint=HINT)
