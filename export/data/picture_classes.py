"""Pictures to train on: which file shows which class, and which are held out, in the layouts that people have."""

import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from export.core.errors import RequestError
from export.data.archives import list_files, reading
from export.data.labels.known import imagenet_names
from export.data.preprocess import SUFFIXES

TRAIN, VALIDATION = ("train", "training"), ("val", "validation", "valid", "test")
ANNOTATIONS = re.compile(r".*annotations\.txt")  # Tiny-ImageNet's: file, WordNet id, box
LAYOUTS = "a folder or archive of class folders, or of train/ and val/ with class folders each, or Tiny-ImageNet's own"


@dataclass(frozen=True, slots=True)
class PictureList:
    """Pictures by name in `source` (a folder or an archive), in its stored order, each with the name of its class."""

    source: Path
    names: tuple[str, ...]
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What to train on and what is held out; `classes` are sorted, and `labels` are their names on the page."""

    train: PictureList
    validation: PictureList
    classes: tuple[str, ...]
    labels: tuple[str, ...]

    def targets(self, pictures: PictureList) -> list[int]:
        """Return the index of each picture's class."""
        index = {name: position for position, name in enumerate(self.classes)}
        return [index[name] for name in pictures.classes]


def find_training_set(
    data: Path, validation: Path | None = None, words: Path | None = None, held_out: float = 0.1, seed: int = 0
) -> TrainingSet:
    """Return the pictures of `data`, those held out for validation, and the names of their classes.

    Held out are the pictures of `validation`, else those of a `val` folder in `data`, else a share `held_out` of every
    class, drawn with `seed`. `words` is a file of lines `class<TAB>name, other names`. Raises `RequestError` when there
    are no pictures, fewer than two classes, or a class of the validation that is not trained on.
    """
    splits = _read(data)
    train = splits["train"]
    if validation is not None:
        held = _whole(_read(validation))
    elif "validation" in splits:
        held = splits["validation"]
    else:
        train, held = _split(train, held_out, seed)
    classes = tuple(sorted(set(train.classes)))
    if len(classes) < 2:
        raise RequestError(f"--data {data}: found {len(classes)} class; at least two are needed", hint=LAYOUTS)
    unknown = sorted(set(held.classes) - set(classes))
    if unknown:
        raise RequestError(f"{held.source}: classes that are not trained on: {', '.join(unknown[:5])}", hint=LAYOUTS)
    return TrainingSet(train, held, classes, _labels(classes, words))


def _whole(splits: dict[str, PictureList]) -> PictureList:
    return splits.get("validation", splits["train"])


def _read(source: Path) -> dict[str, PictureList]:
    """Return the pictures of a source under `train` and, where it has them, `validation`."""
    files = list_files(source)
    names = [name for name in files if name.lower().endswith(SUFFIXES)]
    if not names:
        raise RequestError(f"{source} contains no pictures ({', '.join(SUFFIXES)})", hint=LAYOUTS)
    annotated = _annotations(source, [name for name in files if ANNOTATIONS.fullmatch(name)])
    parts = {name: PurePosixPath(name).parts for name in names}
    common = _common_folders(list(parts.values()))
    tops = {split[common] for split in parts.values() if len(split) > common + 1}
    train = next((top for top in TRAIN if top in tops), None)
    held = next((top for top in VALIDATION if top in tops and train), None)
    chosen: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, split in parts.items():
        top = split[common] if len(split) > common + 1 else ""
        if train and top not in (train, held):
            continue
        kind, level = ("validation" if top == held else "train", common + 1) if train else ("train", common)
        chosen[kind].append((name, annotated.get(name) or _class_folder(source, split, level)))
    return {kind: PictureList(source, *zip(*pairs, strict=True)) for kind, pairs in chosen.items()}


def _class_folder(source: Path, parts: Sequence[str], level: int) -> str:
    if len(parts) <= level + 1:
        raise RequestError(f"{source}: {'/'.join(parts)} is in no class folder", hint=LAYOUTS)
    return parts[level]


def _common_folders(parts: Sequence[Sequence[str]]) -> int:
    """Return how many leading folders all pictures share."""
    folders = [split[:-1] for split in parts]
    shared = 0
    while all(len(split) > shared for split in folders) and len({split[shared] for split in folders}) == 1:
        shared += 1
    return shared


def _annotations(source: Path, files: Sequence[str]) -> dict[str, str]:
    """Return the class of every picture that an annotations file beside its folder names."""
    found: dict[str, str] = {}
    if files:
        with reading(source) as read:
            for file in files:
                folder = PurePosixPath(file).parent / "images"
                rows = (line.split("\t") for line in read(file).decode().splitlines() if "\t" in line)
                found |= {f"{folder}/{name}": label for name, label, *_ in rows}
    return found


def _split(pictures: PictureList, share: float, seed: int) -> tuple[PictureList, PictureList]:
    """Hold out a share of every class, at least one picture of each."""
    by_class: dict[str, list[int]] = defaultdict(list)
    for position, label in enumerate(pictures.classes):
        by_class[label].append(position)
    draw, held = random.Random(seed), set[int]()
    for label in sorted(by_class):
        count = max(1, round(share * len(by_class[label])))
        if count >= len(by_class[label]):
            raise RequestError(f"{pictures.source}: class {label} has a single picture; at least two are needed")
        held |= set(draw.sample(by_class[label], count))
    return tuple(
        PictureList(
            pictures.source,
            tuple(pictures.names[at] for at in positions),
            tuple(pictures.classes[at] for at in positions),
        )
        for positions in ([at for at in range(len(pictures)) if at not in held], sorted(held))
    )  # type: ignore[return-value]


def _labels(classes: Sequence[str], words: Path | None) -> tuple[str, ...]:
    """Return the names of the classes: of the words file, of WordNet where the folders are its ids, or the folders'."""
    if words is None:
        return imagenet_names(classes) or tuple(name.replace("_", " ").strip() for name in classes)
    if not words.is_file():
        raise RequestError(f"--words {words}: no such file")
    lines = (line.partition("\t") for line in words.read_text("utf-8").splitlines() if line.strip())
    names = {key: text.split(",")[0].strip() for key, _, text in lines}
    missing = [name for name in classes if not names.get(name)]
    if missing:
        raise RequestError(
            f"--words {words} has no name for {len(missing)} of {len(classes)} classes: {', '.join(missing[:5])}",
            hint="one line a class: its folder, a tab, its name",
        )
    labels = tuple(names[name] for name in classes)
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice:
        raise RequestError(f"--words {words} names two classes {twice[0]!r}", hint="give every class its own name")
    return labels
