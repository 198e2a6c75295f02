"""What a checkpoint says besides its weights: the architecture, the preprocessing it was trained with, the labels."""

import json
import re
from collections.abc import Mapping
from typing import Any, get_args

from export.core.records import Interpolation

# Where trainers keep their options: timm, DeiT, Lightning, Hydra …
PLACES = (
    "args",
    "hyper_parameters",
    "hparams",
    "config",
    "cfg",
    "opt",
    "options",
    "pretrained_cfg",
    "meta",
    "__metadata__",
)
ARCHITECTURES = ("arch", "architecture", "model_name", "model")
CLASSES = ("class_to_idx", "idx_to_class", "id2label", "class_names", "classes", "label_names", "labels", "CLASSES")
OF_FILES = ("pretrained", "checkpoint", "cache")  # beginnings of arguments that are not the architecture's
NUMBERS = re.compile(r"[(\[]?\s*\d*\.?\d+(?:[\s,;]+\d*\.?\d+)*\s*[)\]]?")  # 0.5, 0.5, 0.5 as text
NAMES: dict[str, tuple[str, ...]] = {
    "mean": ("mean", "image_mean", "img_mean", "norm_mean"),
    "std": ("std", "image_std", "img_std", "norm_std"),
    "crop_pct": ("crop_pct", "eval_crop_ratio"),
    "interpolation": ("interpolation", "test_interpolation", "val_interpolation"),
    "image_size": ("img_size", "image_size", "input_size", "val_crop_size", "crop_size", "resolution"),
}


def read_options(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the preprocessing that a file's options state: mean, std, crop_pct, interpolation, image_size.

    What cannot be understood is left out.
    """
    found: dict[str, Any] = {}
    for place in _places(content):
        for option, names in NAMES.items():
            values = [value for name in names if (value := _understood(option, place.get(name))) is not None]
            if values:
                found.setdefault(option, values[0])
    return found


def read_architecture(content: Mapping[str, Any]) -> str:
    """Return the name of the architecture that a file states, or ""."""
    for place in (content, *_places(content)):
        for name in ARCHITECTURES:
            if isinstance(place.get(name), str):
                return str(place[name])
    return ""


def read_arguments(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the architecture that a file of `export.train` states; none that name files."""
    metadata = content.get("__metadata__")
    values = _parsed(metadata.get("arguments")) if isinstance(metadata, Mapping) else None
    if not isinstance(values, dict) or any(name.startswith(OF_FILES) for name in values):
        return {}
    return values


def read_classes(content: Mapping[str, Any]) -> tuple[str, Any] | None:
    """Return the names of classes that a file states, with the key that they are under; None where it has none."""
    for place in (content, *_places(content)):
        for key in CLASSES:
            value = _parsed(place.get(key))
            if isinstance(value, list | tuple | dict) and value:
                return key, value
    return None


def states_several_labels(content: Mapping[str, Any]) -> bool:
    """Whether a file's options say that a picture may have several labels."""
    return any(
        place.get("problem_type") == "multi_label_classification"
        or any(place.get(name) is True for name in ("multi_label", "multilabel", "is_multilabel"))
        for place in (content, *_places(content))
    )


def _places(content: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = []
    for name in PLACES:
        value = _unwrapped(content.get(name))
        value = value if isinstance(value, Mapping) else getattr(value, "__dict__", None)
        if isinstance(value, Mapping):
            found += [value, *(inner for key, inner in value.items() if isinstance(inner, Mapping))]
    return found


def _unwrapped(value: Any) -> Any:
    """Return plain values for OmegaConf's nodes, which are read as dicts of what they hold."""
    if isinstance(value, Mapping) and "_content" in value:
        return _unwrapped(value["_content"])
    if isinstance(value, Mapping) and "_val" in value:
        return value["_val"]
    if isinstance(value, Mapping):
        return {name: _unwrapped(inner) for name, inner in value.items()}
    return [_unwrapped(inner) for inner in value] if isinstance(value, list | tuple) else value


def _parsed(value: Any) -> Any:
    """Return what the text of a JSON value stands for; the metadata of safetensors is text alone."""
    if isinstance(value, str) and value[:1] in ("[", "{", *"0123456789"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _understood(option: str, value: Any) -> Any:
    value = _parsed(value)
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, str) and NUMBERS.fullmatch(value.strip()):
        value = [float(one) for one in re.findall(r"[\d.]+", value)]
    if option == "interpolation":
        name = str(value).lower().rpartition(".")[2]
        return name if name in get_args(Interpolation) else None
    numbers = list(value) if isinstance(value, list | tuple) else [value]
    if not numbers or not all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers):
        return None
    if option in ("mean", "std"):
        return tuple(map(float, numbers)) if len(numbers) in (1, 3) else None
    if option == "crop_pct":
        return float(numbers[0]) if len(numbers) == 1 and 0 < numbers[0] <= 1 else None
    return int(numbers[-1]) if numbers[-1] >= 1 and len(numbers) <= 3 and numbers[-1] == numbers[-2:][0] else None
