"""What quantization-aware training sees: Fashion-MNIST, or a person's own pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from msgspec.structs import replace
from numpy.typing import NDArray
from timm.data.random_erasing import RandomErasing
from torch import Tensor, nn

from export.core.errors import RequestError
from export.core.files import hash_bytes
from export.core.records import ModelSpec, Preprocess
from export.data.fashion import LabelledImages
from export.data.labels.known import numbered_labels
from export.data.pictures.arrays import PictureArray, model_inputs, training_pictures
from export.data.pictures.training_set import open_training_set
from export.quantization.training import float_training
from export.training.loop.augmentation import random_crop
from export.training.loop.batches import Normalise

CPU = torch.device("cpu")
CROP_MIN = 0.5  # of a picture's area, in fine-tuning
EVALUATED = 500  # at a time


class TrainedImages(Protocol):
    """Images with their classes, to train on or to evaluate with."""

    def __len__(self) -> int: ...

    def digests(self) -> list[str]:
        """Return hashes of all images and of their classes."""
        ...

    def classes(self) -> NDArray[np.int64]:
        """Return the index of every image's class."""
        ...

    def batch(self, positions: NDArray[np.int64]) -> Tensor:
        """Return images as they are stored, `uint8`."""
        ...

    def augment(self, images: Tensor) -> Tensor:
        """Return the model's input, changed at random."""
        ...

    def inputs(self, positions: NDArray[np.int64]) -> Tensor:
        """Return the model's input, unchanged."""
        ...


class FashionImages(LabelledImages):
    """Images of Fashion-MNIST."""

    def digests(self) -> list[str]:
        """Return hashes of all images and of their classes."""
        return [hash_bytes(part.tobytes()) for part in (self.images, self.labels)]

    def classes(self) -> NDArray[np.int64]:
        """Return the index of every image's class."""
        return self.labels.astype(np.int64)

    def batch(self, positions: NDArray[np.int64]) -> Tensor:
        """Return `uint8 [n, 28, 28]`."""
        return torch.from_numpy(self.images[positions])

    def augment(self, images: Tensor) -> Tensor:
        """Return `float32 [n, 3, 28, 28]`, flipped and shifted."""
        return float_training.augment(images, RandomErasing(probability=0.0, device="cpu"))

    def inputs(self, positions: NDArray[np.int64]) -> Tensor:
        """Return `float32 [n, 3, 28, 28]`."""
        return float_training.normalise(self.batch(positions))


@dataclass(frozen=True)
class OwnPictures:
    """Decoded pictures, of the model's size or somewhat larger."""

    pictures: PictureArray
    preprocess: Preprocess

    def __len__(self) -> int:
        return len(self.pictures)

    def digests(self) -> list[str]:
        """Return hashes of all pictures and of their classes."""
        return [self.pictures.digest, hash_bytes(self.pictures.targets.tobytes())]

    def classes(self) -> NDArray[np.int64]:
        """Return the index of every picture's class."""
        return self.pictures.targets

    def batch(self, positions: NDArray[np.int64]) -> Tensor:
        """Return `uint8 [n, side, side, 3]`."""
        return torch.from_numpy(self.pictures.take(positions))

    def augment(self, images: Tensor) -> Tensor:
        """Return `float32 [n, 3, size, size]`, cropped and mirrored."""
        return Normalise(self.preprocess, CPU).scaled(random_crop(images, self.preprocess.size, CROP_MIN))

    def inputs(self, positions: NDArray[np.int64]) -> Tensor:
        """Return `float32 [n, 3, size, size]`, cut out of the centre."""
        size = self.preprocess.size
        edge = max(0, self.pictures.side - size) // 2
        return Normalise(self.preprocess, CPU)(self.batch(positions)[:, edge : edge + size, edge : edge + size])


@dataclass(frozen=True, kw_only=True)
class OwnPicturesRequest:
    """Which pictures to train on; see `open_training_set` for `data` to `held_out`. They are decoded into `cache`."""

    data: Path
    validation: Path | None
    words: Path | None
    held_out: float | None
    seed: int
    cache: Path


def open_own_pictures(request: OwnPicturesRequest, spec: ModelSpec) -> tuple[ModelSpec, OwnPictures, OwnPictures]:
    """Return the spec with the pictures' labels, the pictures to train on, and those to evaluate with.

    Raises `RequestError` when the model has other classes, and what `open_training_set` does.
    """
    with open_training_set(request.data, request.validation, request.words, request.held_out, request.seed) as found:
        if spec.outputs != len(found.classes):
            raise RequestError(
                f"--data {request.data} has {len(found.classes)} classes, but {spec.name} has {spec.outputs} outputs",
                hint=f"train it on these pictures first: python -m export.train --data {request.data} --model …",
            )
        if spec.labels not in (found.labels, found.classes, numbered_labels(spec.outputs)):
            other = next(pair for pair in zip(found.labels, spec.labels, strict=True) if pair[0] != pair[1])
            raise RequestError(
                f"--data {request.data}: its class {other[0]} is {other[1]} in the checkpoint",
                hint="pass the pictures that it was trained on",
            )
        train = training_pictures(found.train, spec.preprocess, request.cache)
        test = model_inputs(found.validation, spec.preprocess, request.cache, "held-out pictures")
    return (replace(spec, labels=found.labels), OwnPictures(train, spec.preprocess), OwnPictures(test, spec.preprocess))


@torch.inference_mode()
def count_hits(module: nn.Module, images: TrainedImages, device: torch.device) -> int:
    """Return how many images are classified correctly, in float32."""
    module.eval()
    correct, classes = 0, images.classes()
    for start in range(0, len(images), EVALUATED):
        positions = np.arange(start, min(start + EVALUATED, len(images)))
        predicted = module(images.inputs(positions).to(device)).argmax(1).cpu().numpy()
        correct += int((predicted == classes[positions]).sum())
    return correct
