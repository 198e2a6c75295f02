"""Facts as data: the families of transformers that have a twin in timm, and those that have none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from export.models.catalog import AUGREG, DEIT
from export.models.catalog import SWIN as SWIN_SOURCE
from export.models.folder.config import Config, words
from export.models.transformers import fields, names
from export.models.transformers.names import Names

Head = Literal["classifier", "distilled", "class_and_mean", "none"]
DINOV2 = "https://github.com/facebookresearch/dinov2"
RESNET = "https://github.com/KaimingHe/deep-residual-networks"
MSN = "https://github.com/facebookresearch/msn"
WIDTHS = {192: "tiny", 384: "small", 768: "base", 1024: "large", 1280: "huge"}


@dataclass(frozen=True, slots=True)
class Family:
    """A type of model: its classes by the kind of their `heads`, and how fields and tensors become those of timm.

    `processor` is how its images are prepared where no file says. `positions` says that there are position embeddings,
    `antialias` that they are interpolated with antialiasing, as the family's own code does it, and `any_size` that this
    happens by itself for images of another size. `known` are the fields that `arguments` reads, or that change nothing.
    """

    title: str
    source: str
    heads: Mapping[str, Head]
    arguments: Callable[[Config], dict[str, Any]]
    timm_name: Callable[[Config], str]
    names: Names
    known: frozenset[str]
    processor: str
    classifier: str = "head"
    positions: bool = True
    antialias: bool = False
    any_size: bool = False


ENCODER = "image_size patch_size hidden_size num_hidden_layers num_attention_heads qkv_bias layer_norm_eps head_dim"
POOLER = "intermediate_size hidden_act pooler_output_size pooler_act"
BACKBONE = "out_features out_indices stage_names _out_features _out_indices apply_layernorm reshape_hidden_states"


def _vit_name(config: Config) -> str:
    width = WIDTHS.get(config.whole("hidden_size", 768), "base")
    return "vit_huge_patch14_224" if width == "huge" else f"vit_{width}_patch16_224"


def _deit_name(config: Config) -> str:
    width = WIDTHS.get(config.whole("hidden_size", 768), "base")
    return f"deit_{width if width in ('tiny', 'small') else 'base'}_patch16_224"


def _dinov2_name(config: Config) -> str:
    if config.flag("use_swiglu_ffn", False):
        return "vit_giant_patch14_dinov2"
    width = WIDTHS.get(config.whole("hidden_size", 768), "base")
    return f"vit_{width if width in ('small', 'large') else 'base'}_patch14_dinov2"


def _swin_name(config: Config) -> str:
    width = {96: "tiny", 128: "base", 192: "large"}.get(config.whole("embed_dim", 96), "tiny")
    return f"swin_{width}_patch4_window7_224"


def _resnet_name(config: Config) -> str:
    return "resnet18" if fields.resnet_block(config) == "basic" else "resnet50"


def _classes(prefix: str, classified: Head = "classifier") -> dict[str, Head]:
    return {f"{prefix}ForImageClassification": classified, f"{prefix}Model": "none"}


FAMILIES: dict[str, Family] = {
    "vit": Family(
        title="ViT",
        source=AUGREG,
        heads=_classes("ViT"),
        arguments=fields.vit,
        timm_name=_vit_name,
        names=names.VIT,
        known=words(ENCODER, POOLER),
        processor="ViT",
    ),
    "vit_msn": Family(
        title="ViT-MSN",
        source=MSN,
        heads=_classes("ViTMSN"),
        arguments=fields.vit_msn,
        timm_name=_vit_name,
        names=names.VIT,
        known=words(ENCODER, POOLER),
        processor="ViT",
    ),
    "deit": Family(
        title="DeiT",
        source=DEIT,
        heads=_classes("DeiT") | {"DeiTForImageClassificationWithTeacher": "distilled"},
        arguments=fields.deit,
        timm_name=_deit_name,
        names=names.VIT,
        known=words(ENCODER, POOLER),
        processor="DeiT",
    ),
    "dinov2": Family(
        title="DINOv2",
        source=DINOV2,
        heads=_classes("Dinov2", "class_and_mean"),
        arguments=fields.dinov2,
        timm_name=_dinov2_name,
        names=names.VIT,
        known=words(ENCODER, BACKBONE, "mlp_ratio hidden_act layerscale_value use_swiglu_ffn"),
        processor="Bit",
        any_size=True,
    ),
    "dinov2_with_registers": Family(
        title="DINOv2 with registers",
        source=DINOV2,
        heads=_classes("Dinov2WithRegisters", "class_and_mean"),
        arguments=fields.dinov2_with_registers,
        timm_name=_dinov2_name,
        names=names.VIT,
        known=words(ENCODER, BACKBONE, "mlp_ratio hidden_act layerscale_value use_swiglu_ffn num_register_tokens"),
        processor="Bit",
        antialias=True,
        any_size=True,
    ),
    "swin": Family(
        title="Swin Transformer",
        source=SWIN_SOURCE,
        heads=_classes("Swin"),
        arguments=fields.swin,
        timm_name=_swin_name,
        names=names.SWIN,
        known=words(
            "image_size patch_size embed_dim depths num_heads window_size mlp_ratio qkv_bias hidden_act layer_norm_eps",
            "use_absolute_embeddings num_layers hidden_size path_norm",
            BACKBONE,
        ),
        processor="ViT",
        classifier="head.fc",
        positions=False,
    ),
    "resnet": Family(
        title="ResNet",
        source=RESNET,
        heads=_classes("ResNet"),
        arguments=fields.resnet,
        timm_name=_resnet_name,
        names=names.RESNET,
        known=words(
            "embedding_size hidden_sizes depths layer_type hidden_act",
            "downsample_in_first_stage downsample_in_bottleneck",
            BACKBONE,
        ),
        processor="ConvNext",
        classifier="fc",
        positions=False,
        any_size=True,
    ),
}
