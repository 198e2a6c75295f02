"""Tiny-ImageNet's way to label pictures: a file of lines `picture<TAB>class<TAB>box` beside their folder."""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

ANNOTATIONS = re.compile(r".*annotations\.txt")


def annotated_classes(files: Sequence[str], read: Callable[[str], bytes]) -> dict[str, str]:
    """Return the class of every picture that an annotations file beside its folder `images` names."""
    found: dict[str, str] = {}
    for file in files:
        if ANNOTATIONS.fullmatch(file):
            folder = PurePosixPath(file).parent / "images"
            rows = (line.split("\t") for line in read(file).decode("utf-8", "replace").splitlines() if "\t" in line)
            found |= {str(folder / name): label for name, label, *_ in rows}
    return found
