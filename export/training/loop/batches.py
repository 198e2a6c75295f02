"""Batches to train on and held-out inputs: augmented pictures, or activations of frozen blocks."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from export.core.records import Preprocess
from export.data.pictures.arrays import PictureArray
from export.training.loop import augmentation
from export.training.model.frozen import Activations
from export.training.options import PictureTrainOptions


@dataclass(frozen=True, slots=True)
class Batch:
    """The model's `inputs` with mixed `targets` `float32 [n, K]`; `pixels` `[n, 3, H, W]` in 0..1 are for a teacher."""

    inputs: Tensor
    targets: Tensor
    pixels: Tensor | None = None


class Batches(Protocol):
    """What can be trained on: so many examples, drawn by their positions."""

    def __len__(self) -> int: ...

    def draw(self, positions: Tensor) -> Batch:
        """Return the batch of these positions, changed at random."""
        ...


class HeldOut(Protocol):
    """What accuracy is measured on: the model's inputs, and the class of each in `targets`."""

    targets: NDArray[np.int64]

    def inputs(self, start: int, stop: int) -> Tensor:
        """Return inputs by position."""
        ...


class Normalise:
    """Makes the model's input of pictures, on their device."""

    def __init__(self, preprocess: Preprocess, device: torch.device) -> None:
        self.preprocess = preprocess
        self.mean, self.std = (
            torch.tensor(values, device=device)[:, None, None] for values in (preprocess.mean, preprocess.std)
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Return `float32 [n, 3, H, W]` of pictures `uint8 [n, H, W, 3]`."""
        return self.scaled(images.permute(0, 3, 1, 2).float() / 255)

    def scaled(self, pixels: Tensor) -> Tensor:
        """Return what the model takes of pixels `[n, 3, H, W]` in 0..1."""
        return (pixels - self.mean) / self.std

    def __repr__(self) -> str:
        return repr(self.preprocess)


def smoothed(targets: Tensor, classes: int, smoothing: float) -> Tensor:
    """Return class indices `[n]` as probabilities `float32 [n, K]`, with label smoothing."""
    return F.one_hot(targets, classes).float() * (1 - smoothing) + smoothing / classes


class AugmentedPictures:
    """Pictures cropped, mirrored, coloured, blurred, erased and mixed at random."""

    def __init__(
        self,
        pictures: PictureArray,
        classes: int,
        options: PictureTrainOptions,
        normalise: Normalise,
        device: torch.device,
    ) -> None:
        self.pictures, self.classes, self.options = pictures, classes, options
        self.normalise, self.device = normalise, device
        self.images = self._near_device()
        self.targets = torch.from_numpy(pictures.targets).to(device)

    def __len__(self) -> int:
        return len(self.pictures)

    def _near_device(self) -> Tensor | None:
        """Return all pictures on a GPU that has room for them."""
        if self.device.type != "cuda" or self.pictures.nbytes > torch.cuda.mem_get_info(self.device)[0] / 4:
            return None
        return torch.from_numpy(self.pictures.take(slice(None))).to(self.device)

    def _take(self, positions: Tensor) -> Tensor:
        """Return pictures `uint8 [n, side, side, 3]` on the device."""
        if self.images is None:
            return torch.from_numpy(self.pictures.take(positions.numpy())).to(self.device)
        return self.images[positions.to(self.device)]

    def plain(self, positions: Tensor) -> Tensor:
        """Return the model's inputs `float32 [n, 3, size, size]` of pictures that are not augmented."""
        images = self._take(positions.sort().values)
        crop_pct = self.normalise.preprocess.crop_pct
        return self.normalise.scaled(augmentation.centre_crop(images, self.options.image_size, crop_pct))

    def draw(self, positions: Tensor) -> Batch:
        """Return augmented pictures and mixed targets."""
        options = self.options
        positions = positions.sort().values if self.images is None else positions
        images = self._take(positions)
        targets = smoothed(self.targets[positions.to(self.device)], self.classes, options.smoothing)
        pixels = augmentation.random_crop(images, options.image_size, options.crop_min)
        pixels = augmentation.change_sharpness(augmentation.change_colours(pixels, options.jitter))
        if options.erase_prob:
            pixels = augmentation.erase(pixels, options.erase_prob)
        pixels, targets = augmentation.mix(pixels, targets, options.mixup, options.cutmix)
        return Batch(self.normalise.scaled(pixels), targets, pixels)


class FrozenActivations:
    """Activations of frozen blocks, of a picture or its mirror image at random, and mixed."""

    def __init__(
        self, activations: Activations, classes: int, options: PictureTrainOptions, device: torch.device
    ) -> None:
        self.activations, self.classes, self.options, self.device = activations, classes, options, device
        self.targets = torch.from_numpy(activations.targets)

    def __len__(self) -> int:
        return len(self.activations)

    def draw(self, positions: Tensor) -> Batch:
        """Return tokens and mixed targets."""
        positions = positions.sort().values
        views = torch.randint(self.activations.stored.shape[1], (len(positions),))
        tokens = torch.from_numpy(self.activations.stored[positions.numpy(), views.numpy()]).to(self.device).float()
        targets = smoothed(self.targets[positions], self.classes, self.options.smoothing).to(self.device)
        return Batch(*augmentation.mix(tokens, targets, self.options.mixup, 0.0))


class HeldOutPictures:
    """Held-out pictures of the model's size."""

    def __init__(self, pictures: PictureArray, normalise: Normalise, device: torch.device) -> None:
        self.pictures, self.normalise, self.device, self.targets = pictures, normalise, device, pictures.targets

    def inputs(self, start: int, stop: int) -> Tensor:
        """Return normalised pictures by position."""
        return self.normalise(torch.from_numpy(self.pictures.take(slice(start, stop))).to(self.device))


class HeldOutActivations:
    """What frozen blocks compute of held-out pictures."""

    def __init__(self, activations: Activations, device: torch.device) -> None:
        self.activations, self.device, self.targets = activations, device, activations.targets

    def inputs(self, start: int, stop: int) -> Tensor:
        """Return tokens by position."""
        return torch.from_numpy(self.activations.stored[start:stop, 0].astype(np.float32)).to(self.device)
