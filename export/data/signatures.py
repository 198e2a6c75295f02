"""What a file is by its first bytes, whatever its name says: for messages about files that are something else."""

import re
from dataclasses import dataclass
from pathlib import Path

HEAD_BYTES = 512
AGAIN = "copy or download it again"
UNPACK = "unpack it, and pass the folder"


@dataclass(frozen=True, slots=True)
class Signature:
    """A kind of file: its first bytes match `pattern`; `title` says what it is, `hint` what to do where it is wrong."""

    title: str
    pattern: re.Pattern[bytes]
    hint: str


def _signature(title: str, pattern: bytes, hint: str) -> Signature:
    return Signature(title, re.compile(pattern, re.DOTALL), hint)


LFS_POINTER = _signature(
    "a Git LFS pointer, not the file itself",
    rb"(?:\xef\xbb\xbf)?version https://git-lfs",
    "fetch the file: git lfs install, then git lfs pull",
)
# Kinds that people pass in place of weights, labels, images or archives of images.
SIGNATURES = (
    LFS_POINTER,
    _signature("a web page", rb"\s*(<!doctype html|<!DOCTYPE html|<html|<HTML)", f"{AGAIN}, from the file's own link"),
    _signature("an XML document", rb"\s*<\?xml", f"{AGAIN}, from the file's own link"),
    _signature("a 7-Zip archive", rb"7z\xbc\xaf\x27\x1c", UNPACK),
    _signature("a RAR archive", rb"Rar!\x1a\x07", UNPACK),
    _signature("Zstandard-compressed", rb"\x28\xb5\x2f\xfd", UNPACK),
    _signature("an HDF5 file, such as Keras writes", rb"\x89HDF\r\n\x1a\n", "save it from PyTorch instead"),
    _signature("a Parquet table", rb"PAR1", "save its images as files, one folder per class"),
    _signature("a NumPy array", rb"\x93NUMPY", "save the file from PyTorch, or its images as files"),
    _signature("a PDF document", rb"%PDF-", AGAIN),
    _signature("an RTF document", rb"\{\\rtf", "save it as plain text"),
    _signature("a GGUF model", rb"GGUF", "save it from PyTorch instead"),
    _signature("a HEIC image", rb"....ftyp(heic|heix|hevc|mif1|msf1)", "save it as JPEG or PNG"),
    _signature("a JPEG XL image", rb"\xff\x0a|\0\0\0\x0cJXL ", "save it as JPEG or PNG"),
)


def recognise(head: bytes) -> Signature | None:
    """Return the kind whose signature the first bytes of a file have, or None for any other."""
    return next((kind for kind in SIGNATURES if kind.pattern.match(head)), None)


def read_head(path: Path) -> bytes:
    """Return the first bytes of a file, as many as `recognise` looks at."""
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES)
