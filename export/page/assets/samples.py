"""A person's own sample pictures: read from a folder with an attribution file, and made ready for a page."""

import difflib
import re
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.core.console import printable, say, several
from export.core.errors import ArtifactError, RequestError
from export.core.figures.units import format_bytes
from export.core.schema import Record
from export.page.content.presentation import Sample, SampleSet

if TYPE_CHECKING:
    from PIL import Image

ATTRIBUTION = "attribution.toml"
EXAMPLE = f'write {ATTRIBUTION} beside the pictures, for instance: attribution = "Jane Doe" and licence = "CC BY 4.0"'
MOST = 24  # more would fill the page, and each first visit downloads them all
MOST_BYTES, MOST_PIXELS, QUALITY = 200_000, 800, 88
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "AVIF": ".avif"}  # what browsers show


class Credit(Record, frozen=True, kw_only=True):
    """What the attribution file says of a picture; an empty text is not said."""

    title: str = ""
    attribution: str = ""
    licence: str = ""
    source: str = ""


@contextmanager
def prepared_samples(folder: Path, model: str) -> Iterator[SampleSet]:
    """Yield the sample pictures of a model, which lie in a temporary folder within the block.

    Large pictures are made smaller, and what cameras write beside the picture (place, time, device) is left out.
    Raises `RequestError` for a folder without pictures, and where a picture's author or licence is not said.
    """
    credits = _read_credits(folder)
    pictures = _find_pictures(folder, credits)
    with tempfile.TemporaryDirectory(prefix="vit-pages-samples-") as name:
        target = Path(name, "own", model)
        target.mkdir(parents=True)
        samples = tuple(_prepare(path, credits, target) for path in pictures)
        placed = [Sample.from_json({**one.to_json(), "file": f"own/{model}/{one.file}"}) for one in samples]
        yield SampleSet(folder=Path(name), samples=tuple(placed))


def _read_credits(folder: Path) -> dict[str, Credit]:
    """Return what is said of each picture by its name, under an empty name of all."""
    if not folder.is_dir():
        state = "is not a folder" if folder.exists() else "does not exist"
        raise RequestError(f"--samples {folder} {state}", hint="pass a folder of pictures with " + ATTRIBUTION)
    path = folder / ATTRIBUTION
    if not path.is_file():
        raise RequestError(f"--samples {folder} has no {ATTRIBUTION}: whose pictures are these?", hint=EXAMPLE)
    try:
        values = tomllib.loads(path.read_text("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"{path} cannot be read: {error}", hint=EXAMPLE) from error
    own = {name: value for name, value in values.items() if isinstance(value, dict)}
    common = {name: value for name, value in values.items() if name not in own}
    return {"": _credit(path, "", common)} | {name: _credit(path, name, value) for name, value in own.items()}


def _credit(path: Path, name: str, values: Any) -> Credit:
    try:
        credit = Credit.from_json(values)
    except ArtifactError as error:
        raise RequestError(f"{path}: {name and f'[{name}] '}{error.message}", hint=EXAMPLE) from error
    if credit.source and not re.match(r"https?://\S+$", credit.source):
        raise RequestError(
            f"{path}: {name and f'[{name}] '}source is {credit.source!r}", hint="an address: https://example.org/rose"
        )
    return credit


def _find_pictures(folder: Path, credits: dict[str, Credit]) -> list[Path]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    pictures = [path for path in files if path.name != ATTRIBUTION and _is_picture(path)]
    others = [printable(path.name) for path in files if path not in pictures and path.name != ATTRIBUTION]
    if not pictures:
        raise RequestError(f"--samples {folder} has no picture", hint="JPEG, PNG, WebP or AVIF files, in that folder")
    if len(pictures) > MOST:
        raise RequestError(f"--samples {folder} has {len(pictures)} pictures", hint=f"choose {MOST} or fewer")
    if others:
        say(f"note: --samples {folder}: not pictures, left out: {several(others)}")
    names = {path.name for path in pictures}
    if unknown := [name for name in credits if name and name not in names]:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        raise RequestError(
            f"{folder / ATTRIBUTION}: [{unknown[0]}] is none of the pictures",
            hint=f"the nearest is {near[0]}" if near else f"pictures: {several(sorted(names))}",
        )
    return pictures


def _is_picture(path: Path) -> bool:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            image.load()
    except UnidentifiedImageError:
        return False
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise RequestError(f"{printable(str(path))} cannot be opened: {error}", hint="replace or remove it") from error
    return True


def _prepare(path: Path, credits: dict[str, Credit], target: Path) -> Sample:
    """Write a picture as the page shows it and return its record."""
    from PIL import Image

    said = {name: value for name, value in credits[""].to_json().items() if value}
    said |= {name: value for name, value in credits.get(path.name, Credit()).to_json().items() if value}
    if missing := [name for name in ("attribution", "licence") if name not in said]:
        raise RequestError(
            f"{path.parent / ATTRIBUTION} says no {' and no '.join(missing)} of {printable(path.name)}", hint=EXAMPLE
        )
    with Image.open(path) as image:
        file, (width, height) = _write(image, path, target)
    return Sample(
        file=file,
        title=said.get("title") or _title(path.stem),
        attribution=said["attribution"],
        licence=said["licence"],
        source=said.get("source", ""),
        width=width,
        height=height,
    )


def _write(image: "Image.Image", path: Path, target: Path) -> tuple[str, tuple[int, int]]:
    """Write a picture under a name that addresses take; return that and the size in pixels."""
    from PIL import Image, ImageOps

    suffix = SUFFIXES.get(image.format or "")
    stem = re.sub(r"[^a-z0-9]+", "-", printable(path.stem).lower()).strip("-") or "picture"
    small = path.stat().st_size <= MOST_BYTES and max(image.size) <= MOST_PIXELS
    if suffix and small and not image.getexif() and "xmp" not in image.info:
        file = _free(target, stem, suffix)
        file.write_bytes(path.read_bytes())
        return file.name, image.size
    upright = ImageOps.exif_transpose(image).convert("RGB")
    upright.thumbnail((MOST_PIXELS, MOST_PIXELS), Image.Resampling.LANCZOS)
    bare = Image.frombytes("RGB", upright.size, upright.tobytes())  # the pixels, and nothing that came with them
    file = _free(target, stem, ".jpg")
    bare.save(file, "JPEG", quality=QUALITY, optimize=True)
    say(
        f"  sample {printable(path.name)}: {format_bytes(path.stat().st_size)} → {format_bytes(file.stat().st_size)}, "
        f"{bare.width}×{bare.height}, without what the camera wrote beside it"
    )
    return file.name, bare.size


def _free(folder: Path, stem: str, suffix: str) -> Path:
    """Return a name that no other picture has."""
    names = (folder / f"{stem}{f'-{number}' if number else ''}{suffix}" for number in range(MOST + 1))
    return next(path for path in names if not path.exists())


def _title(stem: str) -> str:
    words = re.sub(r"[_\-\s]+", " ", printable(stem)).strip() or "picture"
    return words[0].upper() + words[1:]
