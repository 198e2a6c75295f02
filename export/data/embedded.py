"""What the repository brings for its own models besides weights: labels, preprocessing, and pictures."""

import functools
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.core.paths import ASSETS
from export.core.records import Preprocess
from export.data import fashion
from export.data.preprocess import read_image

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PHOTOS_LABELS, PHOTOS_CALIBRATION = ASSETS / "photos_labels.txt", ASSETS / "photos_calibration.zip"
PHOTOS_CONFIDENCE = ASSETS / "photos_confidence.json"


@dataclass(frozen=True, slots=True)
class Pictures:
    """Decoded `images`, each `uint8 [H, W, 3]`; `labels` are class indices, or None where they are not known."""

    images: tuple[NDArray[np.uint8], ...]
    labels: tuple[int, ...] | None

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, slots=True)
class Embedded:
    """An embedded model's `labels` and `preprocess`, and its pictures; `test` is None where it has none.

    The titles name the pictures in reports. `confidence` is the file of its confidence, or None.
    """

    labels: tuple[str, ...]
    preprocess: Preprocess
    calibration: Callable[[], Pictures]
    calibration_title: str
    test: Callable[[], fashion.LabelledImages] | None = None
    test_title: str = ""
    confidence: Path | None = None


def embedded_model(name: str) -> Embedded | None:
    """Return what is embedded for the model of that name, or None."""
    make = MODELS.get(name)
    return make() if make else None


def embedded_for(labels: tuple[str, ...]) -> Embedded | None:
    """Return what is embedded for models of these labels, an own one's too, or None."""
    found = (make() for make in MODELS.values())
    return next((embedded for embedded in found if embedded.labels == labels), None)


@functools.cache
def _fashion() -> Embedded:
    def calibration() -> Pictures:
        stored = fashion.read_embedded("calibration")
        return Pictures(tuple(stored.rgb(0, len(stored))), tuple(int(label) for label in stored.labels))

    return Embedded(
        labels=fashion.LABELS,
        preprocess=fashion.PREPROCESS,
        calibration=calibration,
        calibration_title="Fashion-MNIST training images",
        test=functools.partial(fashion.read_embedded, "test"),
        test_title="Fashion-MNIST test images",
    )


@functools.cache
def _photos() -> Embedded:
    def calibration() -> Pictures:
        with zipfile.ZipFile(PHOTOS_CALIBRATION) as archive:
            names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
            return Pictures(tuple(read_image(archive.read(name), name) for name in names), None)

    return Embedded(
        labels=tuple(PHOTOS_LABELS.read_text("utf-8").splitlines()),
        preprocess=Preprocess(
            size=64, crop_pct=1.0, crop_mode="center", interpolation="bicubic", mean=IMAGENET_MEAN, std=IMAGENET_STD
        ),
        calibration=calibration,
        calibration_title="free photographs",
        confidence=PHOTOS_CONFIDENCE,
    )


MODELS: dict[str, Callable[[], Embedded]] = {"fashion": _fashion, "photos": _photos}
