"""How images become a model's input: as requested, else as the checkpoint says, else as timm's validation does it."""

import math
from collections.abc import Callable
from typing import Any, get_args

from msgspec.structs import replace
from timm.data.model_config import resolve_input_data_config
from timm.models import PretrainedCfg
from torch import nn

from export.core.errors import RequestError
from export.core.records import Interpolation, Preprocess
from export.models.architecture import create
from export.models.checkpoint.load import Loaded
from export.models.choice.request import ModelRequest

BYTES = 255  # mean and std of images that are not scaled to 0..1 are larger than any of those that are
LONG = 6  # characters of a number that is shown whole
IDENTITY = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
PASS_BOTH = "pass the right ones, of images scaled to 0 to 1: --mean and --std"


def choose_preprocess(
    request: ModelRequest, loaded: Loaded, embedded: Preprocess | None, tell: Callable[[str], None]
) -> Preprocess:
    """Return the preprocessing; `embedded` is that of the embedded model. `tell` is told what is not timm's own."""
    chosen = loaded.preprocess or embedded or of_timm(request.model, loaded.module)
    size = loaded.arguments.get("img_size", chosen.size)
    chosen = replace(chosen, size=size[0] if isinstance(size, tuple | list) else size)
    if loaded.preprocess:
        tell(f"note: preprocessing as the folder says: {_in_words(chosen)}")
    elif loaded.grey:
        chosen = replace(chosen, mean=_mean_channel(chosen.mean), std=_mean_channel(chosen.std))
    requested = request.preprocess.given()
    stated = _stated(loaded, chosen, requested)
    for sentence in () if loaded.preprocess else loaded.unread:
        tell(f"note: {sentence}")
    if "img_size" in loaded.arguments:
        stated.pop("image_size", None)  # the positions in the file tell it for certain
    chosen, changed = _apply(chosen, stated)
    if changed:
        tell(f"note: preprocessing as the checkpoint says: {changed}")
    chosen, changed = _apply(chosen, requested)
    if changed:
        tell(f"note: preprocessing as requested: {changed}")
    if loaded.grey and not loaded.preprocess and not {"mean", "std"} <= stated.keys() | requested.keys():
        tell(
            f"note: mean {chosen.mean[0]:.4g} and std {chosen.std[0]:.4g} are assumed; pass --mean and --std if not so"
        )
    return chosen


def of_timm(model: str, module: nn.Module) -> Preprocess:
    """Return the preprocessing of timm's validation for an architecture."""
    config = resolve_input_data_config(module, use_test_size=True)
    if config["interpolation"] not in get_args(Interpolation):
        raise RequestError(
            f"{model} uses {config['interpolation']} interpolation; supported: {', '.join(get_args(Interpolation))}",
            hint="pass --interpolation",
        )
    return Preprocess(
        size=config["input_size"][1],
        crop_pct=float(config["crop_pct"]),
        crop_mode=config["crop_mode"],
        interpolation=config["interpolation"],
        mean=tuple(map(float, config["mean"])),
        std=tuple(map(float, config["std"])),
    )


def _in_words(preprocess: Preprocess) -> str:
    scaled = math.floor(preprocess.size / preprocess.crop_pct)
    sides = "both sides" if preprocess.crop_mode == "squash" else "the shorter side"
    crop = f", crop {preprocess.size}" if preprocess.size < scaled else ""
    return (
        f"{sides} {scaled}{crop}, {preprocess.interpolation}, mean {_text(preprocess.mean)}, "
        f"std {_text(preprocess.std)}"
    )


def _mean_channel(values: tuple[float, ...]) -> tuple[float, ...]:
    return (sum(values) / len(values),) * 3


def _stated(loaded: Loaded, default: Preprocess, requested: dict[str, Any]) -> dict[str, Any]:
    """Return what a checkpoint states, as this program has it; raises `RequestError` where that cannot be."""
    found = dict(loaded.options)
    resized = found.pop("resize_size", None)
    if resized and "crop_pct" not in found:
        size = requested.get("image_size", found.get("image_size", default.size))
        size = size if "img_size" not in loaded.arguments else default.size
        found |= {"crop_pct": _share(size, resized)} if size <= resized else {}
    normalisation: dict[str, Any] = {name: found.pop(name) for name in ("mean", "std") if name in found}
    if {"mean", "std"} <= requested.keys():
        return found
    return {**_normalisation(normalisation, loaded.normalising, requested), **found}


