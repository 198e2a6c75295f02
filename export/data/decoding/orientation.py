"""The EXIF orientation of JPEG, PNG and WebP files, as the page reads it, and pictures turned upright."""

import struct

import numpy as np
from numpy.typing import NDArray

from export.data.decoding.jpeg import segments
from export.data.decoding.png import SIGNATURE, read_chunks

TAG, SHORT, APP1 = 0x0112, 3, 0xE1
PREFIX = b"Exif\0\0"


def find_orientation(data: bytes) -> int:
    """Return the orientation that a file's EXIF data states, or 1.

    AVIF files state it otherwise, and every decoder applies that; XMP data is not looked at, as browsers do not.
    """
    if data.startswith(b"\xff\xd8\xff"):
        exif = _in_jpeg(data)
    elif data.startswith(SIGNATURE):
        exif = next((chunk.data for chunk in read_chunks(data)[0] if chunk.kind == b"eXIf"), b"")
    elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        exif = _in_webp(data)
    else:
        return 1
    try:
        return _read(exif.removeprefix(PREFIX))
    except struct.error:  # the directory points beyond the data
        return 1


def _in_jpeg(data: bytes) -> bytes:
    """Return the first APP1 segment with EXIF data before the scan."""
    for marker, at in segments(data):
        if marker == APP1 and data.startswith(PREFIX, at + 4):
            (length,) = struct.unpack_from(">H", data, at + 2)
            return data[at + 4 : at + 2 + length]
    return b""


def _in_webp(data: bytes) -> bytes:
    at = 12
    while at + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 4)
        if data[at : at + 4] == b"EXIF":
            return data[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)
    return b""


def _read(tiff: bytes) -> int:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None:
        return 1
    (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, directory)
    for entry in range(count):
        tag, kind, values, value = struct.unpack_from(f"{order}HHIH", tiff, directory + 2 + 12 * entry)
        if tag == TAG:
            return value if (kind, values) == (SHORT, 1) and 1 <= value <= 8 else 1
    return 1


def turn(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return stored pixels `uint8 [H, W, C]` upright."""
    if orientation in (2, 3, 7, 8):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 6, 7):
        pixels = pixels[::-1]
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    return np.ascontiguousarray(pixels)
