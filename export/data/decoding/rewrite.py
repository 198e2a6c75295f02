"""Rewrites an image file into one that every decoder decodes alike; `site/js/worker/image/rewrite.js` does the same.

EXIF orientation is found, to be applied to the pixels. A JPEG or PNG file that ends early is ended properly, and
rows that are missing are grey. Of an animated PNG the first frame is taken, also where another image stands in for it.
Colours that Pillow would read otherwise than browsers do are stored so that it does not.
"""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.core.errors import RequestError
from export.data.decoding.colours import plain_colours
from export.data.decoding.orientation import find_orientation
from export.data.decoding.png import (
    SIGNATURE,
    Chunk,
    Frame,
    complete,
    hidden_frame,
    read_chunks,
    resized_header,
    write_chunks,
)
from export.data.decoding.size import check_size

AGAIN = "copy or download it again"
LEAST_SHARE = 0.75  # of the rows that must be there
GREY = 128  # what JPEG decoders put where nothing is
DROPPED = (b"acTL", b"fcTL", b"fdAT", b"eXIf", b"IDAT", b"IEND")
SCAN, END = 0xDA, 0xD9


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainFile:
    """A file to decode, and what is to be done with its pixels.

    `rows` of those that it says it has are there (None: only the decoder knows). `frame` is where they lie on a
    transparent picture of `size` (width, height).
    """

    data: bytes
    orientation: int = 1
    truncated: bool = False
    rows: int | None = None
    frame: Frame | None = None
    size: tuple[int, int] = (0, 0)


def rewrite(data: bytes, name: str) -> PlainFile:
    """Return the file to decode for an image's file; raises `RequestError` where too little of it is there."""
    orientation = find_orientation(data)
    if data.startswith(b"\xff\xd8\xff"):
        truncated = _lacks_end(data)
        return PlainFile(data=_ended(data) if truncated else data, orientation=orientation, truncated=truncated)
    if data.startswith(SIGNATURE):
        return _plain_png(data, orientation, name)
    return PlainFile(data=data, orientation=orientation)


def _lacks_end(data: bytes) -> bool:
    """Say whether a JPEG file has a scan and no end mark behind it."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF or data[at + 1] == 0xFF:
            at += 1
            continue
        if data[at + 1] == SCAN:
            return data.find(bytes([0xFF, END]), at) < 0
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return True


def _ended(data: bytes) -> bytes:
    """Return a JPEG file without its unfinished last segment, ended; decoders fill the rest with grey."""
    at = 2
    while at + 1 < len(data):
        marker = data[at + 1] if data[at] == 0xFF else 0
        if marker in (0, 0xFF) or 0xD0 <= marker <= 0xD7:  # inside a scan
            found = data.find(b"\xff", at + 1)
            at = found if found >= 0 else len(data)
            continue
        following = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") if at + 3 < len(data) else len(data) + 1
        if following > len(data):
            return data[:at] + bytes([0xFF, END])
        at = following
    return data + bytes([0xFF, END])


def _plain_png(data: bytes, orientation: int, name: str) -> PlainFile:
    chunks, truncated = read_chunks(data)
    if not (chunks and chunks[0].kind == b"IHDR" and len(chunks[0].data) == 13):
        return PlainFile(data=data)
    plain = plain_colours(chunks, name)
    changed, chunks = plain != chunks, plain
    header, rows = chunks[0].data, None
    size = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:8], "big")
    check_size(name, *size)
    frame = hidden_frame(chunks, size)
    if not (frame or truncated or changed):
        return PlainFile(data=data, orientation=orientation)
    kept = [chunk for chunk in chunks[1:] if chunk.kind not in DROPPED]
    stream = b"".join(frame.parts if frame else (chunk.data for chunk in chunks if chunk.kind == b"IDAT"))
    if frame:
        header = resized_header(header, frame.width, frame.height)
    if truncated:
        kept = [chunk for chunk in kept if chunk.kind in (b"PLTE", b"tRNS")]
        stream, rows = _completed(stream, header, name)
        if frame and rows < frame.height:
            raise RequestError(f"{name} is truncated within the first frame of its animation", hint=AGAIN)
    parts = [Chunk(b"IHDR", header), *kept, Chunk(b"IDAT", stream), Chunk(b"IEND", b"")]
    return PlainFile(
        data=write_chunks(parts),
        orientation=orientation,
        truncated=truncated,
        rows=None if frame else rows,
        frame=frame,
        size=size,
    )


def _completed(stream: bytes, header: bytes, name: str) -> tuple[bytes, int]:
    try:
        completed = complete(stream, header)
    except zlib.error as error:
        raise RequestError(f"{name} is damaged: its data cannot be unpacked ({error})", hint=AGAIN) from error
    if completed is None:
        raise RequestError(f"{name} is truncated, and its rows are interlaced", hint=AGAIN)
    require_rows(name, completed[1], int.from_bytes(header[4:8], "big"))
    return completed


def require_rows(name: str, rows: int, height: int) -> None:
    """Raise `RequestError` unless most of a picture's rows are there."""
    if rows < LEAST_SHARE * height or rows == 0:
        raise RequestError(f"{name} is truncated: it has {rows} of the image's {height} rows", hint=AGAIN)


def fill_missing(pixels: NDArray[np.uint8], plain: PlainFile, name: str) -> int:
    """Make the rows grey that a file lacks, in place, and return how many; raises `RequestError` when too many.

    `pixels` are RGB, `[H, W, 3]`, as stored.
    """
    height = len(pixels)
    rows = plain.rows
    if rows is None:
        content = np.flatnonzero((pixels != GREY).any(axis=(1, 2)))
        rows = int(content[-1]) + 1 if len(content) else 0
    require_rows(name, rows, height)
    pixels[rows:] = GREY
    return height - rows
