"""What several processes of a test run share is made by one of them, while the others wait."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from export.page.assets.bundle import make_bundle

SHARED = Path(__file__).parents[1] / ".cache/tests"
ENGINE = "engine"  # and the bundle, which has it


@contextmanager
def one_at_a_time(what: str) -> Iterator[None]:
    """Wait until no other process is within for the same: a model whose artifacts are written, or `ENGINE`."""
    SHARED.mkdir(parents=True, exist_ok=True)
    with (SHARED / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def share_bundle() -> None:
    """See to it that the page's scripts are bundled and the engine is compiled, so that builds write neither."""
    with one_at_a_time(ENGINE):
        make_bundle()
