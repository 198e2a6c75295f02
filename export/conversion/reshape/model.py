"""Runtime-specific graph rewrites: a VisionTransformer rewritten for the kernels of the runtime that is to run it.

What PyTorch computes decides what the converters make of it, operation by operation. Outputs are the same, but for the
rounding of floats and, where a rewrite says so, a GELU approximated by a sigmoid.
"""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from export.conversion.reshape import folds
from export.conversion.reshape.layers import BatchedHeadsAttention, Embedding, Norm, OutputHead, PerHeadAttention, gelu
from export.conversion.reshape.layers import Block as BlockLayer
from export.conversion.reshape.parts import Block, TransformerParts, extract_parts


@dataclass(frozen=True, slots=True)
class GraphRewrite:
    """The rewrite for a runtime.

    `per_head`: linear layers and products of each head's own. `sigmoid_gelu`: GELU by a sigmoid, which differs from the
    one by erf by up to 2.8e-4. `folds_weights`: constants before and after weights are folded into them; without it
    they stay bit for bit what they are, so that a recipe's integers can be found again in the converted graph.
    `folds_gammas`: so is the gamma before them, which widens their range where they share one scale.
    `folds_score_scale`: so is the scale of attention's scores. `matmul_mean`: norms compute means by a matrix product.
    """

    per_head: bool
    sigmoid_gelu: bool
    folds_weights: bool
    folds_gammas: bool = False
    folds_score_scale: bool = False
    matmul_mean: bool = False


# TF.js multiplies matrices fast on a CPU only one by one and untransposed, and has no vector code for erf and tanh;
# gammas cost it less than 1 % of its time, and folded they cost u8 about 2 dB. On a GPU every operation is a dispatch
# of its own or several (a mean is), which costs more than what it computes; its weights are those of the rewrite for
# CPUs, so that a page stores them once. LiteRT has one operation for GELU and one for all heads' products.
REWRITES: dict[str, GraphRewrite] = {
    "tfjs": GraphRewrite(per_head=True, sigmoid_gelu=True, folds_weights=True),
    "tfjs_packed": GraphRewrite(per_head=True, sigmoid_gelu=True, folds_weights=False),
    "tfjs_gpu": GraphRewrite(per_head=False, sigmoid_gelu=False, folds_weights=True, matmul_mean=True),
    "tfjs_gpu_packed": GraphRewrite(per_head=False, sigmoid_gelu=False, folds_weights=False, matmul_mean=True),
    "tflite": GraphRewrite(
        per_head=False, sigmoid_gelu=False, folds_weights=True, folds_gammas=True, folds_score_scale=True
    ),
    "tflite_packed": GraphRewrite(per_head=False, sigmoid_gelu=False, folds_weights=False),
}


class RewrittenTransformer(nn.Module):
    """A rewritten model: one image in, `pixels [1, C, H, W]` → `[1, K]`."""

    def __init__(self, parts: TransformerParts, rewrite: GraphRewrite) -> None:
        super().__init__()
        heads = PerHeadAttention if rewrite.per_head else BatchedHeadsAttention
        rows = [None] * (len(parts.blocks) - 1) + [_read_rows(parts)]
        self.embedding = Embedding(parts)
        self.blocks = nn.Sequential(
            *[
                BlockLayer(block, heads(block.attention), gelu(block.activation, by_sigmoid=rewrite.sigmoid_gelu), kept)
                for block, kept in zip(parts.blocks, rows, strict=True)
            ]
        )
        self.head = OutputHead(parts.head)
        if rewrite.matmul_mean:
            for layer in self.modules():
                if isinstance(layer, Norm):
                    layer.use_matmul_mean()

    def forward(self, pixels: Tensor) -> Tensor:
        """Map `[1, C, H, W]` to `[1, K]`."""
        result: Tensor = self.head(self.blocks(self.embedding(pixels)))
        return result


def rewrite_for_runtime(module: nn.Module, target: str, *, exact_gelu: bool = False) -> nn.Module:
    """Return a timm VisionTransformer with plain float weights rewritten for the `target` of `REWRITES`.

    It takes one image and computes in the module's own type. Raises `ConversionError`, with the reason, for a model of
    another architecture or with unusual parts.
    """
    rewrite = REWRITES[target]
    if exact_gelu:
        rewrite = replace(rewrite, sigmoid_gelu=False)
    parts = fold_constants(extract_parts(module))
    if rewrite.folds_gammas:
        parts = fold_gammas(parts)
    if rewrite.folds_weights:
        parts = fold_weights(parts, scale_queries=rewrite.folds_score_scale)
    dtype = next(module.parameters()).dtype
    return RewrittenTransformer(parts, rewrite).to(dtype).eval()


def fold_constants(parts: TransformerParts) -> TransformerParts:
    """Return the parts with fewer additions, by folds that change no weight of a linear layer or convolution."""
    head = parts.head
    if head.norm is not None and head.classifiers:
        norm, classifiers = folds.shift_into(head.norm, *head.classifiers)
        head = replace(head, norm=norm, classifiers=classifiers)
    return replace(parts, blocks=tuple(_fold_constants(block) for block in parts.blocks), head=head)


def _fold_constants(block: Block) -> Block:
    attention = block.attention
    norm, (query, key, value) = folds.shift_into(block.attention_norm, attention.query, attention.key, attention.value)
    attention = replace(attention, query=query, key=key, value=value)
    for fold in (folds.drop_key_bias, folds.move_value_bias, folds.move_key_gamma):
        attention = fold(attention)
    mlp_norm, (up,) = folds.shift_into(block.mlp_norm, block.up)
    return replace(block, attention_norm=norm, attention=attention, mlp_norm=mlp_norm, up=up)


def fold_gammas(parts: TransformerParts) -> TransformerParts:
    """Return the parts, constants folded before, with the norms' gammas folded into the layers that read them."""
    head = parts.head
    if head.norm is not None and head.classifiers:
        norm, classifiers = folds.scale_into(head.norm, *head.classifiers)
        head = replace(head, norm=norm, classifiers=classifiers)
    return replace(parts, blocks=tuple(_fold_gammas(block) for block in parts.blocks), head=head)


def _fold_gammas(block: Block) -> Block:
    attention = block.attention
    norm, (query, key, value) = folds.scale_into(block.attention_norm, attention.query, attention.key, attention.value)
    mlp_norm, (up,) = folds.scale_into(block.mlp_norm, block.up)
    attention = replace(attention, query=query, key=key, value=value)
    return replace(block, attention_norm=norm, attention=attention, mlp_norm=mlp_norm, up=up)


def fold_weights(parts: TransformerParts, *, scale_queries: bool) -> TransformerParts:
    """Return the parts with LayerScales and means folded into weights, and maybe the scale of attention's scores."""
    blocks = tuple(folds.absorb_layer_scale(block) for block in parts.blocks)
    blocks = tuple(replace(block, attention=folds.centre_heads(block.attention)) for block in blocks)
    if scale_queries:
        blocks = tuple(replace(block, attention=folds.scale_queries(block.attention)) for block in blocks)
    return folds.centre_stream(replace(parts, blocks=blocks))


def _read_rows(parts: TransformerParts) -> slice | None:
    """Return which tokens the output head reads, or None where it reads all."""
    head, all_tokens = parts.head, parts.patches.grid[0] * parts.patches.grid[1] + len(parts.prefix)
    return None if head.count == all_tokens else slice(head.first, head.first + head.count)
