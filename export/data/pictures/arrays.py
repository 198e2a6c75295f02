"""Pictures decoded once into an array on disk, of a size from which training can crop at random."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from export.core.console import LongProgress, say, several
from export.core.errors import RequestError
from export.core.files import hash_file, hash_json, write_atomically
from export.core.records import Preprocess
from export.data.pictures.resumable import filling
from export.data.pictures.training_set import PictureList
from export.data.preprocess import read_image, resize_and_crop

MARGIN = 8 / 7  # of a stored picture's side over the model's: timm's usual 256 for 224
SAMPLED, CHUNK, SHOWN = 256, 1024, 5


@dataclass(frozen=True, slots=True)
class PictureArray:
    """Decoded pictures: in `stored`, the `rows` that could be decoded, with their `targets` `int64 [n]`.

    The `digest` is that of all that is stored.
    """

    stored: NDArray[np.uint8]
    rows: NDArray[np.int64]
    targets: NDArray[np.int64]
    digest: str

    def __len__(self) -> int:
        return len(self.targets)

    @property
    def side(self) -> int:
        """The height and width of the pictures."""
        return int(self.stored.shape[1])

    @property
    def nbytes(self) -> int:
        """What all pictures take in memory."""
        return len(self) * self.side * self.side * 3

    def take(self, positions: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        """Return the pictures at ascending positions as `uint8 [k, side, side, 3]`, read from disk."""
        return np.ascontiguousarray(self.stored[self.rows[positions]])


def training_pictures(pictures: PictureList, preprocess: Preprocess, cache: Path) -> PictureArray:
    """Return the pictures somewhat larger than the model takes them, to be cropped at random.

    Their side is 8/7 of the model's, and never over that of the median picture.
    """
    key = _key(pictures, ["cropped", MARGIN, preprocess.size, preprocess.interpolation])
    array = _stored(pictures, key, cache)
    if array is None:
        side = stored_side(pictures, preprocess.size)
        array = _decode(pictures, replace(preprocess, size=side, crop_pct=1.0), key, cache, "training pictures")
    return array


def check_classes(pictures: PictureList, array: PictureArray) -> None:
    """Raise `RequestError` when a class has no picture that could be decoded."""
    gone = set(pictures.targets) - set(array.targets.tolist())
    if gone:
        raise RequestError(
            f"{pictures.source}: none of the pictures of {len(gone)} classes can be decoded, "
            f"such as {pictures.names[pictures.targets.index(min(gone))]}",
            hint="replace them, or remove their folders",
        )


def model_inputs(pictures: PictureList, preprocess: Preprocess, cache: Path, title: str) -> PictureArray:
    """Return the pictures as the model takes them: resized and cropped as a page does it."""
    key = _key(pictures, [preprocess.size, preprocess.crop_pct, preprocess.crop_mode, preprocess.interpolation])
    return _stored(pictures, key, cache) or _decode(pictures, preprocess, key, cache, title)


def _key(pictures: PictureList, how: list[Any]) -> str:
    """Return a key of the pictures' files and of how they are decoded."""
    source = pictures.source
    files = [source] if source.is_file() else [source / name for name in pictures.names]
    stats = [(path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else None for path in files]
    return hash_json([str(source.resolve()), stats, pictures.names, pictures.targets, how])[:16]


def stored_side(pictures: PictureList, image_size: int) -> int:
    """Return the side at which pictures are kept: somewhat over the model's, and never over the median picture's."""
    step = max(1, len(pictures) // SAMPLED)
    sides = []
    for name in pictures.names[: SAMPLED * step : step]:
        try:
            sides.append(min(read_image(pictures.read(name), name).shape[:2]))
        except Exception:  # is named when all are read
            continue
    if not sides:
        raise RequestError(
            f"{pictures.source}: none of {SAMPLED} sampled pictures can be decoded", hint="copy or download them again"
        )
    return min(round(image_size * MARGIN), int(median(sides)))


def _paths(cache: Path, key: str) -> tuple[Path, Path]:
    return cache / f"{key}-images.npy", cache / f"{key}.json"


def _stored(pictures: PictureList, key: str, cache: Path) -> PictureArray | None:
    images, facts = _paths(cache, key)
    if not (images.is_file() and facts.is_file()):
        return None
    found = json.loads(facts.read_bytes())
    unreadable = set(found["unreadable"])
    if unreadable:
        names = [pictures.names[at] for at in sorted(unreadable)]
        say(
            f"note: {len(unreadable)} of {len(pictures)} pictures in {pictures.source.name} cannot be decoded and are "
            f"left out: {several(names, SHOWN)}"
        )
    if len(unreadable) == len(pictures):
        raise RequestError(
            f"{pictures.source}: none of the {len(pictures)} pictures can be decoded",
            hint="copy or download them again",
        )
    rows = np.array([at for at in range(len(pictures)) if at not in unreadable], np.int64)
    return PictureArray(np.load(images, mmap_mode="r"), rows, np.array(pictures.targets)[rows], found["digest"])


def _decode(pictures: PictureList, preprocess: Preprocess, key: str, cache: Path, title: str) -> PictureArray:
    """Decode, resize and crop all pictures as `preprocess` says, kept in the folder `cache` for the next run.

    Those that cannot be read or decoded are listed and left out; those that end early are listed.
    """
    images, facts = _paths(cache, key)
    short: list[str] = []
    shape = (len(pictures), preprocess.size, preprocess.size, 3)
    with filling(images, shape, np.uint8) as array, ThreadPoolExecutor(os.cpu_count()) as pool:

        def place(item: tuple[int, bytes | None]) -> None:
            position, data = item
            try:
                name = pictures.names[position]
                pixels = read_image(data or b"", name, lambda text: short.append(f"{name} ({text})"))
                array.rows[position] = resize_and_crop(pixels, preprocess)
            except RequestError:
                array.rows[position] = 0
                array.marked.add(position)

        with LongProgress(title, len(pictures), "picture", array.done) as progress:
            for start in range(array.done, len(pictures), CHUNK):  # in the stored order, the fast one for archives
                chunk = [(at, _bytes(pictures, at)) for at in range(start, min(start + CHUNK, len(pictures)))]
                list(pool.map(place, chunk))
                array.advance(len(chunk))
                progress.step(len(chunk))
    if short:
        say(f"note: {len(short)} pictures end early and are used as far as they go: {several(short, SHOWN)}")
    write_atomically(facts, json.dumps({"unreadable": sorted(array.marked), "digest": hash_file(images)}).encode())
    found = _stored(pictures, key, cache)
    assert found is not None, "has just been written"
    return found


def _bytes(pictures: PictureList, position: int) -> bytes | None:
    """Return a picture's file, or None where it cannot be read: no permission, or an archive's damaged entry."""
    try:
        return pictures.read(pictures.names[position])
    except Exception:  # some ten kinds, from four modules
        return None
