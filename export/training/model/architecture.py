"""The model to train: created for its classes and image size, and found able to run."""

from functools import cache
from typing import Any, NamedTuple

import timm
import torch
from torch import nn

from export.core.errors import RequestError
from export.training.options import PictureTrainOptions


class Flags(NamedTuple):
    """The options of the command line that name a model and the size of its input."""

    model: str
    size: str


STUDENT, TEACHER = Flags("--model", "--image-size"), Flags("--teacher", "--teacher-image-size")


def create_model(options: PictureTrainOptions, classes: int, flags: Flags = STUDENT) -> nn.Module:
    """Return the architecture for that many classes and the options' image size, freshly initialised.

    Raises `RequestError`, which names the `flags`, when timm cannot make it, or it cannot take images of that size.
    """
    arguments: dict[str, Any] = {**options.arguments, "num_classes": classes}
    if options.drop_path:
        arguments["drop_path_rate"] = options.drop_path
    if takes_image_size(options.model):
        arguments["img_size"] = options.image_size
    try:
        module: nn.Module = timm.create_model(options.model, pretrained=False, **arguments)
    except Exception as error:  # whatever a family raises for arguments that it does not take
        hint = "pass --drop-path 0" if "drop_path_rate" in str(error) else f"change --model-arguments or {flags.size}"
        raise RequestError(
            f"{flags.model} {options.model} with {arguments}: {_first_line(error)}", hint=hint
        ) from error
    _check_size(module, options, classes, flags)
    return module


@cache
def takes_image_size(name: str) -> bool:
    """Say whether an architecture is built for one image size, as those with patches are."""
    with torch.device("meta"):
        return hasattr(timm.create_model(name, pretrained=False), "patch_embed")


@torch.no_grad()
def _check_size(module: nn.Module, options: PictureTrainOptions, classes: int, flags: Flags) -> None:
    size, name = options.image_size, options.model
    patch: Any = getattr(getattr(module, "patch_embed", None), "patch_size", None)
    hint = f"pass another {flags.size}: a multiple of the patch size, and for Swin of the windows too"
    if patch is not None and any(size % side for side in patch):
        raise RequestError(
            f"{flags.size} {size} is not a multiple of {name}'s patches of {patch[0]}×{patch[1]}", hint=hint
        )
    try:
        outputs = module.eval()(torch.zeros(2, 3, size, size))
    except Exception as error:
        raise RequestError(
            f"{flags.model} {name} cannot take images of {size}×{size}: {_first_line(error)}", hint=hint
        ) from error
    if outputs.shape != (2, classes):
        raise RequestError(
            f"{flags.model} {name} returns {tuple(outputs.shape)} for two images of {classes} classes",
            hint="choose a model that classifies, such as deit_t",
        )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
