"""Files of a folder, a zip or a tar by name, one way for all three; nothing is unpacked to disk."""

import os
import posixpath
import struct
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from export.core.console import say, several
from export.core.errors import RequestError
from export.data.links import Links, follow_links
from export.data.signatures import AGAIN, read_head, recognise

Read = Callable[[str], bytes]
Readers = dict[str, Callable[[], bytes]]
Tell = Callable[[str], None]

ENCRYPTED_FLAG, UTF8_FLAG = 0x1, 0x800
UNICODE_PATH = 0x7075  # an entry's extra field with its name in UTF-8
SYMBOLIC_LINK, TYPE_MASK = 0o120000, 0o170000  # in the Unix mode that zip keeps in the upper half of its attributes


def list_files(path: Path, tell: Tell = say) -> list[str]:
    """Return the names of all files, `/` between folders: a folder's sorted, an archive's in stored order.

    Links are followed. Hidden files are skipped, and what macOS adds to archives; `tell` is called with a note on what
    else is. Raises `RequestError` when `path` is neither a folder nor an archive, or the archive is damaged.
    """
    with open_files(path, tell) as (names, _):
        return names


@contextmanager
def open_files(path: Path, tell: Tell = say) -> Iterator[tuple[list[str], Read]]:
    """Yield the names of all files, as `list_files` does, with the function of `reading`: an archive is listed once."""
    with _opened(path, tell) as files:
        yield [name for name in files if not _is_hidden(name)], lambda name: files[name]()


@contextmanager
def reading(path: Path) -> Iterator[Read]:
    """Yield a function from the name of a file to its bytes; reading in the listed order is fastest."""
    if path.is_dir():
        yield lambda name: _on_disk(path, name).read_bytes()
        return
    with open_files(path, lambda note: None) as (_, read):
        yield read


def _on_disk(folder: Path, name: str) -> Path:
    """Return the path of a file, which may have `\\` for `/` in its name on disk."""
    path = folder / name
    return path if path.is_file() else folder / name.replace("/", "\\")


def _is_hidden(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


@contextmanager
def _opened(path: Path, tell: Tell) -> Iterator[Readers]:
    """Yield, for every file in a folder or an archive, a function that reads it."""
    if path.is_dir():
        yield _with_folders(path, _folder_readers(path, tell), tell)
        return
    if not path.is_file():
        raise RequestError(f"--data {path}: no such folder or file", hint="check the path")
    if zipfile.is_zipfile(path):
        with _open_zip(path) as archive:
            yield _with_folders(path, _zip_readers(path, archive, tell), tell)
    elif tarfile.is_tarfile(path):
        with tarfile.open(path, encoding="utf-8") as archive:
            yield _with_folders(path, _tar_readers(path, archive, tell), tell)
    else:
        kind = recognise(read_head(path))
        raise RequestError(
            f"--data {path} is neither a folder nor a complete .zip or .tar archive"
            + (f": it is {kind.title}" if kind else ""),
            hint=kind.hint
            if kind
            else f"pass a folder of images or of class folders, or an archive of either; {AGAIN}",
        )


def _with_folders(path: Path, readers: Readers, tell: Tell) -> Readers:
    r"""Read `\` as the separator of folders where no name has `/`: how some programs on Windows pack them."""
    if any("/" in name for name in readers if not _is_hidden(name)) or not any("\\" in name for name in readers):
        return readers
    tell(f"note: {path.name} separates folders by \\, which is read as /")
    return {_relative(name.replace("\\", "/")): read for name, read in readers.items() if not name.endswith("\\")}


def _relative(name: str) -> str:
    """Return a name relative to the archive's root, without `.` and `..`: none leads out of it."""
    return posixpath.normpath(f"/{name}").lstrip("/")


def _relative_names(path: Path, names: Sequence[str], tell: Tell) -> list[str]:
    """Return the names relative to the archive's root; `tell` is told of those that lead out of it.

    Raises `RequestError` where one of these would then have another one's name.
    """
    relative = [_relative(name) for name in names]
    outside = {name: own for name, own in zip(names, relative, strict=True) if posixpath.normpath(name)[:3] == "../"}
    if outside:
        tell(
            f"note: {len(outside)} entries of {path.name} are named as if outside it and read without ..: "
            f"{next(iter(outside))}"
        )
    named = Counter(own for own in dict(zip(names, relative, strict=True)).values() if own)
    clash = next((name for name, own in outside.items() if named[own] > 1), None)
    if clash is not None:
        raise RequestError(
            f"{path.name} has the entry {clash}, which leads out of it, and another one named {outside[clash]} "
            "without ..",
            hint="pack the folder anew, from the folder that holds it",
        )
    return relative


def _folder_readers(path: Path, tell: Tell) -> Readers:
    """Return the readers of a folder's files; links are followed, but not back to a folder that they lie in."""
    names: list[str] = []
    skipped: list[str] = []

    def walk(folder: str, ancestors: frozenset[str]) -> None:
        for entry in os.scandir(path / folder):
            name = f"{folder}/{entry.name}" if folder else entry.name
            target = Path(entry.path) if entry.is_symlink() else entry  # a Path bears links to themselves
            if target.is_file():
                names.append(name)
            elif target.is_dir() and not _is_hidden(entry.name):
                real = os.path.realpath(entry.path)
                if real in ancestors:
                    skipped.append(f"{name} (links back to {real})")
                elif os.access(real, os.R_OK | os.X_OK):
                    walk(name, ancestors | {real})
                else:
                    skipped.append(f"{name} (no permission to read it)")
            elif entry.is_symlink():
                skipped.append(f"{name} (links to {Path(entry.path).readlink()}, where there is nothing)")

    walk("", frozenset([os.path.realpath(path)]))
    if skipped:
        tell(f"note: {len(skipped)} entries of {path.name} are skipped: {several(sorted(skipped))}")
    return {name: (path / name).read_bytes for name in sorted(names)}


def _open_zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, RuntimeError) as error:  # the latter: a feature that Python lacks
        raise RequestError(f"--data {path} is damaged or of an unknown kind of zip: {error}", hint=AGAIN) from error


