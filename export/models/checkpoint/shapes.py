"""What the shapes of a checkpoint's tensors tell of the architecture: the arguments in which it differs."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

Tensors = Mapping[str, Tensor]
Fact = Callable[[Tensors], Any]

UNKNOWN = object()  # the tensors do not tell
PATCHES, POSITIONS = "patch_embed.proj.weight", "pos_embed"
TABLE = "layers.0.blocks.0.attn.relative_position_bias_table"
PREFIX_TOKENS = ("cls_token", "dist_token", "reg_token")
WINDOWS = 32  # side of Swin's images in windows' sides: 7 × 32 = 224, 12 × 32 = 384
GREY = (0.299, 0.587, 0.114)  # ITU-R 601, by which Pillow turns colours into grey


def _has(name: str) -> Fact:
    return lambda tensors: name in tensors


def _count(pattern: str) -> Fact:
    """Return how many numbers the names have at the first group of a pattern."""
    compiled = re.compile(pattern)
    return lambda tensors: len({found[1] for name in tensors if (found := compiled.match(name))}) or UNKNOWN


def _size(name: str, axis: int) -> Fact:
    return lambda tensors: int(tensors[name].shape[axis]) if name in tensors else UNKNOWN


def _grid(tensors: Tensors) -> tuple[int, bool] | None:
    """Return the side of the square of patches, and whether other tokens have positions too."""
    if POSITIONS not in tensors or tensors[POSITIONS].ndim != 3:
        return None
    others = sum(int(tensors[name].shape[1]) for name in PREFIX_TOKENS if name in tensors)
    for beside in dict.fromkeys((others, 0)):
        side = math.isqrt(tensors[POSITIONS].shape[1] - beside)
        if side * side + beside == tensors[POSITIONS].shape[1]:
            return side, beside > 0 or others == 0
    return None


def _image_size(tensors: Tensors) -> Any:
    grid = _grid(tensors)
    return grid[0] * int(tensors[PATCHES].shape[-1]) if grid and PATCHES in tensors else UNKNOWN


def _mlp_ratio(tensors: Tensors) -> Any:
    weight = tensors.get("blocks.0.mlp.fc1.weight")
    return UNKNOWN if weight is None else weight.shape[0] / weight.shape[1]


def _depths(tensors: Tensors) -> Any:
    blocks = {found.groups() for name in tensors if (found := re.match(r"layers\.(\d+)\.blocks\.(\d+)\.", name))}
    return tuple(sum(stage == str(one) for stage, _ in blocks) for one in range(len({stage for stage, _ in blocks})))


def _heads(tensors: Tensors) -> Any:
    tables = [f"layers.{stage}.blocks.0.attn.relative_position_bias_table" for stage in range(len(_depths(tensors)))]
    return tuple(int(tensors[name].shape[1]) for name in tables if name in tensors) or UNKNOWN


def _window(tensors: Tensors) -> Any:
    return (math.isqrt(tensors[TABLE].shape[0]) + 1) // 2 if TABLE in tensors else UNKNOWN


# Arguments of timm's families by what tells them apart: a tensor that all members have.
VISION_TRANSFORMER: dict[str, Fact] = {
    "img_size": _image_size,
    "patch_size": _size(PATCHES, -1),
    "depth": _count(r"blocks\.(\d+)\."),
    "mlp_ratio": _mlp_ratio,
    "reg_tokens": lambda tensors: int(tensors["reg_token"].shape[1]) if "reg_token" in tensors else 0,
    "no_embed_class": lambda tensors: UNKNOWN if (grid := _grid(tensors)) is None else not grid[1],
    "class_token": _has("cls_token"),
    "qkv_bias": _has("blocks.0.attn.qkv.bias"),
    "qk_norm": _has("blocks.0.attn.q_norm.weight"),
    "init_values": lambda tensors: 1.0 if "blocks.0.ls1.gamma" in tensors else None,
    "pre_norm": _has("norm_pre.weight"),
    "global_pool": lambda tensors: "avg" if "fc_norm.weight" in tensors else "token",
}
SWIN: dict[str, Fact] = {
    "patch_size": _size(PATCHES, -1),
    "embed_dim": _size(PATCHES, 0),
    "depths": _depths,
    "num_heads": _heads,
    "window_size": _window,
    "img_size": lambda tensors: UNKNOWN if _window(tensors) is UNKNOWN else WINDOWS * _window(tensors),
}
FAMILIES = (("blocks.0.attn.qkv.weight", VISION_TRANSFORMER), (TABLE, SWIN))


def differing_arguments(tensors: Tensors, default: Tensors, classifier: str) -> dict[str, Any]:
    """Return the arguments with which the architecture has tensors as in the file; `default` are those without any.

    `classifier` is timm's name of the head.
    """
    found = {"num_classes": _classes(tensors, default, classifier)}
    facts = next((facts for member, facts in FAMILIES if member in default and member in tensors), {})
    for argument, fact in facts.items():
        value = fact(tensors)
        if value is not UNKNOWN and value != fact(default):
            found[argument] = value
    return {name: value for name, value in found.items() if value is not UNKNOWN}


def _classes(tensors: Tensors, default: Tensors, classifier: str) -> Any:
    head = tensors.get(f"{classifier}.weight")
    if head is not None:
        return int(head.shape[0]) if head.ndim >= 2 else UNKNOWN
    return 0 if f"{classifier}.weight" in default else UNKNOWN


def input_channels(tensors: Tensors, first: str) -> int | None:
    """Return how many channels the first convolution `first` takes, or None where it is not in the file."""
    weight = tensors.get(f"{first}.weight")
    return None if weight is None or weight.ndim != 4 else int(weight.shape[1])


def grey_to_colour(weight: Tensor) -> Tensor:
    """Return the weight `[out, 3, h, w]` that does with colours what `[out, 1, h, w]` does with their grey."""
    return weight * weight.new_tensor(GREY)[None, :, None, None]
