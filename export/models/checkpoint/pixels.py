"""How a file says that images were prepared: under the names and in the forms that trainers have for it."""

import re
from collections.abc import Callable, Mapping
from typing import Any, get_args

from timm.data.constants import (
    IMAGENET_DEFAULT_MEAN,
    IMAGENET_DEFAULT_STD,
    IMAGENET_INCEPTION_MEAN,
    IMAGENET_INCEPTION_STD,
)

from export.core.records import CropMode, Interpolation
from export.models.checkpoint.stated import Stated, stated

OF_PIXELS = ("", "image_", "img_", "norm_", "pixel_", "normalize_", "normalization_", "data_", "dataset_", "rgb_")
EVALUATED = ("test_", "val_", "eval_", "")
# Each option's names, the surest first.
NAMES: dict[str, tuple[str, ...]] = {
    "mean": tuple(f"{prefix}mean" for prefix in OF_PIXELS),
    "std": tuple(f"{prefix}std" for prefix in OF_PIXELS),
    "crop_pct": tuple(f"{prefix}{name}" for prefix in EVALUATED for name in ("crop_pct", "crop_ratio")),
    "crop_mode": tuple(f"{prefix}crop_mode" for prefix in EVALUATED),
    "interpolation": (*(f"{prefix}interpolation" for prefix in EVALUATED), "resample"),
    "image_size": (
        *("test_img_size", "img_size", "image_size", "imgsz", "test_input_size", "input_size"),
        *("val_crop_size", "test_crop_size", "eval_crop_size", "crop_size", "image_resolution", "resolution"),
    ),
    "resize_size": tuple(f"{prefix}{name}" for prefix in EVALUATED for name in ("resize_size", "resize")),
}
OPTION = {name: option for option, names in NAMES.items() for name in names}
# Names that speak of preparing images, and those among them that speak of training.
LIKELY = re.compile(
    r"(^|_)(means?|stds?|interpolation|resample|crop|resize|crop_\w+|resize_\w+|img_size|image_size|input_size"
    r"|normali[sz]e|normali[sz]ation|transforms?|preprocess|preprocessing)$"
)
OF_TRAINING = re.compile(
    r"train|random|(^|_)(init|trunc|noise|target|label|labels|loss|metrics?|teacher|decoder|aug\w*|bbox|feature\w*"
    r"|anchor|latent|reward|weights?|layer|score|acc\w*|text|log)(_|$)"
)
NUMBER = r"-?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
NUMBERS = re.compile(rf"[(\[]?\s*{NUMBER}(?:\s*[\s,;x×]\s*{NUMBER})*\s*[)\]]?")  # 0.5, 0.5, 0.5 as text; 64x64
PILLOW = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")  # by Pillow's numbers
ALIASES = {"linear": "bilinear", "cubic": "bicubic", "antialias": "lanczos"}
SWITCH = "imagenet_default_mean_and_std"  # of BEiT, MAE and ConvNeXt: ImageNet's mean and std, or Inception's
SHOWN = 60


def read_options(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the preprocessing that a file states, by the names in `NAMES`; what is not understood is left out."""
    return {option: value for option, (_, value) in _read(stated(content)).items()}


def unread_options(content: Mapping[str, Any]) -> list[str]:
    """Return sentences on what a file states of preprocessing that is not used."""
    everything = stated(content)
    used = _read(everything)
    found = []
    for one in everything:
        option = OPTION.get(one.name)
        value = _understood(one) if option and one.placed else None
        if (option is None and not LIKELY.search(one.name)) or _says_nothing(one, everything):
            continue
        title, taken = used.get(option or "", ("", None))
        if title and value not in (None, taken):
            found.append(f"{one.title} {_shown(one)} in the checkpoint is not used, but {title} is")
        elif value is None and not title:
            found.append(f"{one.title} {_shown(one)} in the checkpoint is not understood and not used")
    return found


def _read(everything: list[Stated]) -> dict[str, tuple[str, Any]]:
    """Return each option's first value that is understood, with where it is stated; the surest name of a place wins."""
    found: dict[str, tuple[str, Any]] = {}
    for option, names in NAMES.items():
        values = [
            (one.path[:-1], names.index(one.name), one.title, value)
            for one in everything
            if one.name in names and one.placed and (value := _understood(one)) is not None
        ]
        if values:
            first = values[0][0]
            _, _, title, value = min((one for one in values if one[0] == first), key=lambda one: one[1])
            found[option] = (title, value)
    switch = next((one for one in everything if one.name == SWITCH and one.placed and type(one.value) is bool), None)
    if switch is not None:
        mean_std = (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD), (IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD)
        for option, value in zip(("mean", "std"), mean_std[0 if switch.value else 1], strict=True):
            found.setdefault(option, (switch.title, value))
    return found


def _shown(one: Stated) -> str:
    return str(one.value)[:SHOWN]


def _says_nothing(one: Stated, everything: list[Stated]) -> bool:
    """Whether an option is off, is of training, or is a group of others that are looked at by themselves."""
    value = one.value
    if value is None or value is False or (isinstance(value, str | list | Mapping) and not value) or one.name == SWITCH:
        return True
    if any(OF_TRAINING.search(part) for part in one.path):
        return True
    if one.name in OPTION:
        return False
    inner = (other.path for other in everything if len(other.path) > len(one.path))
    return isinstance(value, Mapping | list) and any(path[: len(one.path)] == one.path for path in inner)


def _understood(one: Stated) -> Any:
    option = OPTION[one.name]
    if option in ("mean", "std") and len(one.path) == 1 and not isinstance(one.value, list | str):
        return None  # one number beside the weights may be of anything
    return READERS[option](one.value)


def _numbers(value: Any) -> list[float] | None:
    """Return one number or several, also where they are nested or text."""
    if isinstance(value, str) and NUMBERS.fullmatch(value.strip()):
        return [float(one) for one in re.findall(NUMBER, value)]
    if isinstance(value, list):
        found = [_numbers(one) for one in value]
        return [number for one in found if one for number in one] if found and all(found) else None
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else None


def _channels(value: Any) -> tuple[float, ...] | None:
    numbers = _numbers(value)
    return tuple(map(float, numbers)) if numbers and len(numbers) in (1, 3) else None


def _share(value: Any) -> float | None:
    numbers = _numbers(value)
    return float(numbers[0]) if numbers and len(numbers) == 1 and 0 < numbers[0] <= 1 else None


def _side(value: Any) -> int | None:
    """Return the side of a square: of one number, of two, or of three with the channels first or last."""
    numbers = _numbers(value) or []
    if len(numbers) == 3:
        numbers = numbers[1:] if numbers[0] in (1, 3) else numbers[:2] if numbers[2] in (1, 3) else []
    whole = numbers[:1] if len(numbers) in (1, 2) and len(set(numbers)) == 1 and numbers[0] >= 1 else []
    return int(whole[0]) if whole and whole[0] == int(whole[0]) else None


def _one_side(value: Any) -> int | None:
    return None if isinstance(value, list) and len(value) > 1 else _side(value)


def _filter(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return PILLOW[value] if 0 <= value < len(PILLOW) else None
    name = str(value).lower().rpartition(".")[2]
    name = ALIASES.get(name, name)
    return name if name in get_args(Interpolation) else None


def _mode(value: Any) -> str | None:
    return value if value in get_args(CropMode) else None


READERS: dict[str, Callable[[Any], Any]] = {
    "mean": _channels,
    "std": _channels,
    "crop_pct": _share,
    "crop_mode": _mode,
    "interpolation": _filter,
    "image_size": _side,
    "resize_size": _one_side,
}
