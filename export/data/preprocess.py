"""The only definition of preprocessing in Python: Pillow and numpy, equal bit for bit to timm's for evaluation."""

import io
import math
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.GifImagePlugin import GifImageFile

from export.core.errors import RequestError
from export.core.records import CropRounding, Preprocess
from export.data.decoding.jpeg import continued
from export.data.decoding.orientation import turn
from export.data.decoding.png import SIGNATURE
from export.data.decoding.rewrite import GREY, PlainFile, fill_missing, rewrite
from export.data.decoding.size import MAX_PIXELS, check_size
from export.data.signatures import AGAIN, recognise

# What browsers show, and the lossless formats data sets come in; nothing that is drawn by another program.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF", "TIFF", "PPM", "JPEG2000")
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".avif", ".tif", ".tiff", ".ppm", ".pgm", ".jp2")
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
    "lanczos": Image.Resampling.LANCZOS,
}
BEGINNINGS = (b"\xff\xd8\xff", SIGNATURE, b"GIF87a", b"GIF89a")
WHITE = (255, 255, 255, 255)


def read_image(
    source: Path | bytes, name: str = "", tell: Callable[[str], None] = lambda text: None
) -> NDArray[np.uint8]:
    """Decode an image into `uint8 [H, W, 3]`, upright, as the page does.

    EXIF orientation is applied, transparency lies on white, 16-bit grey keeps its high byte, and of an
    animation the first frame is taken. Colour profiles are not applied, as timm does not. A JPEG or PNG file that ends
    early is used if three quarters of its rows are there; `tell` is told so. Raises `RequestError` with the `name`
    (default: the path) of what is no image, is damaged, or has over 64 million pixels.
    """
    name = name or (str(source) if isinstance(source, Path) else "the image")
    data = source.read_bytes() if isinstance(source, Path) else source
    if not data:
        raise RequestError(f"{name} is empty (0 bytes)", hint=AGAIN)
    try:
        plain = rewrite(data, name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata; and the size is judged here
            with Image.open(io.BytesIO(plain.data), formats=FORMATS) as image:
                check_size(name, *(plain.size if plain.frame else image.size))
                orientation = _avif_orientation(image) if image.format == "AVIF" else plain.orientation
                is_cmyk = image.mode == "CMYK"
                pixels = np.array(_to_rgb(name, _first_frame(image, plain)))
    except RequestError:
        raise
    except Image.DecompressionBombError as error:
        raise RequestError(
            f"{name} has more than {MAX_PIXELS // 10**6} million pixels", hint="scale it down first"
        ) from error
    except UnidentifiedImageError as error:
        kind = recognise(data)
        if data.startswith(BEGINNINGS):
            raise RequestError(f"{name} is truncated or damaged: it only begins as an image", hint=AGAIN) from error
        raise RequestError(
            f"{name} is not an image in a supported format" + (f", but {kind.title}" if kind else ""),
            hint=kind.hint if kind else f"supported: {', '.join(FORMATS)}",
        ) from error
    except Exception as error:  # Pillow's decoders raise many kinds for damaged files
        raise RequestError(f"{name} is truncated or damaged: {error}", hint=AGAIN) from error
    if plain.truncated:
        colour = pixels[-1, -1].copy() if is_cmyk else np.full(3, GREY, np.uint8)  # of what decoders fill in
        missing = fill_missing(pixels, plain, name, colour, partial(_with_noise, data, pixels.shape[1]))
        tell(f"the last {missing} rows are missing and grey" if missing else "the end mark is missing")
    return turn(pixels, orientation)


def _with_noise(data: bytes, width: int) -> NDArray[np.uint8] | None:
    """Return the pixels of a JPEG file that ends early with noise behind its data, or None where there are none."""
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(continued(data, width)), formats=["JPEG"]) as image:
            warnings.simplefilter("ignore")
            return np.array(image.convert("RGB"))
    except Exception:  # Pillow's decoders raise many kinds for damaged files
        return None


def _first_frame(image: Image.Image, plain: PlainFile) -> Image.Image:
    """Return the first frame on a picture as large as the whole animation, transparent around it."""
    if plain.frame:
        frame, size, place = image.convert("RGBA"), plain.size, (plain.frame.left, plain.frame.top)
    elif box := _gif_frame(image):
        frame, size, place = image.convert("RGBA").crop(box), image.size, box[:2]
    else:
        return ImageOps.exif_transpose(image) if image.format == "TIFF" else image
    whole = Image.new("RGBA", size)
    whole.paste(frame, place)
    return whole


