"""The calibration images, on which quantization chooses its scales."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.core.console import say
from export.core.errors import RequestError
from export.core.records import CalibrationData, ModelSpec
from export.data.datasets import draw, open_dataset
from export.data.embedded import Embedded, embedded_for
from export.data.preprocess import normalise, preprocess, read_image
from export.data.synthetic import pink_noise_image


@dataclass(frozen=True)
class CalibrationImages:
    """Preprocessed `images` `float32 [n, 3, H, W]`; `title` names their source, which for `synthetic` ones is none."""

    images: NDArray[np.float32]
    title: str
    synthetic: bool = False

    def describe(self) -> CalibrationData:
        """Return what a page says of them."""
        return CalibrationData(images=len(self.images), title=self.title, synthetic=self.synthetic)


def calibration_images(
    spec: ModelSpec, data: Path | None, count: int, seed: int, tell: Callable[[str], None] = say
) -> CalibrationImages:
    """Return `count` images for a model: drawn from `data`, else from its own training images, else synthetic.

    Synthetic ones have the spectrum of photographs and no content, and `tell` is called with a note. The same seed
    draws the same. `data` needs no classes; where it has fewer images than `count`, all are used, with a note. Raises
    what `open_dataset` does.
    """
    if data is not None:
        drawn = open_dataset(data, spec, count, classes=False, seed=seed, tell=tell)
        if len(drawn) < count:
            tell(f"note: {data.name}: {len(drawn)} usable images for calibration instead of {count}; all are used")
        images = [preprocess(read_image(example.data, example.name), spec.preprocess) for example in drawn]
        return CalibrationImages(np.stack(images), drawn.title)
    own = embedded_for(spec.labels)
    if own is not None:
        return _embedded_images(spec, own, count, seed)
    tell(
        f"note: {spec.name} is calibrated on {count} synthetic images, which are unlike real ones; for scales that fit "
        "your images, pass --data with a folder of them"
    )
    synthetic = [normalise(image, spec.preprocess) for image in _synthetic(spec.preprocess.size, count, seed)]
    return CalibrationImages(np.stack(synthetic), "synthetic images", synthetic=True)


@functools.lru_cache(maxsize=1)  # the next recipe has the same ones
def _synthetic(size: int, count: int, seed: int) -> tuple[NDArray[np.uint8], ...]:
    random = np.random.default_rng(seed)
    return tuple(pink_noise_image(size, random) for _ in range(count))


def _embedded_images(spec: ModelSpec, own: Embedded, count: int, seed: int) -> CalibrationImages:
    stored = own.calibration()
    if len(stored) < count:
        raise RequestError(f"calibration needs {count} images, but only {len(stored)} are embedded", hint="pass --data")
    chosen = draw(stored.labels or [0] * len(stored), count, seed)
    images = [preprocess(stored.images[index], spec.preprocess) for index in chosen]
    return CalibrationImages(np.stack(images), own.calibration_title)
