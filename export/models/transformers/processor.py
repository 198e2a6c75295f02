"""How an image processor of transformers prepares images, as our own preprocessing: the same pixels."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from export.core.errors import RequestError
from export.core.records import CropMode, Interpolation, Preprocess
from export.models.folder.config import Config, words

# Pillow's numbers of its filters, which `resample` means.
RESAMPLE: dict[Any, Interpolation] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
RESAMPLE |= {name: name for name in RESAMPLE.values()}
BYTES = 255
HALF = (0.5, 0.5, 0.5)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LARGEST_SIDE, LARGEST_VALUE = 8192, 1e6  # of an image that is prepared, and of what its values are divided by
WARPED_FROM = 384  # pixels from which a ConvNext processor brings both sides to size, without a crop


@dataclass(frozen=True, slots=True)
class Processor:
    """A kind of image processor: its values where the file says nothing.

    A `size` that is one number is the side of a square (`square`) or the shorter side of the image.
    """

    size: Any
    crop_size: int | None
    resample: int
    mean: tuple[float, ...] = HALF
    std: tuple[float, ...] = HALF
    square: bool = True


_BIT = Processor({"shortest_edge": 224}, 224, 3, CLIP_MEAN, CLIP_STD, square=False)
PROCESSORS: dict[str, Processor] = {
    "ViT": Processor({"height": 224, "width": 224}, None, 2),
    "DeiT": Processor({"height": 256, "width": 256}, 224, 3, IMAGENET_MEAN, IMAGENET_STD),
    "Bit": _BIT,
    "CLIP": _BIT,
    "ConvNext": Processor({"shortest_edge": 384}, None, 3, IMAGENET_MEAN, IMAGENET_STD, square=False),
}
KIND = re.compile(r"(\w+?)(ImageProcessor|FeatureExtractor)(Fast|Pil)?")
# Steps that are done, and those that change nothing for an image of bytes in colours.
STEPS = words("do_resize do_center_crop do_rescale do_normalize do_convert_rgb do_reduce_labels")
FIELDS = words(
    "image_processor_type feature_extractor_type processor_class size crop_size resample rescale_factor image_mean",
    "image_std crop_pct default_to_square auto_map _valid_processor_keys input_data_format data_format return_tensors",
    "device disable_grouping backend use_fast image_seq_length pad_size",
)


def read_processor(config: Config | None, default: str, size: int | None, tell: Callable[[str], None]) -> Preprocess:
    """Return the preprocessing that a file states, or that of the `default` kind where there is none.

    `size` is the model's image size, or None where it takes any. Raises `RequestError` for a field that changes
    pixels and is not supported. Images are cropped as transformers does it: the offset is rounded down.
    """
    if config is None:
        return _without_file(PROCESSORS[default], size, tell)
    kind = _kind(config, default)
    _check_steps(config, tell)
    mode, scaled, cropped = _geometry(config, kind, size, tell)
    mean, std = _normalisation(config, PROCESSORS[kind])
    return Preprocess(
        size=cropped,
        crop_pct=crop_pct(cropped, scaled),
        crop_mode=mode,
        crop_rounding="down",
        interpolation=_interpolation(config, PROCESSORS[kind]),
        mean=mean,
        std=std,
    )


def _without_file(kind: Processor, size: int | None, tell: Callable[[str], None]) -> Preprocess:
    side = size or 224
    tell(
        f"note: there is no preprocessor_config.json: both sides are brought to {side}, mean {kind.mean[0]:.4g} and "
        f"std {kind.std[0]:.4g}; if training did otherwise, pass --mean, --std, --crop-pct and --interpolation"
    )
    return Preprocess(
        size=side,
        crop_pct=1.0,
        crop_mode="squash",
        crop_rounding="down",
        interpolation=RESAMPLE[kind.resample],
        mean=kind.mean,
        std=kind.std,
    )


def _kind(config: Config, default: str) -> str:
    stated = config.get("image_processor_type") or config.get("feature_extractor_type")
    if stated is None:
        return default
    found = KIND.fullmatch(str(stated))
    name = found[1] if found else ""
    if name not in PROCESSORS:
        known = ", ".join(f"{kind}ImageProcessor" for kind in PROCESSORS)
        raise RequestError(
            f"{config.path}: images are prepared by {stated}, which is not supported; supported: {known}",
            hint="write a preprocessor_config.json of one of these that does the same",
        )
    return name


def _check_steps(config: Config, tell: Callable[[str], None]) -> None:
    for name, value in config.values.items():
        if name.startswith("do_") and name not in STEPS and value:
            raise config.fault(name, "false", hint=f"steps that are supported: {', '.join(sorted(STEPS))}")
    unknown = [name for name in config.values if not name.startswith("do_") and name not in FIELDS]
    if unknown:
        tell(f"note: fields of {config.path.name} that are not known here and not used: {', '.join(unknown)}")


def _interpolation(config: Config, kind: Processor) -> Interpolation:
    value = config.get("resample", kind.resample)
    if isinstance(value, bool) or not isinstance(value, int | str) or value not in RESAMPLE:
        raise config.fault("resample", ", ".join(f"{key} ({name})" for key, name in list(RESAMPLE.items())[:6]))
    return RESAMPLE[value]


def _normalisation(config: Config, kind: Processor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std of values of 0 to 1, whatever factor the bytes are rescaled by."""
    factor = config.number("rescale_factor", 1 / BYTES) if config.flag("do_rescale", True) else 1.0
    if not 1 / LARGEST_VALUE <= factor <= LARGEST_VALUE:
        raise config.fault("rescale_factor", "1/255, or another number of 1e-6 to 1e6")
    scale = 1.0 if math.isclose(factor * BYTES, 1, rel_tol=1e-9) else 1 / (factor * BYTES)
    if not config.flag("do_normalize", True):
        return (0.0,) * 3, (scale,) * 3
    mean = tuple(value * scale for value in _channels(config, "image_mean", kind.mean))
    std = tuple(value * scale for value in _channels(config, "image_std", kind.std))
    if not all(value > 0 for value in std):
        raise config.fault("image_std", "numbers above 0")
    return mean, std


