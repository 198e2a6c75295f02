"""Downloads that go on after a cut, and are kept when their checksum is right."""

import hashlib
import os
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Literal
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from export.core.console import LongProgress, say
from export.core.errors import ExportError
from export.core.figures.units import format_bytes

TIMEOUT_SECONDS, ATTEMPTS = 30, 10
BLOCK, MB = 1 << 18, 1_000_000
PARTIAL_CONTENT, RANGE_NOT_SATISFIABLE = 206, 416


def download(url: str, target: Path, checksum: str, algorithm: Literal["md5", "sha256"] = "md5") -> None:
    """Download a file under a temporary name, verify it, and rename it to `target`.

    What an earlier run has left is gone on with, where the server can; a connection that is cut is opened again.
    Raises `ExportError` when the server cannot be reached, or the file is not the one with that checksum.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    hint = f"run the command again: it goes on where it stopped; or put the file into {target.parent} yourself"
    for attempt in range(1, ATTEMPTS + 1):
        before = _size(partial)
        try:
            _append(url, partial, target.name)
            break
        except (OSError, HTTPException) as error:  # no name, no route, refused, timed out, cut …
            got = _size(partial) - before
            if isinstance(error, HTTPError) or got <= 0 or attempt == ATTEMPTS:
                raise ExportError(f"{url} cannot be downloaded: {_reason(error)}", hint=hint) from error
            say(f"  cut after {format_bytes(_size(partial))} ({_reason(error)}); going on")
    found = _digest(partial, algorithm)
    if found != checksum:
        partial.unlink()
        raise ExportError(
            f"{url} is not the file that is expected: its {algorithm.upper()} is {found}, not {checksum}",
            hint="run the command again; if it stays so, the file has changed or something on the way changes it",
        )
    os.replace(partial, target)


def _append(url: str, partial: Path, title: str) -> None:
    """Download what is missing of a file; raises `ConnectionError` when the connection ends before the file does."""
    start = _size(partial)
    request = Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        response: HTTPResponse = urlopen(request, timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        if error.code != RANGE_NOT_SATISFIABLE or not start:
            raise
        if error.headers.get("Content-Range") == f"bytes */{start}":
            return  # it was whole already
        partial.unlink()
        return _append(url, partial, title)
    with response:
        if response.status != PARTIAL_CONTENT:
            start = 0  # the server sends it from the beginning
        length = response.headers.get("Content-Length")
        total = start + int(length) if length else 0
        got, progress = start, LongProgress(title, total // MB, "MB", start // MB)
        with partial.open("ab" if start else "wb") as stream, progress:
            while block := response.read(BLOCK):
                stream.write(block)
                progress.step((got + len(block)) // MB - got // MB)
                got += len(block)
    if total and _size(partial) < total:
        raise ConnectionError(f"{format_bytes(total - _size(partial))} are missing")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _reason(error: BaseException) -> str:
    reason = getattr(error, "reason", None) or error
    return f"{type(reason).__name__}: {reason}" if isinstance(reason, BaseException) else str(error)
