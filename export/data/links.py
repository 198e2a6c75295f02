"""Symbolic and hard links inside an archive: the files that they stand for."""

import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from export.core.console import several

Links = dict[str, str]  # name of the link → its target, relative to the link's folder, or to the root with a leading /
Content = TypeVar("Content")


def follow_links(
    path: Path, files: dict[str, Content], links: Links, tell: Callable[[str], None]
) -> dict[str, Content]:
    """Return the files with those that links name, to a file or to a whole folder, under the links' names.

    `tell` is called with a note on links that lead in circles or out of the archive `path`.
    """
    found = dict(files)
    pending = dict(links)
    while pending:
        resolved = {name: _targets(name, target, found) for name, target in pending.items()}
        reached = [name for name, targets in resolved.items() if targets]
        if not reached:
            break
        # a folder is whole once the links below it are followed; where they wait for each other, one goes first
        whole = [name for name in reached if not _has_below(_place(name, links[name]), pending, besides=name)]
        for name in whole or reached[:1]:
            found |= {f"{name}{rest}": found[target] for target, rest in resolved[name]}
            del pending[name]
    if pending:
        lost = [f"{name} (links to {target})" for name, target in pending.items()]
        tell(f"note: {len(lost)} links in {path.name} lead to nothing in it and are skipped: {several(lost)}")
    return found


def _place(name: str, target: str) -> str:
    """Return where a link leads, relative to the archive's root."""
    start = "/" if target.startswith("/") else posixpath.join("/", posixpath.dirname(name))
    return posixpath.normpath(posixpath.join(start, target)).lstrip("/")


def _targets(name: str, target: str, files: dict[str, Content]) -> list[tuple[str, str]]:
    """Return the files that a link stands for, each with the rest of its name below the link's target."""
    place = _place(name, target)
    if place in files:
        return [(place, "")]
    below = f"{place}/" if place else ""
    if f"{name}/".startswith(below):  # back to a folder that the link lies in
        return []
    return [(file, f"/{file.removeprefix(below)}") for file in files if file.startswith(below)]


def _has_below(place: str, links: Links, *, besides: str) -> bool:
    return any(name.startswith(f"{place}/") for name in links if name != besides)
