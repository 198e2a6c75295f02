"""A folder as timm writes it for the hub: the architecture, its arguments, labels and preprocessing in config.json."""

from collections.abc import Mapping
from typing import Any, get_args

from export.core.errors import RequestError
from export.core.records import CropMode, Interpolation, Preprocess
from export.models.folder.config import Config

WRAPPER = "timm_wrapper"  # model_type of timm's models in transformers
BICUBIC = "bicubic"


def is_timm(config: Config) -> bool:
    """Whether a configuration is one of timm's, also as transformers wraps it."""
    return isinstance(config.get("architecture"), str) and config.get("model_type", WRAPPER) == WRAPPER


def pretrained_cfg(config: Config) -> Config:
    """Return what the configuration says of the weights; older files have it beside the architecture."""
    inner = config.get("pretrained_cfg")
    return Config(config.path, inner if isinstance(inner, dict) else config.values)


def arguments(config: Config) -> dict[str, Any]:
    """Return the arguments of the architecture beside its name."""
    given = config.get("model_args", {})
    if not isinstance(given, Mapping):
        raise config.fault("model_args", "an object")
    found: dict[str, Any] = dict(given)
    for holder in (config, pretrained_cfg(config)):
        classes = holder.get("num_classes")
        if type(classes) is int and classes >= 0:
            found.setdefault("num_classes", classes)
    pool = config.get("global_pool")
    if isinstance(pool, str) and pool:
        found.setdefault("global_pool", pool)
    return found


def labels(config: Config) -> tuple[str, dict[str, str]] | None:
    """Return the names of classes by output, with the key that they are under; None where there are none.

    Classes that are named by an identifier are shown by its description.
    """
    own = pretrained_cfg(config)
    names = config.get("label_names", own.get("label_names"))
    described = config.get("label_descriptions", own.get("label_descriptions"))
    described = described if isinstance(described, Mapping) else {}
    if not isinstance(names, list) or not names:
        return None
    return "label_names", {str(index): str(described.get(name, name)) for index, name in enumerate(names)}


def preprocessing(config: Config, default: Preprocess) -> Preprocess:
    """Return the preprocessing of validation, as timm has it; `default` is the architecture's own."""
    own = pretrained_cfg(config)
    size = own.get("test_input_size", own.get("input_size"))
    crop = own.get("test_crop_pct", own.get("crop_pct", default.crop_pct))
    values = {
        "size": default.size if size is None else _side(own, size),
        "crop_pct": float(crop),
        "crop_mode": _one_of(own, "crop_mode", get_args(CropMode), default.crop_mode),
        "interpolation": _one_of(own, "interpolation", get_args(Interpolation), default.interpolation),
        "mean": _three(own, "mean", default.mean),
        "std": _three(own, "std", default.std),
    }
    return Preprocess(**values)


def _side(own: Config, size: Any) -> int:
    if not isinstance(size, list) or len(size) != 3 or size[1] != size[2] or size[0] not in (1, 3):
        raise own.fault("input_size", "[3, N, N]", hint="only square images in colours or grey are supported")
    return int(size[1])


def _one_of(own: Config, name: str, allowed: tuple[str, ...], default: str) -> Any:
    value = own.get(name, default)
    if value not in allowed:
        raise own.fault(
            name, ", ".join(allowed), hint=f"pass --{name.replace('_', '-')}" if name != "crop_mode" else ""
        )
    return value


def _three(own: Config, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    value = own.get(name, list(default))
    if not isinstance(value, list) or len(value) not in (1, 3):
        raise own.fault(name, "three numbers")
    return tuple(map(float, value)) * (3 // len(value))


def require_architecture(config: Config, known: bool, version: str) -> str:
    """Return the name of the architecture; raises `RequestError` when timm does not know it."""
    name = str(config.get("architecture"))
    if not known:
        raise RequestError(
            f"{config.path}: timm {version} has no architecture {name!r}", hint="update timm, or correct the name"
        )
    return name
