"""Arrays on disk that take long to fill: a run that is ended loses what it filled in the last seconds, and no more."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from export.core.errors import ExportError
from export.core.figures.units import format_unequal_bytes
from export.core.files import write_atomically

SAVE_SECONDS = 15


class ResumableArray:
    """The `rows` of an array on disk, of which the first `done` are filled; `marked` are those the caller marks."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> None:
        self.path, self.partial, self.state = path, _beside(path, "partial"), _beside(path, "state")
        self.done, self.marked = _filled(self.partial, self.state, shape)
        mode: Any = "r+" if self.done else "w+"
        if not self.done:
            _check_space(path, int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize)
        self.rows: NDArray[Any] = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
            self.partial, mode, None if self.done else np.dtype(dtype), None if self.done else shape
        )
        self.saved = time.monotonic()

    def advance(self, count: int) -> None:
        """Count more rows as filled, and record it every few seconds."""
        self.done += count
        if time.monotonic() - self.saved > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Record how many rows are filled."""
        self.rows.flush()  # type: ignore[attr-defined]
        write_atomically(self.state, json.dumps({"done": self.done, "marked": sorted(self.marked)}).encode())
        self.saved = time.monotonic()


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}")


def _filled(partial: Path, state: Path, shape: tuple[int, ...]) -> tuple[int, set[int]]:
    """Return how many rows an earlier run has filled of an array of that shape, and which it has marked."""
    if not (partial.is_file() and state.is_file()):
        return 0, set()
    found: NDArray[Any] = np.load(partial, mmap_mode="r")
    facts = json.loads(state.read_bytes())
    return (int(facts["done"]), set(facts["marked"])) if found.shape == shape else (0, set())


def _check_space(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if size > free:
        found, needed = format_unequal_bytes(free, size)
        raise ExportError(
            f"{path.parent} has {found} free, but {needed} are needed",
            hint="free some space, or put the folder on another disk with a link",
        )


@contextmanager
def filling(path: Path, shape: tuple[int, ...], dtype: DTypeLike) -> Iterator[ResumableArray]:
    """Yield an array that becomes the file `path` when the block ends well, and is gone on with when it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = ResumableArray(path, shape, dtype)
    try:
        yield array
    except BaseException:
        array.save()
        raise
    array.rows.flush()  # type: ignore[attr-defined]
    os.replace(array.partial, path)
    array.state.unlink(missing_ok=True)
