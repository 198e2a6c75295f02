"""timm's architectures as they are created everywhere: by a name, and by arguments that a JSON file can hold."""

from typing import Any

import timm
import torch
from timm.layers import SwiGLUPacked
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from export.core.files import hash_bytes

NORM_EPS = "norm_eps"  # beside timm's own arguments: epsilon of every LayerNorm but those that only merge patches
MERGING = ("patch_embed.", "downsample.")
CLASS_AND_MEAN = "vit_class_and_mean"
default_cfgs = generate_default_cfgs(
    {
        CLASS_AND_MEAN: {
            "num_classes": 1000,
            "input_size": (3, 224, 224),
            "crop_pct": 1.0,
            "interpolation": "bicubic",
            "fixed_input_size": True,
            "first_conv": "patch_embed.proj",
            "classifier": ("head", "head_mean"),
        }
    }
)


def create(timm_name: str, arguments: dict[str, Any], **options: Any) -> nn.Module:
    """Return timm's model of that name, without weights unless `options` say otherwise."""
    given = {"pretrained": False, **arguments, **options}
    eps = given.pop(NORM_EPS, None)
    module: nn.Module = timm.create_model(timm_name, **given)
    for name, layer in module.named_modules():
        if eps is not None and isinstance(layer, nn.LayerNorm) and not any(part in f"{name}." for part in MERGING):
            layer.eps = eps
    return module


class ClassAndMean(VisionTransformer):  # type: ignore[misc]
    """A VisionTransformer whose classifiers read the class token and the mean of the patches' tokens.

    So DINOv2 is classified by transformers and in its own code, with one layer that reads both side by side. Here they
    are two layers `head` and `head_mean`, whose outputs are averaged.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.head_mean = nn.Linear(self.embed_dim, self.num_classes) if self.num_classes else nn.Identity()

    def get_classifier(self) -> tuple[nn.Module, nn.Module]:  # type: ignore[override]
        """Return both layers."""
        return self.head, self.head_mean

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Make both layers anew; raises `ValueError` for another pooling."""
        if global_pool not in (None, "token"):
            raise ValueError("the classifiers read the class token and the mean of the patches' tokens")
        self.num_classes = num_classes
        sizes = (self.embed_dim, num_classes)
        self.head, self.head_mean = (nn.Linear(*sizes) if num_classes else nn.Identity() for _ in range(2))

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Map the tokens `[n, T, D]` to logits `[n, K]`, or before them to both tokens `[n, 2 · D]`."""
        token, mean = x[:, 0], x[:, self.num_prefix_tokens :].mean(dim=1)
        if pre_logits or isinstance(self.head, nn.Identity):
            return torch.cat([token, mean], dim=1)
        logits: Tensor = (self.head(token) + self.head_mean(mean)) / 2
        return logits


@register_model  # type: ignore[untyped-decorator]
def vit_class_and_mean(pretrained: bool = False, *, gated: bool = False, **arguments: Any) -> ClassAndMean:
    """Return a `ClassAndMean`, with SwiGLU in its MLPs where they are `gated`."""
    gates = {"mlp_layer": SwiGLUPacked, "act_layer": nn.SiLU} if gated else {}
    model: ClassAndMean = build_model_with_cfg(ClassAndMean, CLASS_AND_MEAN, pretrained, **gates, **arguments)
    return model


def ready(module: nn.Module) -> nn.Module:
    """Return a module as it is used everywhere: float32, in evaluation mode."""
    return module.float().eval()


def hash_tensors(module: nn.Module) -> str:
    """Return the SHA-256 of all tensors' bytes, in the module's order."""
    return hash_bytes(b"".join(tensor.numpy().tobytes() for tensor in module.state_dict().values()))
