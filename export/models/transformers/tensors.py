"""The tensors of a model of transformers as timm's twin has them: renamed, joined, positions interpolated."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from export.core.errors import RequestError
from export.models.transformers.names import GATED, QUERY_KEY_VALUE, Names

JOINED = (("attn", QUERY_KEY_VALUE, "qkv"), ("mlp", GATED, "fc1"))


@dataclass(frozen=True, slots=True)
class Renamed:
    """Tensors under timm's names, without their `prefix`.

    `unknown` are the names of those that have none there, `dropped` of those that are used in training alone.
    """

    tensors: dict[str, Tensor]
    prefix: str
    unknown: tuple[str, ...]
    dropped: tuple[str, ...]


def rename(tensors: Mapping[str, Tensor], names: Names) -> Renamed:
    """Return the tensors as float32 under timm's names, whatever wrapper's prefix they have."""
    prefix = _prefix(tensors, names)
    found: dict[str, Tensor] = {}
    unknown, dropped = [], []
    for name, value in tensors.items():
        target = names.timm_name(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if target is None:
            unknown.append(name)
        elif target:
            found[target] = value.float() if value.is_floating_point() else value
        else:
            dropped.append(name)
    return Renamed(_joined(found), prefix, tuple(unknown), tuple(dropped))


def _prefix(tensors: Mapping[str, Tensor], names: Names) -> str:
    """Return the dotted prefix without which the most names are known."""
    counts: Counter[str] = Counter()
    for name in tensors:
        starts = (0, *(index + 1 for index, character in enumerate(name) if character == "."))
        known = next((start for start in starts if names.timm_name(name[start:]) is not None), None)
        if known is not None:
            counts[name[:known]] += 1
    return counts.most_common(1)[0][0] if counts else ""


def _joined(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with queries, keys and values in one, and so the two halves of a gated layer."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        stem, _, end = name.rpartition(".")
        stem, _, part = stem.rpartition(".")
        match = next((row for row in JOINED if part in row[1] and stem.endswith(f".{row[0]}")), None)
        if match is None:
            found[name] = value
        elif part == match[1][0]:
            parts = [tensors.get(f"{stem}.{one}.{end}") for one in match[1]]
            if all(one is not None for one in parts):
                found[f"{stem}.{match[2]}.{end}"] = torch.cat([one for one in parts if one is not None])
    return found


def interpolate_positions(positions: Tensor, prefix: int, side: int, *, antialias: bool) -> Tensor:
    """Return positions `[1, prefix + side², D]` as transformers interpolates them when it runs (bicubic).

    Those of the `prefix` tokens stay. Raises `RequestError` where the others are no square.
    """
    own, patches = positions[:, :prefix], positions[:, prefix:]
    old = math.isqrt(patches.shape[1])
    if old * old != patches.shape[1]:
        raise RequestError(
            f"the model has positions for {patches.shape[1]} patches, which are no square",
            hint="only square images are supported",
        )
    if old == side:
        return positions
    square = patches.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    size = (side, side)
    square = F.interpolate(square, size=size, mode="bicubic", align_corners=False, antialias=antialias)
    return torch.cat([own, square.permute(0, 2, 3, 1).reshape(1, side * side, -1)], 1)


def move_class_position(tensors: dict[str, Tensor]) -> None:
    """Add the class token's position to it, for a model in which the tokens before the patches have none."""
    positions = tensors["pos_embed"]
    tensors["cls_token"] = tensors["cls_token"] + positions[:, :1]
    tensors["pos_embed"] = positions[:, 1:]
    if "reg_token" in tensors and not tensors["reg_token"].numel():
        del tensors["reg_token"]


def split_head(tensors: dict[str, Tensor], width: int) -> None:
    """Make two layers, whose outputs are averaged, of one that reads the class token beside the patches' mean."""
    weight = tensors["head.weight"]
    if weight.ndim != 2 or weight.shape[1] != 2 * width:
        return  # said to be a misfit
    tensors["head.weight"], tensors["head_mean.weight"] = (2 * half for half in weight.chunk(2, 1))
    if "head.bias" in tensors:
        tensors["head_mean.bias"] = tensors["head.bias"].clone()
