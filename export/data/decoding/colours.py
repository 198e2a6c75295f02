"""PNG files whose colours Pillow and browsers read differently, rewritten so that they agree."""

from dataclasses import replace

from export.core.errors import RequestError
from export.data.decoding.png import Chunk

GREY, COLOUR, PALETTE = 0, 2, 3


def plain_colours(chunks: list[Chunk], name: str) -> list[Chunk]:
    """Return the chunks of a file with the same rows, of which Pillow makes what browsers make.

    - Damaged chunks that a decoder may pass over are left out.
    - A transparent grey of fewer than 8 bits becomes one of a palette of greys.
    - Colours that a palette lacks are its last one, as Chromium has them.

    Raises `RequestError` for a transparent colour of 16 bits a channel, which Pillow cannot tell from others.
    """
    sound = [chunk for chunk in chunks if chunk.sound or not chunk.ancillary]
    depth, colour = sound[0].data[8:10]
    key = next((chunk.data for chunk in sound if chunk.kind == b"tRNS"), None)
    if key is not None and (depth, colour) == (16, COLOUR):
        raise RequestError(
            f"{name} has 16 bits a channel and a transparent colour, which is not supported",
            hint="save it with 8 bits a channel in an image editor",
        )
    if key is not None and colour == GREY and depth < 8 and len(key) == 2:
        return _with_palette(sound, depth, int.from_bytes(key, "big"))
    return [_filled(chunk, depth) for chunk in sound] if colour == PALETTE and depth <= 8 else sound


def _with_palette(chunks: list[Chunk], depth: int, transparent: int) -> list[Chunk]:
    count = 1 << depth
    header = chunks[0].data
    greys = bytes(value * 255 // (count - 1) for value in range(count) for _ in range(3))
    alpha = bytes(0 if value == transparent else 255 for value in range(count))
    rest = [chunk for chunk in chunks[1:] if chunk.kind not in (b"PLTE", b"tRNS", b"bKGD", b"sBIT")]
    head = Chunk(b"IHDR", header[:9] + bytes([PALETTE]) + header[10:])
    return [head, Chunk(b"PLTE", greys), Chunk(b"tRNS", alpha), *rest]


def _filled(chunk: Chunk, depth: int) -> Chunk:
    lacking = (1 << depth) - len(chunk.data) // 3
    if chunk.kind != b"PLTE" or lacking <= 0:
        return chunk
    return replace(chunk, data=chunk.data + lacking * chunk.data[-3:])
