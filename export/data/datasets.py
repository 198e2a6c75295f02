"""Datasets to evaluate on: the embedded test set, a folder, or an archive; nothing is skipped without a warning."""

import io
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from export.core.console import printable, say, several
from export.core.errors import RequestError
from export.core.records import ModelSpec
from export.data.archives import Read, open_files, reading
from export.data.embedded import embedded_for
from export.data.labels.annotations import annotated_classes
from export.data.labels.class_folders import match_folders, own_classes
from export.data.labels.known import numbered_labels
from export.data.preprocess import SUFFIXES, read_image, resize_and_crop
from export.data.signatures import LFS_POINTER

SEED = 0


@dataclass(frozen=True, slots=True)
class Example:
    """The file `name` of an encoded image, its bytes `data`, and the index of its class `label` (None: unknown)."""

    name: str
    data: bytes
    label: int | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples in a fixed order, read when iterated over; every one is an image that can be decoded.

    `total` counts the images from which these were drawn; `unreadable` names those that were drawn and could not be
    decoded, with the reason. `opened` opens the source, for a function from name to bytes.
    """

    title: str
    names: tuple[str, ...]
    labels: tuple[int | None, ...]
    total: int
    unreadable: tuple[str, ...]
    opened: Callable[[], AbstractContextManager[Read]]

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[Example]:
        with self.opened() as read:
            for name, label in zip(self.names, self.labels, strict=True):
                yield Example(name, read(name), label)


def open_dataset(
    data: Path | None,
    spec: ModelSpec,
    limit: int | None = None,
    *,
    classes: bool = True,
    seed: int = SEED,
    tell: Callable[[str], None] = say,
) -> Dataset:
    """Return the images to evaluate a model on: of a folder, zip or tar, or with `data` None the embedded test set.

    Class folders give labels (`match_folders`); without `classes` they need not be the model's, and nothing is
    labelled. At most `limit` images are drawn, stratified by folder; the same seed draws the same, and a smaller limit
    draws a subset of a larger one's. `tell` is called with a note on what is skipped and why. Raises `RequestError`
    when there are no images or a folder is no class of the model.
    """
    if limit is not None and limit < 1:
        raise RequestError(f"--limit {limit}: at least one image is needed", hint="pass 1 or more")
    if data is None:
        return _embedded(spec, limit, seed)
    names, places = _image_names(data, tell)
    if classes:
        labels = match_folders(data, places, spec, tell)
        chosen = draw(labels, limit, seed)
    else:
        labels = [None] * len(names)
        chosen = draw([PurePosixPath(name).parent for name in names], limit, seed)
        _offer_labels(data, names, spec, tell)
    opened = partial(reading, data)
    faults = _find_faults(opened, [names[index] for index in chosen], spec, tell)
    kept = [index for index in chosen if names[index] not in faults]
    unreadable = tuple(fault.text for fault in faults.values())
    pointers = any(fault.hint == LFS_POINTER.hint for fault in faults.values())
    if not kept:
        raise RequestError(
            f"--data {data}: none of its images can be read; the first error: {unreadable[0]}",
            hint=LFS_POINTER.hint if pointers else "copy or download them again, and open one in an image viewer",
        )
    if unreadable:
        skipped = f"{len(unreadable)} of {len(chosen)} images cannot be read and are skipped: {several(unreadable)}"
        tell(f"note: {skipped}{f'; {LFS_POINTER.hint}' if pointers else ''}")
    return Dataset(
        title=printable(data.absolute().name),
        names=tuple(names[index] for index in kept),
        labels=tuple(labels[index] for index in kept),
        total=len(names),
        unreadable=unreadable,
        opened=opened,
    )


def _offer_labels(data: Path, names: Sequence[str], spec: ModelSpec, tell: Callable[[str], None]) -> None:
    """Say that the folders may be the names of the classes, where those are unknown."""
    if spec.labels != numbered_labels(spec.outputs):
        return
    try:
        own = own_classes(data, names)
    except RequestError:
        return
    if own is not None and len(own[0]) == spec.outputs:
        tell(
            f"note: {data.name} has as many class folders as {spec.name} has classes, whose names are unknown; "
            f"to name them {several(own[0])}, in this order, pass --labels {data}"
        )


def draw(labels: Sequence[Hashable], limit: int | None, seed: int) -> list[int]:
    """Return up to `limit` indices in ascending order, drawn at random and stratified by label.

    Every class is shuffled, and the first image of each is drawn before the second of any.
    """
    if limit is None or limit >= len(labels):
        return list(range(len(labels)))
    shuffled = np.random.default_rng(seed).permutation(len(labels)).tolist()
    turns: Counter[Hashable] = Counter()
    order = []
    for place, index in enumerate(shuffled):
        order.append((turns[labels[index]], place, index))
        turns[labels[index]] += 1
    return sorted(index for _, _, index in sorted(order)[:limit])


def _image_names(data: Path, tell: Callable[[str], None]) -> tuple[list[str], list[str]]:
    """Return the images' names, and where each lies by its class: in its folder, or in that of its annotation."""
    with open_files(data, tell) as (files, read):
        annotated = annotated_classes(files, read)
    names = [name for name in files if PurePosixPath(name).suffix.lower() in SUFFIXES]
    others = [name for name in files if PurePosixPath(name).suffix.lower() not in SUFFIXES]
    if not names:
        found = f"its {len(files)} files are of other types: {several(files)}" if files else "it is empty"
        raise RequestError(f"--data {data} contains no images: {found}", hint=f"image suffixes: {', '.join(SUFFIXES)}")
    if others:
        tell(f"note: {len(others)} files have no image suffix and are skipped: {several(others)}")
    return names, [_place(name, annotated) for name in names]


