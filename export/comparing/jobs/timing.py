"""Timing in rounds that are interleaved, so that a drift of the machine falls on all that are compared."""

import time
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

Name = TypeVar("Name", bound=Hashable)
WARM_UPS, LEAST_RUNS = 2, 2


def time_in_rounds(runs: Mapping[Name, Callable[[], object]], rounds: int, seconds: float) -> dict[Name, list[float]]:
    """Return the mean seconds of a run in each round, by name; every second round goes backwards.

    A round of one takes about so many `seconds`, and at least two runs.
    """
    for run in runs.values():
        for _ in range(WARM_UPS):
            run()
    found: dict[Name, list[float]] = {name: [] for name in runs}
    for number in range(rounds):
        for name in list(runs) if number % 2 == 0 else reversed(list(runs)):
            found[name].append(_mean(runs[name], seconds))
    return found


def _mean(run: Callable[[], object], seconds: float) -> float:
    started, count = time.perf_counter(), 0
    while count < LEAST_RUNS or time.perf_counter() - started < seconds:
        run()
        count += 1
    return (time.perf_counter() - started) / count