def _zip_readers(path: Path, archive: zipfile.ZipFile, tell: Tell) -> Readers:
    files: Readers = {}
    links: Links = {}
    entries = archive.infolist()
    names = _relative_names(path, [_zip_name(info) for info in entries], tell)
    for info, name in zip(entries, names, strict=True):
        if info.external_attr >> 16 & TYPE_MASK == SYMBOLIC_LINK and not info.flag_bits & ENCRYPTED_FLAG:
            links[name] = os.fsdecode(archive.read(info))
        elif not info.is_dir():
            files[name] = partial(archive.read, info)
    return follow_links(path, files, links, tell)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """Return an entry's name: UTF-8 also where the archive does not say so, or says it beside; else code page 437."""
    if info.flag_bits & UTF8_FLAG:
        return info.filename
    extra = info.extra
    while len(extra) >= 4:
        kind, size = struct.unpack("<HH", extra[:4])
        if kind == UNICODE_PATH:  # after a version and a checksum
            return extra[9 : 4 + size].decode(errors="replace")
        extra = extra[4 + size :]
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename


def _tar_readers(path: Path, archive: tarfile.TarFile, tell: Tell) -> Readers:
    files: Readers = {}
    links: Links = {}
    members = _members(path, archive)
    names = _relative_names(path, [member.name for member in members], tell)
    for member, name in zip(members, names, strict=True):
        if member.isfile():
            files[name] = _tar_reader(archive, member)
        elif member.islnk():  # a second name of an earlier file, relative to the root
            links[name] = f"/{member.linkname}"
        elif member.issym():
            links[name] = member.linkname
    return follow_links(path, files, links, tell)


def _members(path: Path, archive: tarfile.TarFile) -> list[tarfile.TarInfo]:
    try:
        members = archive.getmembers()
        stream = archive.fileobj
        assert stream is not None, "an open archive has a stream"
        stream.seek(archive.offset)
        end = stream.read(tarfile.BLOCKSIZE)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise RequestError(f"--data {path} is truncated or damaged: {error}", hint=AGAIN) from error
    if end != bytes(tarfile.BLOCKSIZE):  # cut between two files, which tarfile takes for the end
        raise RequestError(f"--data {path} is truncated: its end-of-archive marker is missing", hint=AGAIN)
    return members


def _tar_reader(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        stream = archive.extractfile(member)
        assert stream is not None, "only regular files are listed"
        return stream.read()

    return read
