"""The model to train, with its first weights: fresh, or those of a checkpoint made to fit another size, depth or head."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from export.core.errors import RequestError
from export.data.labels.known import imagenet_synsets
from export.models.checkpoint import read_checkpoint
from export.training.options import PictureTrainOptions

SHOWN = 5


def create_model(options: PictureTrainOptions, classes: int) -> nn.Module:
    """Return the architecture for that many classes and the options' image size, freshly initialised."""
    arguments: dict[str, Any] = {**options.arguments, "num_classes": classes, "drop_path_rate": options.drop_path}
    if takes_image_size(options.model):
        arguments["img_size"] = options.image_size
    try:
        module: nn.Module = timm.create_model(options.model, pretrained=False, **arguments)
    except (TypeError, RuntimeError, AssertionError) as error:
        raise RequestError(f"--model {options.model} with {arguments}: {error}") from error
    return module


def takes_image_size(name: str) -> bool:
    """Say whether an architecture is built for one image size, as those with patches are."""
    with torch.device("meta"):
        return hasattr(timm.create_model(name, pretrained=False), "patch_embed")


def load_first_weights(module: nn.Module, path: Path, classes: Sequence[str], tell: Callable[[str], None]) -> None:
    """Load a checkpoint into a model that may have another image size, patch size, fewer blocks or another head.

    Patch and position embedding are resampled by timm (FlexiViT, arXiv 2212.08013, and bicubic); blocks after the
    model's last are left out; of ImageNet's head the rows of `classes` are kept where they are its WordNet ids, and any
    other head starts afresh. Each of these is told; raises `RequestError` for every other misfit.
    """
    wanted = module.state_dict()
    tensors = _renamed(module, read_checkpoint(path).tensors)
    heads = [name for name in wanted if name.startswith(f"{_head(module)}.")]
    kept = _head_rows(tensors, wanted, heads, classes)
    deeper = sorted({name.split(".")[1] for name in tensors if name not in wanted and name.startswith("blocks.")}, key=int)
    resampled = [name for name in ("pos_embed", "patch_embed.proj.weight") if name in tensors]
    missing = [name for name in wanted if name not in tensors and name not in heads]
    shapes = [name for name in wanted if name in tensors and tensors[name].shape != wanted[name].shape]
    if missing or shapes:
        raise RequestError(
            f"--checkpoint {path} does not fit {type(module).__name__}: missing {missing[:SHOWN]}, "
            f"of another shape {shapes[:SHOWN]}",
            hint="pass the architecture it was trained with: --model, --model-arguments",
        )
    original = read_checkpoint(path).tensors
    for name in resampled:
        if name in original and original[name].shape != tensors[name].shape:
            tell(f"note: {name} is resampled from {tuple(original[name].shape)} to {tuple(tensors[name].shape)}")
    if deeper:
        tell(f"note: blocks {', '.join(deeper)} of {path.name} are left out")
    tell(f"note: the head {'keeps the rows of its classes' if kept else 'starts afresh'}")
    module.load_state_dict({**wanted, **{name: value for name, value in tensors.items() if name in wanted}})


def _head(module: nn.Module) -> str:
    config: Any = module.pretrained_cfg
    return str(config["classifier"])


def _renamed(module: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors as timm's filter for the family has them: its names, resampled to the model's sizes."""
    translate: Callable[..., Any] | None = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    return dict(tensors) if translate is None else dict(translate(dict(tensors), module))


def _head_rows(
    tensors: dict[str, Tensor], wanted: dict[str, Tensor], heads: Sequence[str], classes: Sequence[str]
) -> bool:
    """Fit the head's tensors, or drop them; return whether anything of them is kept."""
    if all(name in tensors and tensors[name].shape == wanted[name].shape for name in heads):
        return True
    synsets = imagenet_synsets(1000) or ()
    rows = [synsets.index(name) for name in classes if name in synsets]
    keeps = len(rows) == len(classes) and all(name in tensors and len(tensors[name]) == 1000 for name in heads)
    for name in heads:
        if keeps:
            tensors[name] = tensors[name][rows]
        else:
            tensors.pop(name, None)
    return keeps