def _share(size: int, resized: int) -> float:
    """Return the crop's share of which `Preprocess` finds the size before the crop again."""
    share = size / resized
    return share if math.floor(size / share) == resized else math.nextafter(share, 0)


def _normalisation(
    options: dict[str, Any], module: dict[str, Any], requested: dict[str, Any]
) -> dict[str, tuple[float, ...]]:
    """Return mean and std of a file's options or of the module in it that normalises images, one for each channel."""
    found, own = _in_range(options), _in_range(module)
    if own and found == IDENTITY:
        found = own
    if any(not math.isclose(*pair, rel_tol=1e-4) for name in own for pair in zip(found[name], own[name], strict=True)):
        texts = [", ".join(f"{name} {_text(value)}" for name, value in one.items()) for one in (found, own)]
        raise RequestError(
            f"the checkpoint's options state {texts[0]}, but a module in it normalises by {texts[1]}", hint=PASS_BOTH
        )
    found = {name: values for name, values in found.items() if name not in requested}
    for name, values in found.items():
        if not all(math.isfinite(value) and (name == "mean" or value > 0) for value in values):
            raise RequestError(
                f"the checkpoint states {name} {_text(values)}, by which no image can be normalised", hint=PASS_BOTH
            )
    return found


def _in_range(options: dict[str, Any]) -> dict[str, tuple[float, ...]]:
    """Return mean and std with one value for each channel; those of bytes are scaled to 0..1, both together."""
    largest = {name: max(map(abs, values)) for name, values in options.items()}
    scale = BYTES if max(largest.values(), default=0) > 1 else 1
    if scale > 1 and 0 < largest.get("mean", 0) <= 1:
        texts = " and ".join(f"{name} {_text(tuple(values))}" for name, values in options.items())
        raise RequestError(f"the checkpoint states {texts}: one is of images of 0 to 1, one of bytes", hint=PASS_BOTH)
    return {name: tuple(value / scale for value in values) * (3 // len(values)) for name, values in options.items()}


def _apply(preprocess: Preprocess, options: dict[str, Any]) -> tuple[Preprocess, str]:
    """Return the preprocessing with options, and what they change of it, in words."""
    renamed = {"size" if name == "image_size" else name: value for name, value in options.items()}
    changes = {name: value for name, value in renamed.items() if getattr(preprocess, name) != value}
    texts = [f"{name} {_text(value)}" for name, value in changes.items()]
    return replace(preprocess, **changes), ", ".join(texts)


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(f"{one:.4g}" for one in (value[:1] if len(set(value)) == 1 else value))
    return f"{value:.4g}" if isinstance(value, float) and len(str(value)) > LONG else str(value)


def resize(
    model: str, timm_name: str, config: PretrainedCfg, loaded: Loaded, size: int, tell: Callable[[str], None]
) -> tuple[dict[str, Any], int | None]:
    """Bring a module whose size is fixed to images of another one.

    Returns the arguments that create it again, and the size that its position embeddings are interpolated from (as
    timm does it), if they are. Raises `RequestError` when the module cannot have that size.
    """
    current = loaded.arguments.get("img_size", (config.test_input_size or config.input_size)[1])
    set_input_size: Any = getattr(loaded.module, "set_input_size", None)
    if set_input_size is None or size == current:
        return loaded.arguments, loaded.positions_from
    arguments = loaded.arguments | {"img_size": size}
    try:
        set_input_size(img_size=(size, size))
        again = create(timm_name, arguments)
        again.load_state_dict(loaded.module.state_dict())
    except Exception as error:  # timm raises several kinds for a size that is no multiple of patches or windows
        raise size_error(model, size, error) from error
    if getattr(loaded.module, "pos_embed", None) is None:
        return arguments, None
    own = int(current[0] if isinstance(current, tuple | list) else current)
    tell(f"note: position embeddings are interpolated from images of {own}×{own} to {size}×{size}")
    return arguments, own


def size_error(model: str, size: int, error: Exception) -> RequestError:
    """Return the refusal of a size that a model cannot take."""
    return RequestError(
        f"{model} cannot take images of {size}×{size}: {' '.join(str(error).split())[:200]}",
        hint="pass another --image-size: a multiple of the patch size, and for Swin of the windows too",
    )
