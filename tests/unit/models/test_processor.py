"""Pixels that reach a model are those that the library's image processor makes."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from export.core.errors import RequestError
from export.core.records import Preprocess
from export.data.preprocess import preprocess
from export.models.folder.config import Config
from export.models.transformers.processor import crop_pct, read_processor

transformers = pytest.importorskip("transformers")

MODEL_SIZE = 32
SIZES = [(61, 45), (45, 61), (40, 40), (32, 200), (300, 225), (9, 14)]
# Both compute in float32: scaled to 0..1, less the mean, over the standard deviation; the library scales by a product.
ROUNDING = 3e-7  # relative to the largest value
# The library's other back end resamples with its own arithmetic on bytes, and differs by a level here and there.
LEVELS = 2

SQUARE = {"height": 32, "width": 32}
PROCESSORS: dict[str, tuple[str, dict[str, Any]]] = {
    "vit": ("ViTImageProcessor", {"size": SQUARE}),
    "vit, bicubic": ("ViTImageProcessor", {"size": SQUARE, "resample": 3}),
    "vit, lanczos": ("ViTImageProcessor", {"size": SQUARE, "resample": 1}),
    "vit, nearest": ("ViTImageProcessor", {"size": SQUARE, "resample": 0}),
    "vit, box": ("ViTImageProcessor", {"size": SQUARE, "resample": 4}),
    "vit, hamming": ("ViTImageProcessor", {"size": SQUARE, "resample": 5}),
    "vit, shorter side, crop": (
        "ViTImageProcessor",
        {"size": {"shortest_edge": 37}, "do_center_crop": True, "crop_size": {"height": 32, "width": 32}},
    ),
    "vit, not rescaled": (
        "ViTImageProcessor",
        {"size": SQUARE, "do_rescale": False, "image_mean": [120.0, 110.0, 100.0], "image_std": [60.0, 61.0, 62.0]},
    ),
    "vit, another factor": (
        "ViTImageProcessor",
        {"size": SQUARE, "rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1]},
    ),
    "vit, not normalised": ("ViTImageProcessor", {"size": SQUARE, "do_normalize": False}),
    "vit, neither": ("ViTImageProcessor", {"size": SQUARE, "do_normalize": False, "do_rescale": False}),
    "deit": ("DeiTImageProcessor", {"size": {"height": 39, "width": 39}, "crop_size": {"height": 32, "width": 32}}),
    "bit, as dinov2": ("BitImageProcessor", {"size": {"shortest_edge": 35}, "crop_size": {"height": 32, "width": 32}}),
    "bit, whole": ("BitImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}),
    "convnext, as resnet": ("ConvNextImageProcessor", {"size": {"shortest_edge": 32}}),
    "convnext, warped": ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
    "convnext, crop": ("ConvNextImageProcessor", {"size": {"shortest_edge": 33}, "crop_pct": 0.9}),
}


def picture(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width)
    small = Image.fromarray(rng.integers(0, 256, (max(2, height // 4), max(2, width // 4), 3), np.uint8))
    return small.resize((width, height), Image.Resampling.BICUBIC)


def read(folder: Path, default: str = "ViT", **fields: Any) -> tuple[Preprocess, list[str]]:
    path, said = folder / "preprocessor_config.json", list[str]()
    if fields:
        path.write_text(json.dumps(fields))
    config = Config.read(path) if path.is_file() else None
    return read_processor(config, default, MODEL_SIZE, said.append), said


def saved(kind: str, fields: dict[str, Any], folder: Path) -> tuple[Any, Preprocess]:
    processor = getattr(transformers, f"{kind}Pil")(**fields)
    processor.save_pretrained(folder)
    return processor, read(folder)[0]


@pytest.mark.parametrize("case", PROCESSORS)
def test_pixels_equal_those_of_the_processor(tmp_path: Path, case: str) -> None:
    processor, ours = saved(*PROCESSORS[case], tmp_path)
    for width, height in SIZES:
        image = picture(width, height)
        wanted = np.asarray(processor(image)["pixel_values"][0], np.float32)
        found = preprocess(np.asarray(image), ours)
        assert found.shape == wanted.shape
        assert np.abs(found - wanted).max() <= ROUNDING * max(1, np.abs(wanted).max()), (width, height)


@pytest.mark.parametrize("case", ["vit", "bit, as dinov2", "convnext, as resnet"])
def test_they_lie_within_levels_of_the_librarys_other_back_end(tmp_path: Path, case: str) -> None:
    kind, fields = PROCESSORS[case]
    _, ours = saved(kind, fields, tmp_path)
    other = getattr(transformers, kind)(**fields)
    for width, height in SIZES:
        image = picture(width, height)
        wanted = other(image, return_tensors="np")["pixel_values"][0]
        level = 1 / 255 / min(ours.std)
        assert np.abs(preprocess(np.asarray(image), ours) - wanted).max() <= LEVELS * level + 1e-5


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 32}, (32, 1.0, "squash", "bilinear", 0.5)),
        ({"size": [32, 32], "resample": "bicubic"}, (32, 1.0, "squash", "bicubic", 0.5)),
        (
            {"feature_extractor_type": "DeiTFeatureExtractor", "size": 40, "crop_size": 32, "resample": 3},
            (32, 0.8, "squash", "bicubic", 0.485),
        ),
        (
            {"image_processor_type": "BitImageProcessorFast", "size": 40, "crop_size": 32},
            (32, 0.8, "center", "bicubic", 0.48145466),
        ),
        ({"image_processor_type": "CLIPImageProcessor", "size": 40, "crop_size": 32}, (32, 0.8, "center", "bicubic")),
        (
            {"image_processor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875},
            (224, 0.875, "center", "bicubic", 0.485),
        ),
        ({"do_resize": False, "size": 99}, (32, 1.0, "squash", "bilinear", 0.5)),
        ({"image_mean": 0.25, "size": 32, "do_pad": False}, (32, 1.0, "squash", "bilinear", 0.25)),
    ],
)
def test_older_forms_are_understood(tmp_path: Path, fields: dict[str, Any], wanted: tuple[Any, ...]) -> None:
    found = read(tmp_path, **fields)[0]
    values = (found.size, found.crop_pct, found.crop_mode, found.interpolation, found.mean[0])
    assert values[: len(wanted)] == wanted and found.crop_rounding == "down"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"image_processor_type": "MyImageProcessor"}, "prepared by MyImageProcessor, which is not supported"),
        ({"image_processor_type": "LevitImageProcessor"}, "supported: ViTImageProcessor, DeiTImageProcessor"),
        ({"do_flip_channel_order": True}, "do_flip_channel_order is true"),
        ({"do_pad": True}, "do_pad is true"),
        ({"resample": 9}, "resample is 9; supported: 0 (nearest)"),
        ({"size": {"height": 32, "width": 48}}, "only square images"),
        ({"size": {"longest_edge": 32}}, 'size is {"longest_edge": 32}'),
        ({"size": {"shortest_edge": 32}}, "size is"),
        ({"size": 32, "do_center_crop": True, "crop_size": {"height": 8, "width": 9}}, "crop_size is"),
        ({"size": 32, "do_center_crop": True, "crop_size": 40}, "crop_size is 40; supported: at most"),
        ({"do_resize": False, "do_center_crop": True, "crop_size": 32}, "do_resize is false"),
        ({"image_std": [0.5, 0.0, 0.5]}, "image_std is"),
        ({"image_mean": [0.5, 0.5]}, "image_mean is"),
        ({"image_mean": [float("nan")] * 3}, "image_mean is [NaN"),
        ({"image_std": float("inf")}, "image_std is Infinity"),
        ({"rescale_factor": 1e-300}, "rescale_factor is 1e-300"),
        ({"size": 10**9}, "size is 1000000000"),
        ({"size": 32, "do_center_crop": True, "crop_size": [[32], [32]]}, "crop_size is [[32], [32]]"),
        ({"size": 32, "do_center_crop": True, "crop_size": {"height": [32], "width": 32}}, "crop_size is"),
        ({"image_processor_type": "CLIPImageProcessor", "size": 32}, "takes 224 where the file says nothing"),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}, "crop_pct": 1e-9},
            "crop_pct is 1e-09",
        ),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}, "crop_pct": 2},
            "crop_pct is 2",
        ),
        ({"rescale_factor": 0}, "rescale_factor is 0"),
        ({"do_rescale": "yes"}, 'do_rescale is "yes"'),
        ({"image_processor_type": "ConvNextImageProcessor", "size": {"height": 32, "width": 32}}, "shortest_edge"),
    ],
)
def test_a_field_that_changes_pixels_and_is_not_supported_is_named(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(RequestError) as caught:
        read(tmp_path, **fields)
    assert words in str(caught.value) and "preprocessor_config.json" in str(caught.value)


def test_without_a_file_the_familys_own_is_assumed_and_that_is_said(tmp_path: Path) -> None:
    found, said = read(tmp_path, default="Bit")
    assert (found.size, found.crop_mode, found.mean[0]) == (32, "squash", 0.48145466)
    assert "there is no preprocessor_config.json" in said[0] and "--mean" in said[0]


def test_fields_that_are_not_known_are_told(tmp_path: Path) -> None:
    assert read(tmp_path, size=32, sharpness=3)[1] == [
        "note: fields of preprocessor_config.json that are not known here and not used: sharpness"
    ]


def test_the_crop_is_of_the_size_that_is_meant() -> None:
    for cropped in (24, 224, 384):
        for scaled in range(cropped, 3 * cropped):
            assert math.floor(cropped / crop_pct(cropped, scaled)) == scaled
