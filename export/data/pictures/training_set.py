"""What to train on and what is held out: class folders, sets of them side by side, and Tiny-ImageNet's own layout."""

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from export.core.console import say, several
from export.core.errors import RequestError
from export.data.archives import Read, Tell, open_files
from export.data.labels.annotations import annotated_classes
from export.data.labels.class_folders import SETS, own_classes
from export.data.labels.matching import composed
from export.data.labels.writing import require_writable
from export.data.pictures.names import class_names
from export.data.preprocess import SUFFIXES

TRAIN, VALIDATION = ("train", "training"), ("val", "validation", "valid", "test")  # the first that is there
HELD_OUT = 0.1
LAYOUTS = "a folder or archive of class folders, or of train/ and val/ with class folders each, or Tiny-ImageNet's own"


@dataclass(frozen=True, slots=True)
class PictureList:
    """Pictures of `source` (a folder or an archive) by name, in stored order, with the index of each one's class.

    `read` takes a name; it works as long as the training set is open.
    """

    source: Path
    read: Read
    names: tuple[str, ...]
    targets: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.names)

    def only(self, positions: Sequence[int]) -> "PictureList":
        """Return the pictures at these positions."""
        names, targets = tuple(self.names[at] for at in positions), tuple(self.targets[at] for at in positions)
        return PictureList(self.source, self.read, names, targets)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """What to train on and what for validation; `held_out` says in words which these are.

    The `classes` are sorted; `labels` are their names on the page.
    """

    train: PictureList
    validation: PictureList
    held_out: str
    classes: tuple[str, ...]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Sets:
    """The `files` of a source: its `pictures` by set, and the classes of those that are `annotated`."""

    source: Path
    read: Read
    files: list[str]
    pictures: dict[str, list[str]]
    annotated: dict[str, str]


@contextmanager
def open_training_set(
    data: Path,
    validation: Path | None = None,
    words: Path | None = None,
    held_out: float | None = None,
    seed: int = 0,
    tell: Tell = say,
) -> Iterator[TrainingSet]:
    """Yield the pictures of `data`, those held out for validation, and the names of their classes.

    Held out are the pictures of `validation`, else those of a folder `val` in `data`, else a share `held_out` of every
    class (default: a tenth), drawn with `seed`. `words` is a file of lines `class<TAB>name, other names`. Raises
    `RequestError` when there are no pictures, fewer than two classes, a class without pictures or with a name that
    cannot be written, or one in the validation that is not trained on.
    """
    with ExitStack() as stack:
        sets = stack.enter_context(_open_sets(data, tell))
        classes, targets = _trained_classes(sets)
        names = sets.pictures["train"]
        train = PictureList(data, sets.read, tuple(names), tuple(targets))
        if held_out is not None and (validation is not None or "validation" in sets.pictures):
            raise RequestError(
                f"--held-out {held_out} does not apply: there are pictures for validation", hint="leave it out"
            )
        if validation is not None:
            held, said = _held_out(stack.enter_context(_open_sets(validation, tell)), classes), validation.name
        elif "validation" in sets.pictures:
            held, said = _held_out(sets, classes), f"the validation set of {data.name}"
        else:
            share = HELD_OUT if held_out is None else held_out
            train, held = _split(train, classes, share, seed)
            said = f"{100 * share:g} % of every class, drawn with seed {seed}"
        absent = [name for index, name in enumerate(classes) if index not in set(held.targets)]
        if absent:
            tell(f"note: {held.source.name} has no held-out pictures of {len(absent)} classes: {several(absent)}")
        labels = class_names(classes, words, _words_inside(sets) if words is None else None)
        require_writable((*classes, *labels), f"--data {data}")
        yield TrainingSet(train, held, said, classes, labels)


@contextmanager
def _open_sets(source: Path, tell: Tell) -> Iterator[_Sets]:
    with open_files(source, tell) as (files, read):
        names = [name for name in files if name.lower().endswith(SUFFIXES)]
        if not names:
            raise RequestError(f"--data {source} contains no pictures ({', '.join(SUFFIXES)})", hint=LAYOUTS)
        yield _Sets(source, read, files, _by_set(source, names, tell), annotated_classes(files, read))


def _by_set(source: Path, names: Sequence[str], tell: Tell) -> dict[str, list[str]]:
    """Return the pictures under `train` and `validation` where the topmost folders are sets, else all under `train`."""
    common = _shared_folders([PurePosixPath(name).parts for name in names])
    by_top: dict[str, list[str]] = defaultdict(list)
    for name in names:
        parts = PurePosixPath(name).parts
        by_top[parts[common] if len(parts) > common + 1 else ""].append(name)
    train, held = (_first(by_top, kinds) for kinds in (TRAIN, VALIDATION))
    if train is None or not (held or all(top.lower() in SETS for top in by_top)):
        return {"train": list(names)}
    others = {top or "(no folder)": len(found) for top, found in by_top.items() if top not in (train, held)}
    if others:
        left = several([f"{count} of {top}" for top, count in others.items()])
        tell(f"note: {source.name} has the sets {', '.join(filter(None, (train, held)))}; pictures left out: {left}")
    return {"train": by_top[train], **({"validation": by_top[held]} if held else {})}


