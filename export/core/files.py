"""Files: hashed, described, and written whole or not at all."""

import glob
import gzip
import hashlib
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from export.core.records import StoredFile

RETIRED = ".old"  # ending of a folder that is being replaced


def hash_bytes(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def hash_json(values: Any) -> str:
    """Return the SHA-256 of values as canonical JSON."""
    return hash_bytes(json.dumps(values, sort_keys=True, separators=(",", ":")).encode())


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file without reading it whole."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def replacing_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path` for a file that takes its place when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_up(path)
    partial = _beside(path)
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing_file(path) as partial:
        partial.write_bytes(data)


def _beside(target: Path) -> Path:
    """Return a new name beside the target; known before anything is made, so that no interrupt leaves it behind.

    It names this process, so that another one can clear up what `kill -9` leaves.
    """
    return target.with_name(f".{target.name}.{_host()}-{os.getpid()}-{secrets.token_hex(4)}")


def _host() -> str:
    return hash_bytes(socket.gethostname().encode())[:4]


def _clear_up(target: Path) -> None:
    """Remove what processes that have ended left beside the target; its old folder, already set aside, comes back."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.{_host()}-*-*"):
        _, _, process = path.name.removeprefix(f".{target.name}.").partition("-")
        if _is_running(int(process.partition("-")[0])):
            continue
        if path.name.endswith(RETIRED) and not target.exists():
            path.rename(target)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


@contextmanager
def replacing_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that takes `target`'s place when the block ends well, and vanishes when not."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _clear_up(target)
    partial = _beside(target)
    retired = partial.with_name(partial.name + RETIRED)
    try:
        partial.mkdir()
        yield partial
        if target.exists():
            target.rename(retired)
        partial.rename(target)
    except BaseException:
        if retired.exists() and not target.exists():
            retired.rename(target)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(retired, ignore_errors=True)


def describe_file(path: Path, root: Path, *, published: bool = True) -> StoredFile:
    """Return a file's record, its path relative to `root`; only of one that is `published` is the packed size known."""
    name = path.relative_to(root).as_posix()
    if not published:
        return StoredFile(path=name, bytes=path.stat().st_size, gzip_bytes=0, sha256=hash_file(path))
    data = path.read_bytes()
    packed = len(gzip.compress(data, 9, mtime=0))
    return StoredFile(path=name, bytes=len(data), gzip_bytes=packed, sha256=hash_bytes(data))