def _place(name: str, annotated: dict[str, str]) -> str:
    """Return the name as if the picture lay in the folder of its annotated class, if it has one."""
    path = PurePosixPath(name)
    return str(path.parent.parent / annotated[name] / path.name) if name in annotated else name


@dataclass(frozen=True, slots=True)
class _Fault:
    text: str
    hint: str = ""


def _find_faults(
    opened: Callable[[], AbstractContextManager[Read]],
    names: Sequence[str],
    spec: ModelSpec,
    tell: Callable[[str], None],
) -> dict[str, _Fault]:
    """Return what is wrong with every image that cannot be preprocessed; `tell` hears of those that end early."""
    faults: dict[str, _Fault] = {}
    short: list[str] = []
    with opened() as read:
        for name in names:
            try:
                pixels = read_image(read(name), name, partial(_note, short, name))
                resize_and_crop(pixels, spec.preprocess)
            except RequestError as error:
                text = error.message if name in error.message else f"{name}: {error.message}"
                faults[name] = _Fault(text, error.hint)
            except Exception as error:  # an archive's entry that is encrypted, damaged or packed in an unknown way
                faults[name] = _Fault(f"{name}: {type(error).__name__}: {error}")
    if short:
        tell(f"note: {len(short)} images end early and are used as far as they go: {several(short)}")
    return faults


def _note(short: list[str], name: str, text: str) -> None:
    short.append(f"{name} ({text})")


def has_test_images(spec: ModelSpec) -> bool:
    """Say whether the repository brings labelled test images for models of these labels."""
    own = embedded_for(spec.labels)
    return own is not None and own.test is not None


def _embedded(spec: ModelSpec, limit: int | None, seed: int) -> Dataset:
    own = embedded_for(spec.labels)
    if own is None or own.test is None:
        raise RequestError(
            f"there are no embedded test images for {spec.name}, only for the model fashion",
            hint="pass --data with a folder of images, of class folders, or a .zip or .tar of either",
        )
    test = own.test()
    labels = [int(label) for label in test.labels]
    chosen = draw(labels, limit, seed)

    @contextmanager
    def opened() -> Iterator[Read]:
        yield lambda name: _png(test.images[int(re.sub(r"\D", "", name))])

    return Dataset(
        title=own.test_title,
        names=tuple(f"test-{index:05}.png" for index in chosen),
        labels=tuple(labels[index] for index in chosen),
        total=len(test),
        unreadable=(),
        opened=opened,
    )


def _png(grey: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(grey).save(stream, "PNG")
    return stream.getvalue()
