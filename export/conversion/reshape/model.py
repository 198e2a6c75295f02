"""The same model in another shape: a VisionTransformer written for the kernels that are to run it.

What PyTorch writes decides what the converters make of it, operation by operation. Outputs stay what they are, but for
the rounding of floats and, where a shape says so, a cheaper GELU.
"""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from export.conversion.reshape import folds
from export.conversion.reshape.layers import Block as ShapedBlock
from export.conversion.reshape.layers import Embedding, End, HeadsApart, HeadsTogether, Norm, gelu
from export.conversion.reshape.parts import Anatomy, Block, dissect


@dataclass(frozen=True, slots=True)
class Shape:
    """How a runtime likes its models.

    `heads_apart`: linear layers and products of each head's own. `cheap_gelu`: by a sigmoid, which differs from erf's
    by up to 2.8e-4. `changes_weights`: weights may take in what stands before and behind them; without it they stay
    bit for bit what they are, so that a recipe's integers can be found again in the converted graph. `takes_gamma`:
    they take in the gamma before them too, which widens their range where one scale is to hold them all.
    `scales_queries`: their weights take in the scores' scale. `means_by_product`: norms take their means by a matrix
    product.
    """

    heads_apart: bool
    cheap_gelu: bool
    changes_weights: bool
    takes_gamma: bool = False
    scales_queries: bool = False
    means_by_product: bool = False


# TF.js multiplies matrices fast on a CPU only one by one and untransposed, and has no vector code for erf and tanh;
# gammas cost it less than 1 % of its time, and taken in they cost u8 about 2 dB. On a GPU every operation is a program
# of its own or several (a mean is), whose start costs more than what it computes; its weights are those of the shape
# for CPUs, so that a page keeps them once. LiteRT has one operation for GELU and one for all heads' products.
SHAPES: dict[str, Shape] = {
    "tfjs": Shape(heads_apart=True, cheap_gelu=True, changes_weights=True),
    "tfjs_packed": Shape(heads_apart=True, cheap_gelu=True, changes_weights=False),
    "tfjs_gpu": Shape(heads_apart=False, cheap_gelu=False, changes_weights=True, means_by_product=True),
    "tfjs_gpu_packed": Shape(heads_apart=False, cheap_gelu=False, changes_weights=False, means_by_product=True),
    "tflite": Shape(heads_apart=False, cheap_gelu=False, changes_weights=True, takes_gamma=True, scales_queries=True),
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
        if shape.means_by_product:
            for layer in self.modules():
                if isinstance(layer, Norm):
                    layer.take_mean_by_product()

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
    if chosen.takes_gamma:
        parts = fold_gammas(parts)
    if chosen.changes_weights:
        parts = fold_weights(parts, scale_queries=chosen.scales_queries)
    own_type = next(module.parameters()).dtype
    return ShapedTransformer(parts, chosen).to(own_type).eval()


def fold_constants(parts: Anatomy) -> Anatomy:
    """Return the parts with fewer additions, by folds that touch no weight of a linear layer or convolution."""
    end = parts.end
    if end.norm is not None and end.classifiers:
        norm, classifiers = folds.shift_into(end.norm, *end.classifiers)
        end = replace(end, norm=norm, classifiers=classifiers)
    return replace(parts, blocks=tuple(_fold_constants(block) for block in parts.blocks), end=end)


def _fold_constants(block: Block) -> Block:
    attention = block.attention
    norm, (query, key, value) = folds.shift_into(block.attention_norm, attention.query, attention.key, attention.value)
    attention = replace(attention, query=query, key=key, value=value)
    for fold in (folds.drop_key_bias, folds.move_value_bias, folds.move_key_gamma):
        attention = fold(attention)
    mlp_norm, (up,) = folds.shift_into(block.mlp_norm, block.up)
    return replace(block, attention_norm=norm, attention=attention, mlp_norm=mlp_norm, up=up)


def fold_gammas(parts: Anatomy) -> Anatomy:
    """Return the parts, constants folded before, with the norms' gammas in the layers that read them."""
    end = parts.end
    if end.norm is not None and end.classifiers:
        norm, classifiers = folds.scale_into(end.norm, *end.classifiers)
        end = replace(end, norm=norm, classifiers=classifiers)
    return replace(parts, blocks=tuple(_fold_gammas(block) for block in parts.blocks), end=end)


def _fold_gammas(block: Block) -> Block:
    attention = block.attention
    norm, (query, key, value) = folds.scale_into(block.attention_norm, attention.query, attention.key, attention.value)
    mlp_norm, (up,) = folds.scale_into(block.mlp_norm, block.up)
    attention = replace(attention, query=query, key=key, value=value)
    return replace(block, attention_norm=norm, attention=attention, mlp_norm=mlp_norm, up=up)


def fold_weights(parts: Anatomy, *, scale_queries: bool) -> Anatomy:
    """Return the parts without LayerScales and means, and maybe without the scores' scale."""
    blocks = tuple(folds.absorb_layer_scale(block) for block in parts.blocks)
    blocks = tuple(replace(block, attention=folds.centre_heads(block.attention)) for block in blocks)
    if scale_queries:
        blocks = tuple(replace(block, attention=folds.scale_queries(block.attention)) for block in blocks)
    return folds.centre_stream(replace(parts, blocks=blocks))


def _read_rows(parts: Anatomy) -> slice | None:
    """Return which tokens the end reads, or None where it reads all."""
    end, all_tokens = parts.end, parts.patches.grid[0] * parts.patches.grid[1] + len(parts.prefix)
    return None if end.count == all_tokens else slice(end.first, end.first + end.count)
