"""Names of the classes to train on: from a file of words, of WordNet where folders are its ids, or the folders' own."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from export.core.console import several
from export.core.errors import RequestError
from export.data.labels.known import imagenet_names
from export.data.labels.matching import composed


def class_names(classes: Sequence[str], words: Path | None, inside: str | None) -> tuple[str, ...]:
    """Return a name for every class; `words` is the person's file, `inside` the text of one among the pictures.

    Raises `RequestError` when the person's file lacks a class, or gives two the same name.
    """
    if words is not None:
        if not words.is_file():
            raise RequestError(f"--words {words}: no such file", hint="check the path")
        return _from_words(classes, words.read_text("utf-8", "replace"), f"--words {words}")
    if inside is not None and not _missing(classes, _parse(inside)):
        return _from_words(classes, inside, "words.txt among the pictures")
    return imagenet_names(classes) or _from_folders(classes)


def _from_folders(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the folders' names with spaces for underscores, except where that makes two of them one."""
    spaced = [name.replace("_", " ").strip() for name in classes]
    counts = Counter(spaced)
    names = tuple(own if counts[name] > 1 else name for own, name in zip(classes, spaced, strict=True))
    alike = [name for name, count in Counter(" ".join(name.split()) for name in names).items() if count > 1]
    if alike:
        raise RequestError(
            f"class folders differ in nothing but spaces: {several(alike)}", hint="merge them, or rename one of each"
        )
    return names


def _parse(text: str) -> dict[str, str]:
    lines = (line.partition("\t") for line in text.splitlines() if line.strip())
    return {composed(key.strip()): " ".join(names.split()) for key, _, names in lines}


def _missing(classes: Sequence[str], names: dict[str, str]) -> list[str]:
    return [name for name in classes if not names.get(name)]


def _from_words(classes: Sequence[str], text: str, title: str) -> tuple[str, ...]:
    """Return the first name of each class, or all of its names where another class has the same first."""
    names = _parse(text)
    missing = _missing(classes, names)
    if missing:
        raise RequestError(
            f"{title} has no name for {len(missing)} of {len(classes)} classes: {several(missing, 5)}",
            hint="one line a class: its folder, a tab, its name",
        )
    first = {name: names[name].split(",")[0].strip() for name in classes}
    counts = Counter(first.values())
    labels = tuple(first[name] if counts[first[name]] == 1 else names[name] for name in classes)
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice:
        raise RequestError(f"{title} names two classes {twice[0]!r}", hint="give every class its own name")
    return labels
