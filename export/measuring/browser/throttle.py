"""CPU throttling of a browser's pages: all threads of their processes, so that workers are throttled too."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from playwright.sync_api import Browser

from export.core.errors import MeasurementError, RequestError

PROCESSES = Path("/proc")
RUN_S = 0.004  # between two pauses; at 4× a pause takes some 12 ms, less than a frame at 60 Hz
LOOK_EVERY = 4  # pauses between two looks for new processes


@contextmanager
def throttle_cpu(browser: Browser, factor: float) -> Iterator[None]:
    """Slow every page of a browser down by `factor` within the block.

    The pages' processes are stopped and continued some 60 times a second, all their threads at once. Chromium's own
    `Emulation.setCPUThrottlingRate` slows the main thread alone: with version 156 a worker runs at full speed, and its
    session answers "only supported for pages, not workers". That would favour a page that computes in a worker over
    one that does not. The browser's other processes (network, GPU, storage) are not throttled, nor is what they do for
    the page.

    Raises `RequestError` for a factor below 1 and `MeasurementError` where the system does not list the children of
    processes as Linux does.
    """
    if factor < 1:
        raise RequestError(f"a slowdown of {factor} is below 1", hint="pass 1 or more")
    if factor == 1:
        yield
        return
    parents = _parents(_renderers(browser))
    ended = Event()
    thread = Thread(target=_stop_and_continue, args=(parents, factor, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _renderers(browser: Browser) -> list[int]:
    session = browser.new_browser_cdp_session()
    processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return [int(process["id"]) for process in processes if process["type"] == "renderer"]


def _parents(processes: list[int]) -> set[int]:
    """Return the parents of the pages' processes: usually one small process that does nothing else."""
    parents = set()
    for process in processes:
        with suppress(OSError):
            status = (PROCESSES / str(process) / "status").read_text("utf-8")
            parents |= {int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:")}
    if not any(_children(parent) for parent in parents):
        raise MeasurementError(
            "the browser's processes cannot be found, so pages cannot be throttled",
            hint="CPU throttling needs Linux with /proc; elsewhere, skip first visits: --starts 0",
        )
    return parents


def _children(parent: int) -> set[int]:
    children: set[int] = set()
    with suppress(OSError):  # it may have ended
        for threads_children in (PROCESSES / str(parent) / "task").glob("*/children"):
            children |= set(map(int, threads_children.read_text("utf-8").split()))
    return children


def _is_renderer(process: int) -> bool:
    with suppress(OSError):
        return b"--type=renderer" in (PROCESSES / str(process) / "cmdline").read_bytes()
    return False


def _stop_and_continue(parents: set[int], factor: float, ended: Event) -> None:
    """Stop and continue until `ended`; each pause is as long as the time just run demands."""
    seen: dict[int, bool] = {}  # process → whether it is a renderer
    pauses, begun = 0, time.perf_counter()
    try:
        while not ended.is_set():
            if pauses % LOOK_EVERY == 0:
                children = set().union(*map(_children, parents))
                seen = {child: seen[child] if child in seen else _is_renderer(child) for child in children}
            time.sleep(RUN_S)
            _signal(seen, signal.SIGSTOP)
            stopped = time.perf_counter()
            time.sleep((stopped - begun) * (factor - 1))
            _signal(seen, signal.SIGCONT)
            begun = time.perf_counter()
            pauses += 1
    finally:
        _signal(seen, signal.SIGCONT)


def _signal(processes: dict[int, bool], number: int) -> None:
    for process, renders in processes.items():
        if renders:
            with suppress(ProcessLookupError):
                os.kill(process, number)
