"""Checkpoints of other libraries, and of other kinds: known by names of their tensors, each with what can be done."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

FROM_TIMM = "save the weights of a timm model of this architecture; its tensors are named blocks.0.attn.qkv.weight …"


@dataclass(frozen=True, slots=True)
class Foreign:
    """A kind of checkpoint that cannot be loaded: `title` says what it is, `hint` what can be done."""

    title: str
    names: re.Pattern[str]
    hint: str


FOREIGN = tuple(
    Foreign(title, re.compile(names), hint)
    for title, names, hint in (
        ("is a LoRA adapter", r"\.lora_(A|B|a|b|down|up)\b", "merge it first: model.merge_and_unload() in peft"),
        (
            "is already quantized",
            r"(_packed_params|\.weight_scale|\.SCB|\.qweight|\.qzeros)(\.|$)",
            "pass the float weights that it was made from",
        ),
        (
            "has parametrized weights",
            r"\.parametrizations\.|\.weight_(g|v)$",
            "call torch.nn.utils.parametrize.remove_parametrizations, or remove_weight_norm, before saving",
        ),
        (
            "has the tensor names of Hugging Face transformers",
            r"(^|\.)(embeddings\.patch_embeddings\.|encoder\.layers?\.\d+\.(attention\.attention|layernorm_|norm1|self_attn)"
            r"|encoder\.layers\.\d+\.blocks\.\d+\.attention)",
            "leave --model out and pass the folder that save_pretrained wrote, whose config.json says what the model "
            "is: --checkpoint FOLDER; a repository of the hub: --model hf_hub:USER/REPO",
        ),
        (
            "has the tensor names of torchvision",
            r"(^|\.)(encoder\.layers\.encoder_layer_\d+\.|features\.\d+\.\d+\.(attn|norm1)\.|conv_proj\.|heads\.head\.)",
            FROM_TIMM,
        ),
        (
            "has the tensor names of vit-pytorch",
            r"(^|\.)(to_patch_embedding\.|transformer\.layers\.\d+\.\d+\.)",
            FROM_TIMM,
        ),
        (
            "has the tensor names of MMPretrain",
            r"(^|\.)(patch_embed\.projection\.|layers\.\d+\.ffn\.layers\.)",
            FROM_TIMM,
        ),
    )
)


def find_foreign(names: Iterable[str]) -> Foreign | None:
    """Return the kind of a checkpoint whose names tell that it cannot be loaded."""
    listed = list(names)
    return next((kind for kind in FOREIGN if any(kind.names.search(name) for name in listed)), None)
