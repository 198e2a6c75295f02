"""Which label a folder's name means: exactly, else in another spelling; loosely only where no other can be meant."""

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

SEPARATORS = re.compile(r"[\s_\-/\\:.,]+")
NUMBER = re.compile(r"\d+[\s_.)\-]+(?=\D)")  # the number that some data sets put before the name of a class


def composed(name: str) -> str:
    """Return a name in the Unicode form NFC; macOS gives file names as NFD."""
    return unicodedata.normalize("NFC", name)


def plain(name: str) -> str:
    """Return a name without regard to case, to compatibility forms, and to which sign separates its words."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return SEPARATORS.sub(" ", folded)


def unnumbered(name: str) -> str:
    """Return the plain form without a leading number."""
    return NUMBER.sub("", plain(name), count=1)


def loose(name: str) -> str:
    """Return letters and digits alone."""
    return re.sub(r"[\W_]+", "", plain(name))


@dataclass(frozen=True, slots=True)
class Form:
    """A way to compare names; a `guess` is taken only where one folder and one label agree in it, and is said."""

    of: Callable[[str], str]
    guess: bool = False


FORMS = (Form(str), Form(composed), Form(plain), Form(unnumbered, guess=True), Form(loose, guess=True))


@dataclass(frozen=True, slots=True)
class Matches:
    """The index of the label that each name means.

    `guessed` are the names matched loosely; `ambiguous` those that may mean any of several labels.
    """

    indices: dict[str, int]
    guessed: tuple[str, ...]
    ambiguous: dict[str, tuple[str, ...]]


def match_names(names: Sequence[str], labels: Sequence[str]) -> Matches:
    """Return which label each name means, the strictest form that any label shares with it deciding."""
    indices: dict[str, int] = {}
    guessed: list[str] = []
    ambiguous: dict[str, tuple[str, ...]] = {}
    for form in FORMS:
        by_form: dict[str, list[int]] = {}
        for index, label in enumerate(labels):
            by_form.setdefault(form.of(label), []).append(index)
        open_names = [name for name in names if name not in indices and name not in ambiguous]
        counts = Counter(form.of(name) for name in open_names)
        taken = set(indices.values())
        for name in open_names:
            candidates = by_form.get(form.of(name), []) if form.of(name) else []
            if len(candidates) > 1:
                ambiguous[name] = tuple(labels[index] for index in candidates)
            elif candidates and not (form.guess and (candidates[0] in taken or counts[form.of(name)] > 1)):
                indices[name] = candidates[0]
                guessed += [name] * form.guess
    return Matches(indices, tuple(guessed), ambiguous)


def nearest(name: str, labels: Sequence[str]) -> str:
    """Return the label spelt most like a name, or "" where none is."""
    return next(iter(difflib.get_close_matches(name, labels, n=1, cutoff=0.6)), "")