def _channels(config: Config, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    value = config.get(name, list(default))
    values = value if isinstance(value, list) else [value]
    numbers = all(type(one) in (int, float) and abs(one) <= LARGEST_VALUE for one in values)
    if not numbers or len(values) not in (1, 3):
        raise config.fault(name, "one number, or three for red, green and blue")
    return tuple(map(float, values)) * (3 // len(values))


def _geometry(config: Config, kind: str, size: int | None, tell: Callable[[str], None]) -> tuple[CropMode, int, int]:
    """Return the crop mode, the side that images are brought to, and the side of the crop."""
    defaults = PROCESSORS[kind]
    crops = config.flag("do_center_crop", defaults.crop_size is not None)
    if not config.flag("do_resize", True):
        if crops or size is None:
            raise config.fault("do_resize", "true", hint="images of any size are brought to the model's")
        tell(f"note: do_resize is false: images that are not {size}×{size} are brought to that size")
        return "squash", size, size
    mode, scaled = _resized(config, defaults)
    if kind == "ConvNext":
        mode, scaled, cropped = _warped(config, mode, scaled)
        crops = crops and _square(config, "crop_size", cropped) != cropped
        if crops:
            raise config.fault("crop_size", str(cropped))
        return mode, scaled, cropped
    if not crops:
        if mode == "center":
            raise config.fault("size", "height and width, or a crop", hint="the model takes images of one size")
        return mode, scaled, scaled
    cropped = _square(config, "crop_size", defaults.crop_size or scaled)
    if cropped > scaled:
        own = "" if config.get("crop_size") else f"its kind takes {cropped} where the file says nothing"
        raise config.fault("crop_size", f"at most the size that images are brought to, {scaled}", hint=own)
    return mode, scaled, cropped


def _warped(config: Config, mode: CropMode, size: int) -> tuple[CropMode, int, int]:
    if mode != "center":
        raise config.fault("size", "shortest_edge", hint="this kind of processor takes no other")
    if size >= WARPED_FROM:
        return "squash", size, size
    crop = config.number("crop_pct", 224 / 256)
    if crop > 1 or not _is_size(int(size / crop)):
        raise config.fault("crop_pct", "a number above 0, at most 1, such as 0.875")
    return "center", int(size / crop), size


def _resized(config: Config, kind: Processor) -> tuple[CropMode, int]:
    """Return whether both sides are brought to a size or the shorter one is, and to which."""
    value = config.get("size", kind.size)
    if isinstance(value, int) and not isinstance(value, bool):
        square = config.flag("default_to_square", kind.square)
        value = {"height": value, "width": value} if square else {"shortest_edge": value}
    if isinstance(value, list) and len(value) == 2:
        value = dict(zip(("height", "width"), value, strict=True))
    given = {name: one for name, one in value.items() if one is not None} if isinstance(value, Mapping) else {}
    if given.keys() == {"shortest_edge"} and _is_size(given["shortest_edge"]):
        return "center", given["shortest_edge"]
    if given.keys() == {"height", "width"} and _is_size(given["height"]):
        if given["height"] != given["width"]:
            raise config.fault("size", "equal height and width", hint="only square images are supported")
        return "squash", given["height"]
    raise config.fault("size", "a number, height and width, or shortest_edge")


def _square(config: Config, name: str, default: int) -> int:
    value = config.get(name, default)
    if isinstance(value, Mapping):
        known = value.keys() <= {"height", "width", "shortest_edge"}
        value = [one for one in value.values() if one is not None] if known else None
    if isinstance(value, list):
        value = value[0] if value and all(one == value[0] for one in value) else None
    if not _is_size(value):
        raise config.fault(name, "a number, or equal height and width", hint="only square images are supported")
    return int(value)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= LARGEST_SIDE


def crop_pct(cropped: int, scaled: int) -> float:
    """Return the number by which `cropped`, divided and rounded down, is `scaled`."""
    value = cropped / scaled
    while math.floor(cropped / value) < scaled:
        value = math.nextafter(value, 0)
    return value
