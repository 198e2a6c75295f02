"""PNG files as chunks: read, put together again, and completed where they end early."""

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Where each pass of an interlaced picture begins, and its steps.
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk; the last one of a file that ends early has only the data that is there.

    `sound` says whether its checksum is right.
    """

    kind: bytes
    data: bytes
    sound: bool = True

    @property
    def ancillary(self) -> bool:
        """Whether a decoder may pass it over."""
        return bool(self.kind[0] & 0x20)


@dataclass(frozen=True, slots=True)
class Frame:
    """The first frame of an animation: its place on the picture, and the parts of its stream."""

    left: int
    top: int
    width: int
    height: int
    parts: tuple[bytes, ...]


def read_chunks(data: bytes) -> tuple[list[Chunk], bool]:
    """Return the chunks up to IEND, and whether the file ends before that is whole."""
    chunks: list[Chunk] = []
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        chunk = Chunk(data[at + 4 : at + 8], data[at + 8 : at + 8 + length])
        end = at + 8 + length
        if chunk.ancillary and end + 4 <= len(data):  # the others are the decoder's to judge
            right = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big") == data[end : end + 4]
            chunk = replace(chunk, sound=right)
        chunks.append(chunk)
        at = end + 4
        if chunks[-1].kind == b"IEND":
            return chunks, at > len(data)
    return chunks, True


def write_chunks(chunks: Iterable[Chunk]) -> bytes:
    """Return a file of chunks."""
    parts = [SIGNATURE]
    for chunk in chunks:
        body = chunk.kind + chunk.data
        parts.append(struct.pack(">I", len(chunk.data)) + body + struct.pack(">I", zlib.crc32(body)))
    return b"".join(parts)


def hidden_frame(chunks: list[Chunk], size: tuple[int, int]) -> Frame | None:
    """Return the first frame of an animation whose image is only for programs that show no animations.

    None where there is none, or where it does not lie on a picture of that `size`.
    """
    kinds = [chunk.kind for chunk in chunks]
    control = next((at for at, one in enumerate(chunks) if one.kind == b"fcTL" and len(one.data) == 26), None)
    if b"acTL" not in kinds or control is None or (b"IDAT" in kinds and kinds.index(b"IDAT") > control):
        return None
    width, height, left, top = struct.unpack_from(">4I", chunks[control].data, 4)
    if left + width > size[0] or top + height > size[1]:
        return None
    parts = []
    for chunk in chunks[control + 1 :]:
        if chunk.kind in (b"fcTL", b"IEND"):
            break
        if chunk.kind == b"fdAT" and len(chunk.data) > 4:
            parts.append(chunk.data[4:])
    return Frame(left, top, width, height, tuple(parts)) if parts else None


def resized_header(header: bytes, width: int, height: int) -> bytes:
    """Return the IHDR of a picture of another size."""
    return struct.pack(">II", width, height) + header[8:]


def complete(stream: bytes, header: bytes) -> tuple[bytes, int] | None:
    """Return a zlib stream of rows that ends early, with empty rows for those it lacks, and how many it has.

    None for interlaced rows that are not all there. Raises `zlib.error` where the stream is not merely short but wrong.
    """
    width, height, depth, colour, *_, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * CHANNELS.get(colour, 0)
    sizes = [(width, height)]
    if interlaced:
        sizes = [(_count(width, left, right), _count(height, top, down)) for left, top, right, down in ADAM7]
    total = sum(_row_bytes(columns, bits) * rows for columns, rows in sizes if columns)
    found = zlib.decompressobj().decompress(stream, total)
    if len(found) == total:
        return zlib.compress(found, 0), height
    if interlaced:
        return None
    rows = len(found) // _row_bytes(width, bits)
    return zlib.compress(found[: rows * _row_bytes(width, bits)].ljust(total, b"\0"), 0), rows


def _count(length: int, start: int, step: int) -> int:
    return max(0, -((start - length) // step))


def _row_bytes(columns: int, bits: int) -> int:
    return 1 + (columns * bits + 7) // 8
