"""Files that are turned, end early, or show a part of their picture: read as the page reads them."""

import io
import struct
import zlib

import numpy as np
import pytest
from damaged_pictures import (
    SIGNATURE,
    apng_with_stand_in,
    chunk,
    encoded,
    gif_on_screen,
    oddly_coloured,
    picture,
    plain_png,
    turned,
)
from PIL import Image

from export.core.errors import RequestError
from export.data.decoding.png import ADAM7
from export.data.decoding.size import MAX_PIXELS, check_size
from export.data.preprocess import read_image

UPRIGHT = np.array(picture())
TURNS = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}
WIDE = picture(400, 300)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(("format", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_orientation_is_applied_in_every_format(format: str, options: dict[str, bool], orientation: int) -> None:
    data = turned(format, orientation, **options)
    assert np.array_equal(read_image(data), TURNS[orientation](UPRIGHT))


def test_only_exif_turns_a_picture_as_in_browsers() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    assert np.array_equal(read_image(encoded(picture(), "WEBP", lossless=True, xmp=xmp)), UPRIGHT)
    nonsense = turned("WEBP", 9, lossless=True)
    assert np.array_equal(read_image(nonsense), UPRIGHT)


def cut(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


@pytest.mark.parametrize(
    "data",
    [
        encoded(WIDE, "PNG")[:-12],
        encoded(WIDE, "PNG")[:-5],
        encoded(WIDE, "JPEG", quality=95)[:-2],
        encoded(WIDE, "JPEG", quality=95, progressive=True)[:-1],
    ],
    ids=["PNG without IEND", "half an IEND", "JPEG without its end mark", "progressive, half an end mark"],
)
def test_file_without_its_end_mark_is_used_and_told(data: bytes) -> None:
    told: list[str] = []
    kind = "JPEG" if data.startswith(b"\xff\xd8") else "PNG"
    options = {"quality": 95} if kind == "JPEG" else {}
    whole = read_image(encoded(WIDE, kind, **options)).astype(int)
    assert np.abs(read_image(data, tell=told.append) - whole).max() <= (2 if kind == "JPEG" else 0)
    assert told == ["the end mark is missing"]


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA"])
def test_rows_that_a_png_lacks_are_grey(mode: str) -> None:
    told: list[str] = []
    data = encoded(picture(400, 300, "RGB").convert(mode) if mode != "RGBA" else picture(400, 300, mode), "PNG")
    found, whole = read_image(cut(data, 0.9), tell=told.append), read_image(data)
    (words,) = told
    missing = int(words.split()[2])
    assert 5 < missing < 60
    assert np.array_equal(found[:-missing], whole[:-missing])
    assert (found[-missing:] == 128).all()


def test_rows_that_a_jpeg_lacks_are_grey() -> None:
    told: list[str] = []
    data = encoded(WIDE, "JPEG", quality=95)
    found, whole = read_image(cut(data, 0.9), tell=told.append), read_image(data)
    assert "rows are missing" in told[0]
    assert np.array_equal(found[:200], whole[:200]) and (found[-8:] == 128).all()


KINDS_OF_JPEG = {
    "plain": {},
    "progressive": {"progressive": True},
    "restart marks in a row": {"restart_marker_blocks": 2},
    "restart marks of rows": {"restart_marker_rows": 1},
    "optimised": {"optimize": True},
}


def half_grey(width: int, height: int, rows: int) -> Image.Image:
    values = np.asarray(picture(width, height, "RGB")).copy()
    values[rows:] = 128
    return Image.fromarray(values)


@pytest.mark.parametrize("rows", [0, 20])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", KINDS_OF_JPEG)
def test_a_jpeg_that_is_grey_below_and_lacks_its_end_mark_alone_is_whole(kind: str, mode: str, rows: int) -> None:
    told: list[str] = []
    data = encoded(half_grey(64, 48, rows).convert(mode), "JPEG", quality=95, **KINDS_OF_JPEG[kind])
    assert np.array_equal(read_image(data[:-2], tell=told.append), read_image(data))
    assert told == ["the end mark is missing"]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS_OF_JPEG if kind != "progressive"])
def test_a_jpeg_cut_short_lacks_rows_in_every_mode(kind: str, mode: str) -> None:
    data = encoded(WIDE.convert(mode), "JPEG", quality=95, **KINDS_OF_JPEG[kind])
    told: list[str] = []
    found = read_image(cut(data, 0.9), tell=told.append)
    assert "rows are missing" in told[0] and (found[-8:] == 128).all()
    for share in (0.5, 0.2):
        with pytest.raises(RequestError, match=r"holiday is truncated"):
            read_image(cut(data, share), "holiday")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0.6, 0.3, 0.05])
def test_too_little_of_a_picture_is_refused(kind: str, share: float) -> None:
    with pytest.raises(RequestError, match=r"holiday is truncated"):
        read_image(cut(encoded(WIDE, kind), share), "holiday")


