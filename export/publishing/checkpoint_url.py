"""A checkpoint at an address, which says its SHA-256: downloaded once, resumed after a cut, verified."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from export.core.console import say
from export.core.errors import RequestError
from export.core.files import hash_file
from export.core.paths import CACHE
from export.data.public.download import download

FORM = "https://example.org/my.safetensors#sha256=…"
URL = re.compile(r"(https?):/+(.+)", re.IGNORECASE)


def is_url(place: Path | str) -> bool:
    """Tell whether a checkpoint is an address; a path has lost one of its two slashes."""
    return URL.fullmatch(str(place)) is not None


def read_url(place: Path | str) -> tuple[str, str]:
    """Return the address of `URL#sha256=…` and the hash; raises `RequestError` for one without it."""
    matched = URL.fullmatch(str(place))
    assert matched is not None, "asked only of addresses"
    try:
        parts = urlsplit(f"{matched[1].lower()}://{matched[2]}")
    except ValueError as error:
        raise RequestError(f"--checkpoint {place} is no address: {error}", hint=f"write {FORM}") from error
    if "@" in parts.netloc:
        raise RequestError("--checkpoint: its address has a user name or password in it", hint=f"write {FORM}")
    url = parts._replace(fragment="").geturl()
    sha256 = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", parts.fragment)
    if sha256 is None:
        said = f"#{parts.fragment} is no SHA-256" if parts.fragment else "has no SHA-256"
        raise RequestError(
            f"--checkpoint {url}: {said}",
            hint=f"write {FORM} with what `sha256sum` says of the file; a release page shows it too",
        )
    return url, sha256[1].lower()


def fetched(place: Path, cache: Path = CACHE / "checkpoints") -> Path:
    """Return the local file of a checkpoint, which an address `URL#sha256=…` is downloaded to.

    Raises `RequestError` for an address without the hash, `ExportError` when it cannot be downloaded whole.
    """
    if not is_url(place):
        return place
    url, sha256 = read_url(place)
    target = cache / sha256[:16] / (Path(unquote(urlsplit(url).path)).name or "checkpoint")
    if target.is_file() and hash_file(target) == sha256:
        return target
    say(f"downloading {url}")
    download(url, target, sha256, "sha256")
    return target
