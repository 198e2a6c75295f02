"""Files of a folder, a zip or a tar by name, one way for all three; nothing is unpacked to disk."""

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from export.core.errors import RequestError

Read = Callable[[str], bytes]


def list_files(path: Path) -> list[str]:
    """Return the names of all files, `/` between folders: a folder's sorted, an archive's in stored order.

    Hidden files are skipped, and what macOS adds to archives. Raises `RequestError` when `path` is neither a folder nor
    an archive, or the archive is damaged.
    """
    if path.is_dir():
        names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    else:
        with _opened(path) as archive:
            names = list(archive)
    return [name for name in names if not _is_hidden(name)]


@contextmanager
def reading(path: Path) -> Iterator[Read]:
    """Yield a function from the name of a file to its bytes; reading in the listed order is fastest."""
    if path.is_dir():
        yield lambda name: (path / name).read_bytes()
    else:
        with _opened(path) as archive:
            yield lambda name: archive[name]()


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


@contextmanager
def _opened(path: Path) -> Iterator[dict[str, Callable[[], bytes]]]:
    """Yield, for every file in an archive, a function that reads it."""
    if not path.is_file():
        raise RequestError(f"--data {path}: no such folder or file")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield {info.filename: _zip_reader(archive, info) for info in archive.infolist() if not info.is_dir()}
    elif tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            yield {member.name.removeprefix("./"): _tar_reader(archive, member) for member in _members(path, archive)}
    else:
        raise RequestError(
            f"--data {path} is neither a folder nor a complete .zip or .tar archive",
            hint="pass a folder of images or of class folders, or an archive of either; copy a damaged archive again",
        )


def _members(path: Path, archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    again = "copy or download it again"
    try:
        members = archive.getmembers()
        stream = archive.fileobj
        assert stream is not None, "an open archive has a stream"
        stream.seek(archive.offset)
        end = stream.read(tarfile.BLOCKSIZE)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise RequestError(f"--data {path} is truncated or damaged: {error}", hint=again) from error
    if end != bytes(tarfile.BLOCKSIZE):  # cut between two files, which tarfile takes for the end
        raise RequestError(f"--data {path} is truncated: its end-of-archive marker is missing", hint=again)
    return [member for member in members if member.isfile()]


def _zip_reader(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], bytes]:
    return lambda: archive.read(info)


def _tar_reader(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        stream = archive.extractfile(member)
        assert stream is not None, "only regular files are listed"
        return stream.read()

    return read
