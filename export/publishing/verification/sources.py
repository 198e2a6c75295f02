"""Where a page is read from: a folder, or an address; a file is always copied or downloaded whole, with its limit."""

import re
from http.client import HTTPException
from pathlib import Path
from typing import Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, urlopen

from export import __version__
from export.core.console import printable
from export.core.errors import ArtifactError, ExportError, RequestError
from export.page.content.manifest import MARKER

TIMEOUT_SECONDS, BLOCK = 30, 1 << 18
MOST_MANIFEST_BYTES = 100_000_000
NOT_FOUND = 404
OF_A_PATH = "/%:@!$&'()*+,;=~"  # characters of an address that stay as they are
EXAMPLE = "pass the folder of a built page, or its address: https://example.org/my-page/"


class Source(Protocol):
    """A published page."""

    title: str

    def read(self, path: str, limit: int) -> bytes | None:
        """Return a file's bytes, at most one more than `limit`; None where there is no such file."""

    def others(self, known: set[str]) -> list[str]:
        """Return the files beside those that are known, as far as they can be listed."""


class FolderSource:
    """A page in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.title = folder, str(folder)

    def read(self, path: str, limit: int) -> bytes | None:
        """Return a file's bytes; a link that leads out of the folder is no file of the page."""
        target = self.folder / path
        try:
            if not target.is_file() or not target.resolve().is_relative_to(self.folder.resolve()):
                return None
        except OSError:  # a path that no file system has
            return None
        with target.open("rb") as stream:
            return stream.read(min(limit, target.stat().st_size) + 1)

    def others(self, known: set[str]) -> list[str]:
        """Return the files of the folder that are not known."""
        paths = (path for path in self.folder.rglob("*") if not path.is_dir())
        names = (path.relative_to(self.folder).as_posix() for path in paths)
        return sorted(name for name in names if name not in known and not name.startswith(".git/"))


class WebSource:
    """A page at an address."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            host = parts.netloc.encode("idna").decode()
        except ValueError as error:
            raise RequestError(f"{printable(url)} is no address: {error}", hint=EXAMPLE) from error
        if "@" in parts.netloc:
            raise RequestError("the address has a user name or password in it", hint="leave it out")
        path = re.sub(r"[^/]+\.(html|json)$", "", parts.path)
        path = quote(path.rstrip("/") + "/", safe=OF_A_PATH)
        self.title = parts._replace(netloc=host, path=path, query="", fragment="").geturl()

    def read(self, path: str, limit: int) -> bytes | None:
        """Download a file; raises `ExportError` when the host cannot be reached or does not answer as it should."""
        url = self.title + quote(path)
        request = Request(url, headers={"User-Agent": f"vit-pages/{__version__}", "Cache-Control": "no-cache"})
        body = bytearray()
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                while len(body) <= limit and (block := response.read(min(BLOCK, limit + 1 - len(body)))):
                    body += block
        except HTTPError as error:
            error.close()
            if error.code == NOT_FOUND:
                return None
            raise ExportError(f"{url}: the host returns status {error.code}", hint="try again later") from error
        except (URLError, OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise ExportError(f"{url} cannot be downloaded: {reason}", hint="check address and network") from error
        return bytes(body)

    def others(self, known: set[str]) -> list[str]:
        """Return nothing: a host lists no files."""
        return []


def open_source(place: str) -> Source:
    """Return the page at an address or in a folder; raises `RequestError` for what is neither."""
    if re.match(r"https?://[^/]", place, re.IGNORECASE):
        return WebSource(place)
    folder = Path(place)
    if folder.is_file() and folder.name == MARKER:
        folder = folder.parent
    if not folder.is_dir():
        raise RequestError(f"{printable(place)} is neither a folder nor an address", hint=EXAMPLE)
    return FolderSource(folder)


def read_marker(source: Source) -> bytes:
    """Return the bytes of the page's manifest; raises `ArtifactError` where there is none.

    Some hosts answer with a page of their own for what they do not have.
    """
    text = source.read(MARKER, MOST_MANIFEST_BYTES)
    if text is None or len(text) > MOST_MANIFEST_BYTES or text.lstrip()[:1] == b"<":
        raise ArtifactError(
            f"{source.title} has no {MARKER}: it is not a page that ViT Pages made",
            hint="pass the address of the page itself, with its folder; or build one: python -m export.build",
        )
    return text
