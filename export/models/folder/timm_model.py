"""A folder as timm writes it for the hub: the architecture, its arguments, labels and preprocessing in config.json."""

from collections.abc import Mapping
from typing import Any, get_args

from export.core.errors import RequestError
from export.core.records import CropMode, Interpolation, Preprocess
from export.data.labels.parse import parse_content
from export.data.labels.parsed import NotLabels
from export.models.folder.config import UNNAMED, Config, words

WRAPPER = "timm_wrapper"  # model_type of timm's models in transformers
# Arguments of timm's that say where weights come from and what else to make of the model, not what it is.
NOT_OF_IT = words("pretrained pretrained_cfg pretrained_cfg_overlay checkpoint_path cache_dir features_only scriptable")
LABEL_KEYS = ("label_names", "id2label", "label2id")  # timm's own, and those of transformers
LARGEST_SIDE, MOST_CROPPED = 4096, 0.1


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
    if others := sorted(NOT_OF_IT & given.keys()):
        raise config.fault("model_args", f"arguments of the architecture, without {', '.join(others)}")
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
    key = next((key for key in LABEL_KEYS if config.get(key, own.get(key))), None)
    if key is None:
        return None
    names = _by_output(_named_by(config, own, key), key)
    if all(UNNAMED.fullmatch(str(name)) for name in names):
        return None
    described = config.get("label_descriptions", own.get("label_descriptions"))
    if described is None:
        described = {}
    if not isinstance(described, Mapping) or not all(isinstance(text, str | int) for text in described.values()):
        raise _named_by(config, own, "label_descriptions").fault("label_descriptions", "an object of texts by names")
    return key, {str(index): str(described.get(name, name)) for index, name in enumerate(names)}


def _by_output(config: Config, key: str) -> list[str | int]:
    """Return names that are a list, or an object of names by index or of indices by name."""
    names = config.get(key)
    if isinstance(names, Mapping):
        try:
            names = parse_content({key: names}).values
        except NotLabels as error:
            raise config.fault(key, "a list of names, or an object of names by index", hint=f"it {error}") from error
    if not isinstance(names, list) or not all(isinstance(name, str | int) for name in names):
        raise config.fault(key, "a list of names")
    return names


def _named_by(config: Config, own: Config, name: str) -> Config:
    return config if name in config.values else own


def preprocessing(config: Config, default: Preprocess) -> Preprocess:
    """Return the preprocessing of validation, as timm has it; `default` is the architecture's own."""
    own = pretrained_cfg(config)
    size = own.get("test_input_size", own.get("input_size"))
    values = {
        "size": default.size if size is None else _side(own, size),
        "crop_pct": _crop(own, default.crop_pct),
        "crop_mode": _one_of(own, "crop_mode", get_args(CropMode), default.crop_mode),
        "interpolation": _one_of(own, "interpolation", get_args(Interpolation), default.interpolation),
        "mean": _three(own, "mean", default.mean),
        "std": _three(own, "std", default.std),
    }
    return Preprocess(**values)


def _side(own: Config, size: Any) -> int:
    whole = isinstance(size, list) and len(size) == 3 and all(type(one) is int for one in size)
    if not whole or size[1] != size[2] or size[0] not in (1, 3) or not 1 <= size[1] <= LARGEST_SIDE:
        raise own.fault("input_size", "[3, N, N]", hint="only square images in colours or grey are supported")
    return int(size[1])


def _crop(own: Config, default: float) -> float:
    name = "test_crop_pct" if "test_crop_pct" in own.values else "crop_pct"
    value = own.number(name, default)
    if not MOST_CROPPED <= value <= 1:
        raise own.fault(name, f"a number of {MOST_CROPPED} to 1")
    return float(value)


def _one_of(own: Config, name: str, allowed: tuple[str, ...], default: str) -> Any:
    value = own.get(name, default)
    if value not in allowed:
        raise own.fault(
            name, ", ".join(allowed), hint=f"pass --{name.replace('_', '-')}" if name != "crop_mode" else ""
        )
    return value


def _three(own: Config, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    value = own.get(name, list(default))
    numbers = isinstance(value, list) and all(type(one) in (int, float) and abs(one) <= 1e6 for one in value)
    if not numbers or len(value) not in (1, 3) or (name == "std" and min(value) <= 0):
        raise own.fault(name, "three numbers" + (" above 0" if name == "std" else ""))
    return tuple(map(float, value)) * (3 // len(value))


def require_architecture(config: Config, known: bool, version: str) -> str:
    """Return the name of the architecture; raises `RequestError` when timm does not know it."""
    name = str(config.get("architecture"))
    if not known:
        raise RequestError(
            f"{config.path}: timm {version} has no architecture {name!r}", hint="update timm, or correct the name"
        )
    return name
