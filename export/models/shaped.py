"""The same model in another shape: a VisionTransformer written for the kernels that are to run it.

What PyTorch writes decides what the converters make of it, operation by operation. Outputs stay what they are, but for
the rounding of floats and, where a shape says so, a cheaper GELU.
"""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from export.models import folds
from export.models.anatomy import Anatomy, Block, dissect
from export.models.shaped_layers import Block as ShapedBlock
from export.models.shaped_layers import Embedding, End, HeadsApart, HeadsTogether, gelu


@dataclass(frozen=True, slots=True)
class Shape:
    """How a runtime likes its models.

    `heads_apart`: linear layers and products of each head's own. `cheap_gelu`: by a sigmoid, which differs from erf's
    by up to 2.8e-4. `changes_weights`: weights may take in what stands before and behind them; without it they stay
    bit for bit what they are, so that a recipe's integers can be found again in the converted graph.
    """

    heads_apart: bool
    cheap_gelu: bool
    changes_weights: bool


# TF.js multiplies matrices fast only one by one and untransposed, and has no vector code for erf and tanh. LiteRT has
# one operation for GELU and one for all heads' products.
SHAPES: dict[str, Shape] = {
    "tfjs": Shape(heads_apart=True, cheap_gelu=True, changes_weights=True),
    "tfjs_packed": Shape(heads_apart=True, cheap_gelu=True, changes_weights=False),
    "tflite": Shape(heads_apart=False, cheap_gelu=False, changes_weights=True),
    "tflite_packed": Shape(heads_apart=False, cheap_gelu=False, changes_weights=False),
}


class ShapedTransformer(nn.Module):
    """A model of a shape: one image in, `pixels [1, C, H, W]` → `[1, K]`."""

    def __init__(self, parts: Anatomy, shape: Shape) -> None:
        super().__init__()
        heads = HeadsApart if shape.heads_apart else HeadsTogether
        rows = [None] * (len(parts.blocks) - 1) + [_read_rows(parts)]
        self.embedding = Embedding(parts)
        self.blocks = nn.Sequential(
            *[
                ShapedBlock(block, heads(block.attention), gelu(block.activation, cheap=shape.cheap_gelu), kept)
                for block, kept in zip(parts.blocks, rows, strict=True)
            ]
        )
        self.end = End(parts.end)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map `[1, C, H, W]` to `[1, K]`."""
        result: Tensor = self.end(self.blocks(self.embedding(pixels)))
        return result


def shape(module: nn.Module, target: str, *, exact_gelu: bool = False) -> nn.Module:
    """Return a timm VisionTransformer with plain float weights in the shape `target` of `SHAPES`.

    It takes one image and computes in the module's own type. Raises `ConversionError`, with the reason, for a model of
    another architecture or with unusual parts.
    """
    chosen = SHAPES[target]
    if exact_gelu:
        chosen = replace(chosen, cheap_gelu=False)
    parts = fold_constants(dissect(module))
    if chosen.changes_weights:
        parts = fold_weights(parts, scale_queries=not chosen.heads_apart)
    own_type = next(module.parameters()).dtype
    return ShapedTransformer(parts, chosen).to(own_type).eval()


def fold_constants(parts: Anatomy) -> Anatomy:
    """Return the parts with fewer additions, by folds that touch no weight of a linear layer or convolution."""
    end, norm, classifiers = parts.end, parts.end.norm, parts.end.classifiers
    if norm is not None and classifiers:
        norm, classifiers = folds.shift_into(norm, *classifiers)
    return replace(
        parts, blocks=tuple(_fold_constants(block) for block in parts.blocks),
        end=replace(end, norm=norm, classifiers=classifiers),
    )  # fmt: skip


def _fold_constants(block: Block) -> Block:
    attention = block.attention
    norm, (query, key, value) = folds.shift_into(block.attention_norm, attention.query, attention.key, attention.value)
    attention = replace(attention, query=query, key=key, value=value)
    for fold in (folds.drop_key_bias, folds.move_value_bias, folds.move_key_gamma):
        attention = fold(attention)
    mlp_norm, (up,) = folds.shift_into(block.mlp_norm, block.up)
    return replace(block, attention_norm=norm, attention=attention, mlp_norm=mlp_norm, up=up)


def fold_weights(parts: Anatomy, *, scale_queries: bool) -> Anatomy:
    """Return the parts, constants folded before, without gammas, scales and means that weights can take in."""
    end, norm, classifiers = parts.end, parts.end.norm, parts.end.classifiers
    if norm is not None and classifiers:
        norm, classifiers = folds.scale_into(norm, *classifiers)
    blocks = tuple(_fold_weights(block, scale_queries) for block in parts.blocks)
    return folds.centre_stream(replace(parts, blocks=blocks, end=replace(end, norm=norm, classifiers=classifiers)))


def _fold_weights(block: Block, scale_queries: bool) -> Block:
    attention = block.attention
    norm, (query, key, value) = folds.scale_into(block.attention_norm, attention.query, attention.key, attention.value)
    attention = folds.centre_heads(replace(attention, query=query, key=key, value=value))
    if scale_queries:
        attention = folds.scale_queries(attention)
    mlp_norm, (up,) = folds.scale_into(block.mlp_norm, block.up)
    return folds.absorb_layer_scale(replace(block, attention_norm=norm, attention=attention, mlp_norm=mlp_norm, up=up))


def _read_rows(parts: Anatomy) -> slice | None:
    """Return which tokens the end reads, or None where it reads all."""
    end, all_tokens = parts.end, parts.patches.grid[0] * parts.patches.grid[1] + len(parts.prefix)
    return None if end.count == all_tokens else slice(end.first, end.first + end.count)
