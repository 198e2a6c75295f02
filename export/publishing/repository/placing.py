"""Files put into a folder all at once, where nothing of a person's is in the way."""

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from export import __version__
from export.core.console import several
from export.core.errors import ArtifactError, RequestError
from export.core.files import hash_file
from export.core.schema import Record

RECORD = ".vit-pages-init.json"  # which files are ours, and what was in them
NOT_OURS = ".git"


class PlacedFiles(Record, frozen=True, kw_only=True):
    """The SHA-256 of each file that was written, by its path."""

    version: str
    files: dict[str, str]


@contextmanager
def placing(target: Path, given: Collection[Path]) -> Iterator[Path]:
    """Yield an empty folder whose files are put into `target` when the block ends well.

    `given` are files or folders that may lie in `target` already, and stay. Raises `RequestError` when it has anything
    else that was not written here before, or that was changed since.
    """
    target = target.absolute()
    earlier = _refuse_foreign(target, [path.absolute() for path in given])
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        staged, retired = Path(scratch, "new"), Path(scratch, "old")
        staged.mkdir()
        yield staged
        files = {path.relative_to(staged).as_posix(): hash_file(path) for path in _files(staged)}
        record = PlacedFiles(version=__version__, files=files)
        (staged / RECORD).write_text(json.dumps(record.to_json(), indent=1) + "\n", "utf-8")
        if target.exists():
            _exchange(staged, retired, target, earlier)
        else:
            staged.rename(target)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def _refuse_foreign(target: Path, given: list[Path]) -> list[str]:
    """Return which files in the target are ours; raises `RequestError` when there are others."""
    blocking = next((one for one in target.parents if one.exists()), target)
    if not blocking.is_dir():
        raise RequestError(f"{blocking} is a file", hint="name a folder below another one")
    if target.is_symlink() and not target.exists():
        raise RequestError(f"{target} is a link to what does not exist", hint="remove the link, or name another folder")
    if not target.exists():
        return []
    if not target.is_dir():
        raise RequestError(f"{target} is a file", hint="name a folder that is empty or does not exist")
    ours = _read_record(target)
    foreign: list[str] = []
    own: list[str] = []
    for path in _files(target):
        name = path.relative_to(target).as_posix()
        if name.split("/")[0] == NOT_OURS or any(path == one or one in path.parents for one in given):
            continue
        unchanged = name == RECORD or (name in ours and not path.is_symlink() and hash_file(path) == ours[name])
        (own if unchanged else foreign).append(name)
    if foreign:
        changed = [name for name in foreign if name in ours]
        what = "that were changed since" if changed else "that were not written by this command"
        raise RequestError(
            f"{target} has files {what}: {several(changed or foreign)}",
            hint="name a folder that is empty or does not exist; or change vit-pages.toml, which says all",
        )
    return own


def _read_record(target: Path) -> dict[str, str]:
    path = target / RECORD
    if not path.is_file():
        return {}
    try:
        return PlacedFiles.parse(path.read_bytes()).files
    except ArtifactError:
        return {}  # then nothing is known to be ours


def _exchange(staged: Path, retired: Path, target: Path, earlier: list[str]) -> None:
    """Put the staged files in place of the earlier ones; when that fails, everything is as it was."""
    placed: list[Path] = []
    try:
        for name in earlier:
            _move(target / name, retired / name)
        for path in _files(staged):
            place = target / path.relative_to(staged)
            if place.exists():
                raise RequestError(f"{place} is in the way", hint="move it elsewhere")
            _move(path, place)
            placed.append(place)
    except BaseException:
        for place in placed:
            place.unlink(missing_ok=True)
        for path in _files(retired):
            _move(path, target / path.relative_to(retired))
        raise
    for folder in sorted({parent for name in earlier for parent in Path(name).parents if parent.name}, reverse=True):
        if (target / folder).is_dir() and not any((target / folder).iterdir()):
            (target / folder).rmdir()


def _move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.replace(source, target)
    except OSError:  # a folder may be a mount of its own
        shutil.move(source, target)
