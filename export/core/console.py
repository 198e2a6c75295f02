"""The one place that prints, shows progress and decides exit codes."""

import atexit
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

from export.core.environment.extras import explain
from export.core.errors import ExportError, RequestError
from export.core.interrupts import INTERRUPTED, heeding_interrupts

if TYPE_CHECKING:
    from tqdm import tqdm

LINE_SECONDS = 60  # between lines on what takes long


class _Lines:
    """Lines of stages that may run at the same time: each is whole, whoever else prints meanwhile."""

    def __init__(self) -> None:
        self._lock, self._open = threading.Lock(), ""  # the beginning of a line that is to be continued

    def whole(self, text: str) -> None:
        with self._lock:
            self._print(f"{self._break()}{text}\n")

    def begin(self, text: str) -> None:
        with self._lock:
            self._print(f"{self._break()}{text}")
            self._open = text

    def end(self, begun: str, text: str) -> None:
        with self._lock:
            start = "" if self._open == begun else f"{self._break()}{begun}"
            self._print(f"{start}{text}\n")
            self._open = ""

    def _break(self) -> str:
        broken, self._open = self._open, ""
        return "\n" if broken else ""

    def _print(self, text: str) -> None:
        print(text, end="", flush=True)


_LINES = _Lines()


def say(text: str = "") -> None:
    """Print one line for the person at the terminal."""
    _LINES.whole(text)


@contextmanager
def stage(title: str) -> Iterator[Callable[[str], None]]:
    """Announce a stage and, when it ends well, say how long it took and what it noted (the yielded function)."""
    notes: list[str] = []
    begun, started = f"  {title} …", time.perf_counter()
    _LINES.begin(begun)
    try:
        yield notes.append
    except BaseException:
        _LINES.end(begun, " failed")
        raise
    _LINES.end(begun, "; ".join([f" {time.perf_counter() - started:.1f} s", *filter(None, notes)]))


def run(command: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end the process: 0 done, 1 failed, 2 the request cannot be met, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):  # names of files may have characters that the terminal has not
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        with heeding_interrupts():
            command(argv)
        sys.stdout.flush()
    except ExportError as error:
        _leave(error.exit_code, f"error: {error}")
    except ModuleNotFoundError as error:
        if (explained := explain(error)) is None:
            raise
        _leave(RequestError.exit_code, "error: {}\n  → {}".format(*explained))
    except KeyboardInterrupt:
        _leave(INTERRUPTED, "\ninterrupted; nothing that was published has been changed")
    except BrokenPipeError:  # whoever read our output has seen enough (head, less); Python must not flush to it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _leave(1)
    except OSError as error:
        _leave(1, f"error: {error}\n  → check free disk space and permissions, then run the command again")
    _leave(0)


def _leave(code: int, message: str = "") -> NoReturn:
    """End the process as Python does, except that the system frees its memory: object by object takes PyTorch a second.

    Threads are waited for, what is registered for the end is done, and output is written out.
    """
    if message:
        print(message, file=sys.stderr)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # which was said
            stream.flush()
    os._exit(code)


class Progress:
    """Counts steps and says, at each one, the time left at the pace so far."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.started = total, 0, time.perf_counter()

    def step(self, text: str, count: int = 1) -> None:
        """Count steps as done and say so."""
        self.done += count
        left = (time.perf_counter() - self.started) / self.done * (self.total - self.done)
        say(f"  [{self.done}/{self.total}] {text}" + (f"   about {format_seconds(left)} left" if left > 0 else ""))


class LongProgress:
    """A bar with the time left for what takes minutes or more; where nobody looks at it, a line a minute instead."""

    def __init__(self, title: str, total: int, unit: str, done: int = 0) -> None:
        self.title, self.total, self.unit, self.first, self.done = title, total, unit, done, done
        self.bar = bar(title, total, unit)
        self.bar.update(done)
        self.started = self.said = time.perf_counter()

    def __enter__(self) -> "LongProgress":
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def step(self, count: int = 1) -> None:
        """Count steps as done."""
        self.done += count
        self.bar.update(count)
        now = time.perf_counter()
        if self.bar.disable and now - self.said > LINE_SECONDS and self.done < self.total:
            self.said = now
            plural = "s" * self.unit.islower()
            say(f"  {self.title}: {self.done} of {self.total} {self.unit}{plural}, about {self.time_left()} left")

    def time_left(self) -> str:
        """Return the time left at the pace so far."""
        pace = (time.perf_counter() - self.started) / max(1, self.done - self.first)
        return format_seconds(pace * (self.total - self.done))


def format_seconds(seconds: float) -> str:
    """Write a duration as people say it: `40 s`, `3 min`."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def printable(name: str) -> str:
    """Return a name of a file with the bytes that are not UTF-8 written out, for texts and files."""
    return name.encode("utf-8", "backslashreplace").decode()


def several(names: Sequence[str], shown: int = 3) -> str:
    """Return the first of many names, and how many more there are."""
    return ", ".join(names[:shown]) + (f" … and {len(names) - shown} more" if len(names) > shown else "")


def bar(title: str, total: int | None = None, unit: str = "it") -> "tqdm[Any]":
    """Return a bar with the time left, which vanishes when it is done and is not drawn where nobody looks."""
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # its own would be a semaphore between processes, of which there is one
    return tqdm(desc=f"    {title}", total=total, unit=unit, leave=False, disable=None)
