"""Names of tensors as data: what transformers calls them, and what timm does.

Both the names that files have had since transformers 4 and those that modules have in version 5 are known.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

Target = str | Callable[[re.Match[str]], str]
LAYER = r"(?:encoder\.)?(?:layer|layers)\.(\d+)"
STAGE = r"(?:encoder\.)?layers\.(\d+)"
QUERY_KEY_VALUE = ("query", "key", "value")
GATED = ("gate", "up")


@dataclass(frozen=True, slots=True)
class Names:
    """How a family's tensors are renamed: the first pattern that the whole name matches, once without `prefixes`.

    `dropped` are names of what is used in training alone, or derived from other tensors.
    """

    prefixes: tuple[str, ...]
    renamed: tuple[tuple[re.Pattern[str], Target], ...]
    dropped: re.Pattern[str]

    def timm_name(self, name: str) -> str | None:
        """Return timm's name of a tensor, "" for one that is dropped, None for one that is unknown."""
        own = next((name.removeprefix(one) for one in self.prefixes if name.startswith(one)), name)
        own = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", own))  # of LayerNorm, in files of old
        if self.dropped.fullmatch(own):
            return ""
        for pattern, target in self.renamed:
            found = pattern.fullmatch(own)
            if found:
                return found.expand(target) if isinstance(target, str) else target(found)
        return None


def _table(*rows: tuple[str, Target]) -> tuple[tuple[re.Pattern[str], Target], ...]:
    return tuple((re.compile(pattern), target) for pattern, target in rows)


def _attention(place: str, target: str) -> tuple[tuple[str, Target], ...]:
    """Return how the layers of an attention are renamed; its queries, keys and values are joined afterwards."""
    short = {"q_proj": "query", "k_proj": "key", "v_proj": "value"}

    def joined(found: re.Match[str]) -> str:
        return f"{found.expand(target)}.attn.{short.get(found['kind'], found['kind'])}.{found['end']}"

    return (
        (rf"{place}\.attention\.(?:attention\.|self\.)?(?P<kind>query|key|value|[qkv]_proj)\.(?P<end>\w+)", joined),
        (rf"{place}\.attention\.(?:output\.dense|o_proj)\.(?P<end>\w+)", rf"{target}.attn.proj.\g<end>"),
    )


def _mlp(place: str, target: str) -> tuple[tuple[str, Target], ...]:
    return (
        (rf"{place}\.(?:intermediate\.dense|mlp\.fc1|mlp\.weights_in)\.(?P<end>\w+)", rf"{target}.mlp.fc1.\g<end>"),
        (
            rf"{place}\.(?:output\.dense|mlp\.fc2|mlp\.weights_out|mlp\.down_proj)\.(?P<end>\w+)",
            rf"{target}.mlp.fc2.\g<end>",
        ),
        (rf"{place}\.mlp\.(?P<kind>gate|up)_proj\.(?P<end>\w+)", rf"{target}.mlp.\g<kind>.\g<end>"),
        (rf"{place}\.(?:layernorm_before|norm1)\.(?P<end>\w+)", rf"{target}.norm1.\g<end>"),
        (rf"{place}\.(?:layernorm_after|norm2)\.(?P<end>\w+)", rf"{target}.norm2.\g<end>"),
        (rf"{place}\.layer_scale(?P<which>[12])\.lambda1", rf"{target}.ls\g<which>.gamma"),
    )


VIT = Names(
    prefixes=("vit.", "deit.", "dinov2_with_registers.", "dinov2."),
    renamed=_table(
        (r"embeddings\.cls_token", "cls_token"),
        (r"embeddings\.distillation_token", "dist_token"),
        (r"embeddings\.register_tokens", "reg_token"),
        (r"embeddings\.position_embeddings", "pos_embed"),
        (r"embeddings\.patch_embeddings\.projection\.(\w+)", r"patch_embed.proj.\1"),
        *_attention(LAYER, r"blocks.\1"),
        *_mlp(LAYER, r"blocks.\1"),
        (r"layernorm\.(\w+)", r"norm.\1"),
        (r"(?:classifier|cls_classifier)\.(\w+)", r"head.\1"),
        (r"distillation_classifier\.(\w+)", r"head_dist.\1"),
    ),
    dropped=re.compile(r"pooler\..+|embeddings\.(mask_token|position_ids)|decoder\..+"),
)


def _next_stage(found: re.Match[str]) -> str:
    """Return timm's place of a merging, which it has at the beginning of the next stage."""
    return f"layers.{int(found[1]) + 1}.downsample.{found[2]}"


SWIN = Names(
    prefixes=("swin.",),
    renamed=_table(
        (r"embeddings\.patch_embeddings\.projection\.(\w+)", r"patch_embed.proj.\1"),
        (r"embeddings\.norm\.(\w+)", r"patch_embed.norm.\1"),
        *_attention(rf"{STAGE}\.blocks\.(\d+)", r"layers.\1.blocks.\2"),
        *_mlp(rf"{STAGE}\.blocks\.(\d+)", r"layers.\1.blocks.\2"),
        (
            rf"{STAGE}\.blocks\.(\d+)\.attention\.(?:self\.|relative_position_bias\.)relative_position_bias_table",
            r"layers.\1.blocks.\2.attn.relative_position_bias_table",
        ),
        (rf"{STAGE}\.downsample\.(.+)", _next_stage),
        (r"layernorm\.(\w+)", r"norm.\1"),
        (r"classifier\.(\w+)", r"head.fc.\1"),
    ),
    dropped=re.compile(r"pooler\..+|embeddings\.mask_token|decoder\..+|.+\.relative_position_index"),
)


def _residual(found: re.Match[str]) -> str:
    kind = "conv" if found[4] == "convolution" else "bn"
    return f"layer{int(found[1]) + 1}.{found[2]}.{kind}{int(found[3]) + 1}.{found[5]}"


def _shortcut(found: re.Match[str]) -> str:
    return f"layer{int(found[1]) + 1}.{found[2]}.downsample.{int(found[3] == 'normalization')}.{found[4]}"


RESNET = Names(
    prefixes=("resnet.",),
    renamed=_table(
        (r"embedder\.embedder\.convolution\.(\w+)", r"conv1.\1"),
        (r"embedder\.embedder\.normalization\.(\w+)", r"bn1.\1"),
        (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.layer\.(\d+)\.(convolution|normalization)\.(\w+)", _residual),
        (r"encoder\.stages\.(\d+)\.layers\.(\d+)\.shortcut\.(convolution|normalization)\.(\w+)", _shortcut),
        (r"classifier\.1\.(\w+)", r"fc.\1"),
    ),
    dropped=re.compile(r"pooler\..+"),
)
