"""Images as people have them become the very tensors that timm's evaluation transform makes."""

import hashlib
import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
from PIL import Image
from timm.data import create_transform

from export.core.errors import RequestError
from export.core.records import Preprocess
from export.data.preprocess import normalise, preprocess, read_image, resize_and_crop
from export.models.catalog import MODELS

VECTORS = Path(__file__).parents[2] / "vectors"
IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
SIZES = [(53, 37), (37, 53), (29, 29), (7, 5), (224, 31), (300, 225)]


def noise(width: int, height: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def timm_transform(settings: Preprocess, **options: Any) -> Any:
    return create_transform(
        input_size=(3, settings.size, settings.size),
        is_training=False,
        interpolation=settings.interpolation,
        crop_pct=settings.crop_pct,
        crop_mode=settings.crop_mode,
        mean=settings.mean,
        std=settings.std,
        **options,
    )


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"])
@pytest.mark.parametrize("crop_mode", ["center", "squash", "border"])
@pytest.mark.parametrize("crop_pct", [0.875, 0.9, 1.0, 1.15])
def test_it_equals_timm_bit_for_bit(interpolation: Any, crop_mode: Any, crop_pct: float) -> None:
    settings = Preprocess(size=32, crop_pct=crop_pct, crop_mode=crop_mode, interpolation=interpolation, **IMAGENET)
    for width, height in SIZES:
        image = noise(width, height)
        pixels = timm_transform(settings, normalize=False)(Image.fromarray(image)).numpy()
        assert np.array_equal(resize_and_crop(image, settings).transpose(2, 0, 1), pixels), (width, height)
        tensor = timm_transform(settings)(Image.fromarray(image)).numpy()
        assert preprocess(image, settings).tobytes() == tensor.tobytes(), (width, height)


@pytest.mark.parametrize("name", ["deit_t", "swin_b_384", "vit_b_384", "resnet50", "dino_s"])
def test_it_equals_timm_with_the_settings_of_the_catalog(name: str) -> None:
    config = timm.get_pretrained_cfg(MODELS[name].timm_name)
    settings = Preprocess(
        size=config.input_size[1],
        crop_pct=config.crop_pct,
        crop_mode=config.crop_mode,
        interpolation=config.interpolation,
        mean=config.mean,
        std=config.std,
    )
    image = noise(451, 333)
    assert np.array_equal(preprocess(image, settings), timm_transform(settings)(Image.fromarray(image)).numpy())


def vector_cases() -> list[Any]:
    return list(json.loads((VECTORS / "preprocess.json").read_text())["cases"])


@pytest.mark.parametrize("case", vector_cases(), ids=lambda case: f"{case['width']}x{case['height']}")
def test_it_equals_the_vectors_shared_with_javascript(case: dict[str, Any]) -> None:
    settings = Preprocess.from_json(case["preprocess"])
    data = np.fromfile(VECTORS / "preprocess.bin", np.uint8)
    image = data[case["image"] :][: case["width"] * case["height"] * 3].reshape(case["height"], case["width"], 3)
    expected = data[case["expected"] :][: settings.size**2 * 3].reshape(settings.size, settings.size, 3)
    pixels = resize_and_crop(image, settings)
    assert np.array_equal(pixels, expected)
    tensor = np.ascontiguousarray(normalise(pixels, settings).transpose(1, 2, 0), "<f4")
    assert hashlib.sha256(tensor.tobytes()).hexdigest() == case["normalised_sha256"]


def test_an_image_too_thin_to_be_scaled_is_refused() -> None:
    settings = Preprocess(size=224, crop_pct=0.9, crop_mode="center", interpolation="bicubic", **IMAGENET)
    with pytest.raises(RequestError, match="1×2000 is too long and thin"):
        resize_and_crop(noise(1, 2000), settings)
    squeezed = Preprocess(size=24, crop_pct=1.0, crop_mode="border", interpolation="bicubic", **IMAGENET)
    with pytest.raises(RequestError, match="too long and thin"):
        resize_and_crop(noise(1, 2000), squeezed)


# How an upright picture is stored under each EXIF orientation (EXIF 2.32, tag 0x0112).
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("orientation", STORED)
def test_exif_orientation_is_honoured(orientation: int) -> None:
    upright = noise(5, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](upright)))
    assert np.array_equal(read_image(encoded(stored, exif=exif)), upright)


@pytest.mark.parametrize(
    "image",
    [Image.new("RGBA", (2, 2), (255, 0, 0, 128)), Image.new("LA", (2, 2), (0, 128))],
    ids=lambda image: image.mode,
)
def test_transparency_lies_on_white(image: Image.Image) -> None:
    expected = {"RGBA": (255, 127, 127), "LA": (127, 127, 127)}[image.mode]
    assert np.array_equal(read_image(encoded(image)), np.full((2, 2, 3), expected, np.uint8))


def test_a_transparent_palette_entry_becomes_white_and_the_others_keep_their_colour() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    assert read_image(encoded(image, transparency=0)).tolist() == [[[255, 255, 255], [40, 50, 60]]]
    assert read_image(encoded(image)).tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_16_bit_grey_is_scaled_not_clipped() -> None:
    values = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    assert read_image(encoded(Image.fromarray(values)))[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert read_image(encoded(Image.fromarray(values), "TIFF"))[0, :, 2].tolist() == [0, 0, 1, 128, 255]


def test_wider_pixels_are_refused_rather_than_clipped() -> None:
    for values, words in ((np.full((2, 2), 1 << 20, np.int32), "32 bits"), (np.ones((2, 2), np.float32), "floating")):
        with pytest.raises(RequestError, match=words):
            read_image(encoded(Image.fromarray(values), "TIFF"))


def test_cmyk_jpeg_keeps_its_colours() -> None:
    cyan = read_image(encoded(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", quality=95))
    assert abs(cyan.astype(int) - [0, 255, 255]).max() <= 3


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_plain_modes_become_rgb(mode: str) -> None:
    image = Image.new("RGB", (3, 2), (255, 255, 255)).convert(mode)
    assert np.array_equal(read_image(encoded(image)), np.full((2, 3, 3), 255, np.uint8))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 255, 0))]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert read_image(data)[0, 0].tolist() == [255, 0, 0]


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and holds no pixel, so that only a check before decoding can name the size."""
    chunks = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", b""))
    )
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("side", [8001, 10_000, 30_000])
def test_over_64_megapixels_are_refused_before_decoding(side: int) -> None:
    with pytest.raises(RequestError, match="million pixels"):
        read_image(png_header(side, 8000))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_truncated_images_are_refused_by_name(kind: str) -> None:
    data = encoded(Image.fromarray(noise(64, 64)), kind)
    with pytest.raises(RequestError, match=r"holiday\.img is"):
        read_image(data[: len(data) // 2], "holiday.img")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (b"<!doctype html>", "not an image in a supported format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image"),
    ],
)
def test_what_is_no_image_is_refused_with_its_path(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    with pytest.raises(RequestError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
