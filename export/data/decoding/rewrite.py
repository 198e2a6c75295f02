"""Rewrites an image file into one that every decoder decodes alike; `site/js/worker/image/rewrite.js` does the same.

EXIF orientation is found, to be applied to the pixels. A JPEG or PNG file that ends early is ended properly, and
rows that are missing are grey. Of an animated PNG the first frame is taken, also where another image stands in for it.
Colours that Pillow would read otherwise than browsers do are stored so that it does not.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.core.errors import RequestError
from export.data.decoding.colours import plain_colours
from export.data.decoding.jpeg import ended, lacks_end
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
Pixels = NDArray[np.uint8]
DROPPED = (b"acTL", b"fcTL", b"fdAT", b"eXIf", b"IDAT", b"IEND")


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
        truncated = lacks_end(data)
        return PlainFile(data=ended(data) if truncated else data, orientation=orientation, truncated=truncated)
    if data.startswith(SIGNATURE):
        return _plain_png(data, orientation, name)
    return PlainFile(data=data, orientation=orientation)


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


def fill_missing(
    pixels: Pixels, plain: PlainFile, name: str, colour: Pixels, probe: Callable[[], Pixels | None]
) -> int:
    """Make the rows grey that a file lacks, in place, and return how many; raises `RequestError` when too many.

    `pixels` are RGB, `[H, W, 3]`, as stored; decoders put `colour` where nothing is. `probe` gives the pixels of the
    JPEG file with noise behind its data, or None where it cannot be decoded.
    """
    height = len(pixels)
    rows = _rows_there(pixels, colour, probe) if plain.rows is None else plain.rows
    require_rows(name, rows, height)
    pixels[rows:] = GREY
    return height - rows


def _rows_there(pixels: Pixels, colour: Pixels, probe: Callable[[], Pixels | None]) -> int:
    """Return how many rows a JPEG file has: it lacks the last ones if they have the colour and noise changes them."""
    content = np.flatnonzero((pixels != colour).any(axis=(1, 2)))
    rows = int(content[-1]) + 1 if len(content) else 0
    noisy = probe() if rows < len(pixels) else None
    if noisy is None:
        return rows
    changed = np.flatnonzero((noisy[rows:] != pixels[rows:]).any(axis=(1, 2)))
    return rows + int(changed[0]) if len(changed) else len(pixels)