def test_interlaced_png_needs_all_its_rows_but_no_end_mark() -> None:
    data = interlaced(8, 8)
    assert read_image(data[:-12]).shape == (8, 8, 3)
    with pytest.raises(RequestError, match="interlaced"):
        read_image(data[:-30])


def interlaced(width: int, height: int) -> bytes:
    """Return a grey interlaced PNG, stored without compression."""
    rows = b""
    for left, top, right, down in ADAM7:
        columns = len(range(left, width, right))
        rows += b"".join(bytes([0, *range(10, 10 + columns)]) for _ in range(top, height, down))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 0)) + chunk(b"IEND", b"")


def test_damaged_data_is_refused_and_not_taken_for_an_early_end() -> None:
    data = bytearray(encoded(WIDE, "PNG")[:-12])
    at = bytes(data).index(b"IDAT") + 6
    data[at : at + 200] = bytes(200)
    with pytest.raises(RequestError, match=r"holiday is (damaged|truncated)"):
        read_image(bytes(data), "holiday")


@pytest.mark.parametrize(
    ("screen", "frame", "size"),
    [
        ((40, 30), (5, 7, 20, 10), (40, 30)),
        ((40, 30), (35, 25, 20, 10), (55, 35)),
        ((10, 8), (0, 0, 20, 10), (20, 10)),
        ((0, 0), (0, 0, 20, 10), (20, 10)),
    ],
)
def test_gif_is_its_screen_with_white_around_the_first_frame(
    screen: tuple[int, int], frame: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    data = gif_on_screen(screen, frame)
    found = read_image(data)
    left, top, width, height = frame
    assert found.shape == (size[1], size[0], 3)
    inside = read_image(gif_on_screen((width, height), (0, 0, width, height)))
    assert np.array_equal(found[top : top + height, left : left + width], inside)
    outside = np.ones(found.shape[:2], bool)
    outside[top : top + height, left : left + width] = False
    assert (found[outside] == 255).all()


def test_animated_png_shows_its_first_frame_and_not_the_stand_in() -> None:
    frame = Image.fromarray(255 - UPRIGHT)
    assert np.array_equal(read_image(apng_with_stand_in(picture(), [frame, picture()])), 255 - UPRIGHT)
    small = read_image(apng_with_stand_in(picture(), [frame.crop((0, 0, 20, 10)), picture()], (5, 7)))
    assert np.array_equal(small[7:17, 5:25], (255 - UPRIGHT)[:10, :20])
    small[7:17, 5:25] = 255
    assert (small == 255).all()


def test_animated_png_without_a_stand_in_is_as_before() -> None:
    stream = io.BytesIO()
    picture().save(stream, "PNG", save_all=True, append_images=[Image.fromarray(255 - UPRIGHT)])
    assert np.array_equal(read_image(stream.getvalue()), UPRIGHT)


@pytest.mark.parametrize(("width", "height", "words"), [(8001, 8000, "64.008"), (64_000_001, 1, "64.000001")])
def test_limit_is_never_rounded_to_a_contradiction(width: int, height: int, words: str) -> None:
    check_size("x", 8000, MAX_PIXELS // 8000)
    with pytest.raises(RequestError, match=rf"{words} million pixels; at most 64 million"):
        check_size("x", width, height)


def test_transparent_greys_lie_on_white_at_every_depth() -> None:
    values = np.arange(16, dtype=np.uint8).reshape(2, 8)
    packed = values[:, ::2] << 4 | values[:, 1::2]
    grey = np.where(values == 1, 255, values * 17)
    assert np.array_equal(read_image(plain_png(4, 0, packed, (b"tRNS", b"\0\1")))[..., 0], grey)
    deep = (values.astype(int) * 256 + 9).astype(">u2")
    grey = np.where(values == 3, 255, values)
    assert np.array_equal(read_image(plain_png(16, 0, deep, (b"tRNS", b"\3\t")))[..., 0], grey)
    with pytest.raises(RequestError, match="16 bits a channel and a transparent colour"):
        read_image(plain_png(16, 2, np.zeros((2, 6), ">u2"), (b"tRNS", bytes(6))))


def test_damaged_chunk_that_can_be_passed_over_is() -> None:
    assert np.array_equal(read_image(oddly_coloured()["a chunk with a wrong checksum"]), UPRIGHT)


@pytest.mark.parametrize("data", [b"\xff\xd8\xff", SIGNATURE, b"GIF89a"])
def test_beginning_of_an_image_is_no_other_kind_of_file(data: bytes) -> None:
    with pytest.raises(RequestError, match="is truncated or damaged: it only begins as an image"):
        read_image(data)


@pytest.mark.parametrize(("width", "height"), [(65_001, 1), (1, 64_000_000)])
def test_sides_are_limited_to_what_browsers_draw(width: int, height: int) -> None:
    with pytest.raises(RequestError, match="at most 65,000 pixels a side"):
        check_size("the image", width, height)
    check_size("the image", 65_000, 1)