def _gif_frame(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Return where the first frame of a GIF lies, if it does not fill the picture."""
    if not (isinstance(image, GifImageFile) and image.tile):
        return None
    box = image.tile[0].extents
    return box if box and box != (0, 0, *image.size) else None


def _avif_orientation(image: Image.Image) -> int:
    """Return what an AVIF file's properties say, which Pillow hands over as EXIF data; XMP data says nothing."""
    exif = Image.Exif()
    exif.load(image.info.get("exif", b""))
    return int(exif.get(ExifTags.Base.Orientation, 1))


def _to_rgb(name: str, image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        values = np.asarray(image)
        grey = np.where(values == image.info.get("transparency", -1), WHITE[0], values >> 8)
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if image.mode == "I":  # how some formats hand over 16 bits
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise RequestError(
                f"{name} has 32 bits per pixel; at most 16 are supported",
                hint="save it with 8 bits a channel in an image editor",
            )
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise RequestError(
            f"{name} has floating-point pixels; only integers of up to 16 bits are supported",
            hint="save it with 8 bits a channel in an image editor",
        )
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, WHITE), layer).convert("RGB")
    return image.convert("RGB")


def resize_and_crop(image: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.uint8]:
    """Return `uint8 [size, size, 3]` of `uint8 [H, W, 3]`, as timm's evaluation transform has it before normalising.

    Raises `RequestError` for an image so long and thin that its shorter side cannot be brought to size.
    """
    size = preprocess.size
    scaled = math.floor(size / preprocess.crop_pct)
    pil_image = Image.fromarray(image)
    width, height = _scaled_size(pil_image.width, pil_image.height, scaled, preprocess.crop_mode)
    if width * height > MAX_PIXELS or min(width, height) < 1:
        raise RequestError(
            f"an image of {pil_image.width}×{pil_image.height} is too long and thin to be scaled to {scaled}",
            hint="crop it first",
        )
    if (width, height) != pil_image.size:
        pil_image = pil_image.resize((width, height), FILTERS[preprocess.interpolation])
    fill = tuple(round(255 * mean) for mean in preprocess.mean) if preprocess.crop_mode == "border" else (0, 0, 0)
    return np.array(_centre(pil_image, size, fill, preprocess.crop_rounding))


def _scaled_size(width: int, height: int, scaled: int, crop_mode: str) -> tuple[int, int]:
    if crop_mode == "squash":
        return scaled, scaled
    if crop_mode == "border":  # the longer side fits, the rest is filled up
        ratio = max(height / scaled, width / scaled)
        return round(width / ratio), round(height / ratio)
    if width <= height:
        return scaled, int(scaled * height / width)
    return int(scaled * width / height), scaled


def _centre(pil_image: Image.Image, size: int, fill: tuple[int, ...], rounding: CropRounding) -> Image.Image:
    """Cut out the centre; sides that are too short are filled up first, the odd pixel to the right and below."""
    width, height = pil_image.size
    if width < size or height < size:
        padded = Image.new("RGB", (max(width, size), max(height, size)), fill)
        padded.paste(pil_image, (max(0, size - width) // 2, max(0, size - height) // 2))
        pil_image, (width, height) = padded, padded.size
    left, top = (math.floor(gap / 2) if rounding == "down" else round(gap / 2) for gap in (width - size, height - size))
    return pil_image.crop((left, top, left + size, top + size))


def normalise(image: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.float32]:
    """Return `float32 [3, H, W]` of `uint8 [H, W, 3]`: scaled to 0..1, minus mean, over std."""
    scaled = image.transpose(2, 0, 1).astype(np.float32) / np.float32(255)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (preprocess.mean, preprocess.std))
    return np.ascontiguousarray((scaled - mean) / std)


def preprocess(image: NDArray[np.uint8], preprocess: Preprocess) -> NDArray[np.float32]:
    """Return the model's input `float32 [3, size, size]` for an image `uint8 [H, W, 3]`."""
    return normalise(resize_and_crop(image, preprocess), preprocess)
