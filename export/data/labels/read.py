"""The names of a model's outputs, from a file in the forms that people and tools write, or from class folders."""

import codecs
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from export.core.console import several
from export.core.errors import RequestError
from export.data.archives import list_files
from export.data.labels.class_folders import own_classes
from export.data.labels.parse import FORMS, parse_content, parse_labels
from export.data.labels.parsed import NotLabels
from export.data.labels.writing import is_writable, require_writable
from export.data.preprocess import SUFFIXES
from export.data.signatures import recognise

BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig"}
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz")
UNNUMBERED = f"{FORMS}; a JSON list is taken as it is, numbers in names included"


def read_labels(path: Path, outputs: int, tell: Callable[[str], None]) -> tuple[str, ...]:
    """Read a file of labels, or name them after the class folders of a folder or archive; the n-th names output n.

    `tell` is called with a note on what was understood where there was a choice, and on labels that occur twice. Raises
    `RequestError` when the file cannot be read, a label is empty or cannot be written, or there are not as many as the
    model has `outputs`.
    """
    labels = _from_folders(path, tell) if _has_folders(path) else _from_file(path, outputs, tell)
    require_writable(labels, f"--labels {path}")
    if len(labels) != outputs:
        raise RequestError(
            f"--labels {path} has {len(labels)} labels, but the model has {outputs} outputs",
            hint="a single output has one label: the class whose probability it gives"
            if outputs == 1
            else f"each output needs one; {FORMS}",
        )
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice:
        tell(f"note: {path.name} repeats labels: {several(twice, 5)}")
    return labels


def stated_labels(content: Any, outputs: int) -> tuple[str, ...] | None:
    """Return the labels that a checkpoint or another file states, or None when they do not name the outputs."""
    try:
        values = parse_content(content).values
    except NotLabels:
        return None
    if len(values) != outputs or not all(isinstance(value, str) and value.strip() for value in values):
        return None
    labels = tuple(" ".join(value.split()) for value in values)
    return labels if all(map(is_writable, labels)) else None


def _has_folders(path: Path) -> bool:
    """Say whether a path is a folder, or an archive by its name or by what it holds."""
    if path.is_dir() or path.suffix.lower() in ARCHIVES:
        return True
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def _from_folders(path: Path, tell: Callable[[str], None]) -> tuple[str, ...]:
    try:
        names = [name for name in list_files(path, tell) if PurePosixPath(name).suffix.lower() in SUFFIXES]
        own = own_classes(path, names)
    except RequestError as error:  # its message is about pictures
        raise RequestError(error.message.replace("--data", "--labels", 1), hint=error.hint) from error
    if own is None:
        raise RequestError(f"--labels {path} has no class folders with images in them", hint=f"pass a file: {FORMS}")
    tell(f"note: the classes are named after the folders of {path.name}, in their order: {several(own[0])}")
    return own[0]


def _from_file(path: Path, outputs: int, tell: Callable[[str], None]) -> tuple[str, ...]:
    try:
        parsed = parse_labels(_read_text(path), path.suffix.lower(), outputs)
    except NotLabels as error:
        hint = UNNUMBERED if "numbered" in str(error) else FORMS
        raise RequestError(f"--labels {path} {error}", hint=hint) from error
    for note in parsed.notes:
        tell(f"{note} in {path.name}")
    labels = tuple(" ".join(str(value).split()) for value in parsed.values)
    for position, (value, label) in enumerate(zip(parsed.values, labels, strict=True)):
        if not isinstance(value, str) or not label:
            what = "is empty" if value == "" or not label else f"is {value!r}, not text"
            raise RequestError(f"--labels {path}: label {position} {what}", hint=FORMS)
    return labels


def _read_text(path: Path) -> str:
    data = path.read_bytes()
    kind = recognise(data)
    if kind is not None:
        raise RequestError(f"--labels {path} is {kind.title}", hint=kind.hint)
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise RequestError(
            f"--labels {path} is not UTF-8 text: invalid byte at position {error.start}",
            hint=f"save it as UTF-8; {FORMS}",
        ) from error
    if "\0" in text:
        raise RequestError(
            f"--labels {path} has NUL bytes: it is binary, or UTF-16 or UTF-32 text that is not marked as such",
            hint=f"save it as UTF-8; {FORMS}",
        )
    return text
