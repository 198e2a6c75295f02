"""Model types of transformers without a twin here: each with the nearest that works."""

import difflib

from export.core.errors import RequestError
from export.models.folder.config import Config
from export.models.transformers.families import FAMILIES

# The nearest type that works, and timm's name of the architecture where timm has it; timm's own checkpoints do work.
NEAREST: dict[str, tuple[str, str]] = {
    "beit": ("vit", "beit_base_patch16_224"),
    "bit": ("resnet", "resnetv2_50x1_bit"),
    "clip": ("vit", "vit_base_patch16_clip_224"),
    "clip_vision_model": ("vit", "vit_base_patch16_clip_224"),
    "convnext": ("resnet", "convnext_tiny"),
    "convnextv2": ("resnet", "convnextv2_tiny"),
    "cvt": ("vit", ""),
    "data2vec-vision": ("vit", "beit_base_patch16_224"),
    "dinov3_convnext": ("resnet", "convnext_tiny"),
    "dinov3_vit": ("dinov2_with_registers", "vit_small_patch16_dinov3"),
    "efficientnet": ("resnet", "efficientnet_b0"),
    "focalnet": ("swin", "focalnet_tiny_srf"),
    "hiera": ("vit", "hiera_tiny_224"),
    "ijepa": ("vit", ""),
    "levit": ("deit", "levit_128s"),
    "mobilenet_v1": ("resnet", "mobilenetv1_100"),
    "mobilenet_v2": ("resnet", "mobilenetv2_100"),
    "mobilevit": ("vit", "mobilevit_s"),
    "mobilevitv2": ("vit", "mobilevitv2_100"),
    "poolformer": ("vit", "poolformer_s12"),
    "pvt": ("vit", ""),
    "pvt_v2": ("vit", "pvt_v2_b0"),
    "regnet": ("resnet", "regnety_040"),
    "segformer": ("vit", ""),
    "siglip": ("vit", "vit_base_patch16_siglip_224"),
    "siglip_vision_model": ("vit", "vit_base_patch16_siglip_224"),
    "swiftformer": ("vit", "swiftformer_xs"),
    "swinv2": ("swin", "swinv2_tiny_window8_256"),
    "vit_hybrid": ("vit", "vit_base_r50_s16_224"),
    "vit_mae": ("vit", "vit_base_patch16_224"),
    "vitdet": ("vit", ""),
}


def unsupported_type(config: Config) -> RequestError:
    """Return the refusal of a configuration whose `model_type` is none of those that work."""
    works = ", ".join(FAMILIES)
    found = config.get("model_type")
    if not isinstance(found, str):
        return RequestError(
            f"{config.path} has no model_type, so it does not say what the model is",
            hint=f'add the line "model_type": one of {works}; or pass the file of weights with --model timm/NAME',
        )
    nearest, timm_name = NEAREST.get(found, ("", ""))
    nearest = nearest or next(iter(difflib.get_close_matches(found.lower(), FAMILIES, n=1, cutoff=0.5)), "vit")
    hint = f"types that work: {works}"
    if timm_name:
        hint = f"timm has this architecture: pass timm's weights of it, --model timm/{timm_name}; {hint}"
    return RequestError(
        f"{config.path}: models of the type {found!r} cannot be read; the nearest that works is {nearest}", hint=hint
    )
