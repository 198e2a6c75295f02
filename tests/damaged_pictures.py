"""Image files as other programs write or leave them: cut short, turned, smaller than their screen."""

import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def picture(width: int = 61, height: int = 43, mode: str = "RGB") -> Image.Image:
    """Return a picture without symmetry, so that turning or mirroring it shows."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    channels = [255 * x / width, 255 * y / height, 127 + 127 * np.sin(x * y / 90), 255 * (x + y) / (width + height)]
    colour = Image.fromarray(np.stack(channels, axis=2).astype(np.uint8), "RGBA")
    return colour if mode == "RGBA" else colour.convert("RGB").convert(mode)


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    """Return an image's file."""
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def turned(format: str, orientation: int, **options: object) -> bytes:
    """Return a file that says how it is to be turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture(), format, exif=exif, **options)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    """Return a PNG file's chunks."""
    found, at = [], len(SIGNATURE)
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        found.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def apng_with_stand_in(stand_in: Image.Image, frames: list[Image.Image], place: tuple[int, int] = (0, 0)) -> bytes:
    """Return an animation that programs which show none replace by another image; its frames lie at a place."""
    (header, *others), number = chunks(encoded(stand_in, "PNG")), 0
    parts = [header, (b"acTL", struct.pack(">II", len(frames), 0)), *(one for one in others if one[0] != b"IEND")]
    for frame in frames:
        control = struct.pack(">IIIIIHHBB", number, frame.width, frame.height, *place, 1, 10, 0, 0)
        parts.append((b"fcTL", control))
        number += 1
        for kind, data in chunks(encoded(frame, "PNG")):
            if kind == b"IDAT":
                parts.append((b"fdAT", struct.pack(">I", number) + data))
                number += 1
    return SIGNATURE + b"".join(chunk(kind, data) for kind, data in [*parts, (b"IEND", b"")])


def gif_on_screen(screen: tuple[int, int], frame: tuple[int, int, int, int]) -> bytes:
    """Return a GIF without transparency on a screen of some width and height; `frame` is left, top, width, height."""
    left, top, width, height = frame
    image = Image.new("P", (width, height))
    image.putpalette([value for index in range(8) for value in (30 * index + 10, 200 - 20 * index, 30 * index)])
    image.putdata([index % 8 for index in range(width * height)])
    data = bytearray(encoded(image, "GIF"))
    data[6:10] = struct.pack("<HH", *screen)
    described = bytes(data).index(b"\x2c", 13 + 3 * (2 << (data[10] & 7)))
    data[described + 1 : described + 5] = struct.pack("<HH", left, top)
    return bytes(data)


def plain_png(depth: int, colour: int, rows: NDArray[np.generic], *others: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of packed rows `[H, ...]` in big-endian order; `others` are its chunks before them."""
    width = rows.shape[1] * rows.dtype.itemsize * 8 // depth // {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return SIGNATURE + b"".join(
        chunk(kind, data) for kind, data in [(b"IHDR", header), *others, (b"IDAT", data), (b"IEND", b"")]
    )


def oddly_coloured() -> dict[str, bytes]:
    """Return PNG files whose transparent colours, palettes and chunks Pillow alone would read otherwise."""
    rng = np.random.default_rng(0)
    packed = rng.integers(0, 256, (43, 8), np.uint8)
    deep = (rng.integers(0, 4, (43, 61)) * 256 + 7).astype(">u2")
    key = (b"tRNS", b"\0\1")
    whole = encoded(picture(), "PNG")
    text = chunk(b"tEXt", b"Comment\0words")
    return {
        **{f"transparent grey of {depth} bits": plain_png(depth, 0, packed, key) for depth in (1, 2, 4, 8)},
        "transparent grey of 16 bits": plain_png(16, 0, deep, (b"tRNS", b"\1\7")),
        "short palette": plain_png(4, 3, packed, (b"PLTE", rng.bytes(18))),
        "short transparent palette": plain_png(4, 3, packed, (b"PLTE", rng.bytes(48)), (b"tRNS", b"\x40\0")),
        "a chunk with a wrong checksum": whole[:33] + text[:-1] + bytes([text[-1] ^ 1]) + whole[33:],
    }
