"""What several processes of a test run share is made by one of them, while the others wait."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SHARED = Path(__file__).parents[1] / ".cache/tests"


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Wait until no other process is within; for whatever writes below `.cache`."""
    SHARED.mkdir(parents=True, exist_ok=True)
    with (SHARED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
