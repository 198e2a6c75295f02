"""Pictures decoded once into an array on disk, of a size from which training can crop at random."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from export.core.console import bar, say
from export.core.errors import RequestError
from export.core.files import hash_json, replacing_file
from export.core.records import Preprocess
from export.data.archives import reading
from export.data.picture_classes import PictureList
from export.data.preprocess import read_image, resize_and_crop

MARGIN = 8 / 7  # of a stored picture's side over the model's: timm's usual 256 for 224
SAMPLED, CHUNK, SHOWN = 256, 1024, 5


@dataclass(frozen=True, slots=True)
class PictureArray:
    """Decoded pictures: `images` `uint8 [n, side, side, 3]`, possibly mapped from disk, and `targets` `int64 [n]`."""

    images: NDArray[np.uint8]
    targets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.targets)


def stored_side(pictures: PictureList, image_size: int) -> int:
    """Return the side at which pictures are kept: somewhat over the model's, and never over the median picture's."""
    step = max(1, len(pictures) // SAMPLED)
    sides = []
    with reading(pictures.source) as read:
        for name in pictures.names[: SAMPLED * step : step]:
            try:
                sides.append(min(read_image(read(name), name).shape[:2]))
            except RequestError:
                continue  # is named when all are read
    if not sides:
        raise RequestError(f"{pictures.source}: none of the first {SAMPLED} pictures can be decoded")
    return min(round(image_size * MARGIN), int(median(sides)))


def decode_pictures(
    pictures: PictureList, targets: list[int], preprocess: Preprocess, cache: Path, title: str
) -> PictureArray:
    """Decode, resize and crop all pictures as `preprocess` says, kept in the folder `cache` for the next run.

    Pictures that cannot be decoded are listed and left out; raises `RequestError` when none is left.
    """
    stat = pictures.source.stat()
    identity = [str(pictures.source.resolve()), stat.st_size, stat.st_mtime_ns, pictures.names, targets]
    key = hash_json([identity, preprocess.size, preprocess.crop_pct, preprocess.interpolation])[:16]
    images, kept = cache / f"{key}-images.npy", cache / f"{key}-targets.npy"
    if not (images.is_file() and kept.is_file()):
        shape = (len(pictures), preprocess.size, preprocess.size, 3)
        with replacing_file(images) as partial, replacing_file(kept) as partial_targets:
            array = np.lib.format.open_memmap(partial, "w+", np.uint8, shape)  # type: ignore[no-untyped-call]
            readable = _fill(array, pictures, preprocess, title)
            array.flush()
            with partial_targets.open("wb") as stream:
                np.save(stream, np.where(readable, targets, -1).astype(np.int64))
    return _mapped(np.load(images, mmap_mode="r"), np.load(kept), pictures)


def _mapped(images: NDArray[np.uint8], targets: NDArray[np.int64], pictures: PictureList) -> PictureArray:
    unreadable = np.flatnonzero(targets < 0)
    if not len(unreadable):
        return PictureArray(images, targets)
    names = ", ".join(pictures.names[at] for at in unreadable[:SHOWN])
    say(f"note: {len(unreadable)} of {len(targets)} pictures cannot be decoded and are left out: {names}")
    if len(unreadable) == len(targets):
        raise RequestError(f"{pictures.source}: none of the {len(targets)} pictures can be decoded")
    return PictureArray(images[targets >= 0], targets[targets >= 0])


def _fill(
    array: NDArray[np.uint8], pictures: PictureList, preprocess: Preprocess, title: str
) -> NDArray[np.bool_]:
    """Decode into the array, in threads, reading in the stored order; return which could be decoded."""
    readable = np.zeros(len(pictures), bool)

    def place(item: tuple[int, str, bytes]) -> None:
        position, name, data = item
        try:
            array[position] = resize_and_crop(read_image(data, name), preprocess)
            readable[position] = True
        except RequestError:
            pass  # stays marked as unreadable

    with ThreadPoolExecutor(os.cpu_count()) as pool, bar(title, len(pictures), "picture") as progress:
        with reading(pictures.source) as read:  # in the stored order, the fast one for archives
            for start in range(0, len(pictures), CHUNK):
                chunk = [(at, name, read(name)) for at, name in enumerate(pictures.names[start : start + CHUNK], start)]
                list(pool.map(place, chunk))
                progress.update(len(chunk))
    return readable