def _first(folders: Iterable[str], kinds: Sequence[str]) -> str | None:
    """Return the folder of the first of these names."""
    return next((folder for name in kinds for folder in folders if folder.lower() == name), None)


def _shared_folders(parts: Sequence[Sequence[str]]) -> int:
    """Return how many leading folders all pictures share."""
    folders = [split[:-1] for split in parts]
    shared = 0
    while all(len(split) > shared for split in folders) and len({split[shared] for split in folders}) == 1:
        shared += 1
    return shared


def _words_inside(sets: _Sets) -> str | None:
    """Return the text of a `words.txt` at the top, as Tiny-ImageNet has it."""
    file = next((name for name in sets.files if PurePosixPath(name).name == "words.txt" and name.count("/") < 2), None)
    return None if file is None else sets.read(file).decode("utf-8", "replace")


def _trained_classes(sets: _Sets) -> tuple[tuple[str, ...], list[int]]:
    """Return the classes, sorted, and the index of every picture's; raises `RequestError` where they are too few."""
    names = sets.pictures["train"]
    if all(name in sets.annotated for name in names):
        folders = [sets.annotated[name] for name in names]
    else:
        own = own_classes(sets.source, names)
        if own is None:
            folder = PurePosixPath(names[0]).parent.name or sets.source.name
            raise RequestError(
                f"--data {sets.source}: all {len(names)} pictures are of one class, {folder}; two are needed",
                hint=LAYOUTS,
            )
        folders = [own[0][index] for index in own[1]]
        _check_empty_folders(sets.source, names, folders)
    classes = tuple(sorted({composed(folder) for folder in folders}))
    index = {name: position for position, name in enumerate(classes)}
    return classes, [index[composed(folder)] for folder in folders]


def _check_empty_folders(source: Path, names: Sequence[str], folders: Sequence[str]) -> None:
    """Raise `RequestError` for class folders on disk that have no pictures; an archive lists files alone."""
    if not source.is_dir():
        return
    split = [(PurePosixPath(name).parts, folder) for name, folder in zip(names, folders, strict=True)]
    parents = {PurePosixPath(*parts[: parts.index(folder)]) for parts, folder in split}
    on_disk = [source / parent for parent in parents if (source / parent).is_dir()]  # not where a name has `\`
    there = {entry.name for folder in on_disk for entry in folder.iterdir() if entry.is_dir()}
    empty = sorted(name for name in there - set(folders) if not name.startswith("."))
    if empty:
        raise RequestError(
            f"--data {source}: {len(empty)} class folders have no pictures: {several(empty)}",
            hint=f"add pictures ({', '.join(SUFFIXES)}) or remove the folders",
        )


def _held_out(sets: _Sets, classes: Sequence[str]) -> PictureList:
    """Return the pictures of a source's validation set, else all of them, by the classes that are trained on."""
    names = sets.pictures.get("validation", sets.pictures["train"])
    index = {name: position for position, name in enumerate(classes)}
    found = []
    for name in names:
        folders = [sets.annotated[name]] if name in sets.annotated else PurePosixPath(name).parent.parts
        found.append(next((index[composed(folder)] for folder in folders if composed(folder) in index), None))
    lost = [name for name, target in zip(names, found, strict=True) if target is None]
    unknown = sorted({sets.annotated.get(name) or PurePosixPath(name).parent.name or "(no folder)" for name in lost})
    if unknown:
        raise RequestError(f"{sets.source}: {several(unknown, 5)}: no class that is trained on", hint=LAYOUTS)
    return PictureList(sets.source, sets.read, tuple(names), tuple(target for target in found if target is not None))


def _split(pictures: PictureList, classes: Sequence[str], share: float, seed: int) -> tuple[PictureList, PictureList]:
    """Hold out a share of every class, at least one picture of each."""
    if not 0 < share < 1:
        raise RequestError(f"--held-out {share} must lie between 0 and 1", hint="for instance 0.1")
    by_class: dict[int, list[int]] = defaultdict(list)
    for position, target in enumerate(pictures.targets):
        by_class[target].append(position)
    draw, held = random.Random(seed), set[int]()
    for target in sorted(by_class):
        count = max(1, round(share * len(by_class[target])))
        if count >= len(by_class[target]):
            raise RequestError(
                f"--data {pictures.source}: class {classes[target]} has {len(by_class[target])} pictures, of which "
                f"{count} would be held out",
                hint="add pictures, or pass a smaller --held-out or a folder of its own for --validation",
            )
        held |= set(draw.sample(by_class[target], count))
    return pictures.only([at for at in range(len(pictures)) if at not in held]), pictures.only(sorted(held))
