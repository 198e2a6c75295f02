"""How far a long run is, and about how long the rest takes."""

import threading
import time
from typing import TYPE_CHECKING, Any

from export.console import say

if TYPE_CHECKING:
    from tqdm import tqdm


class Progress:
    """Counts steps and says, at each one, the time left at the pace so far."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.started = total, 0, time.perf_counter()

    def step(self, text: str, count: int = 1) -> None:
        """Count steps as done and say so."""
        self.done += count
        left = (time.perf_counter() - self.started) / self.done * (self.total - self.done)
        say(f"  [{self.done}/{self.total}] {text}" + (f"   about {format_seconds(left)} left" if left > 0 else ""))


def format_seconds(seconds: float) -> str:
    """Write a duration as people say it: `40 s`, `3 min`."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def bar(title: str, total: int | None = None, unit: str = "it") -> "tqdm[Any]":
    """Return a bar with the time left, which vanishes when it is done and is not drawn where nobody looks."""
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # its own would be a semaphore between processes, of which there is one
    return tqdm(desc=f"    {title}", total=total, unit=unit, leave=False, disable=None)
