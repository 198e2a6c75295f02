"""The one place that prints and decides exit codes."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from export.errors import ExportError

INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C


def say(text: str = "") -> None:
    """Print one line for the person at the terminal."""
    print(text, flush=True)


@contextmanager
def stage(title: str) -> Iterator[Callable[[str], None]]:
    """Announce a stage and, when it ends well, say how long it took and what it noted (the yielded function)."""
    notes: list[str] = []
    print(f"  {title} …", end="", flush=True)
    started = time.perf_counter()
    try:
        yield notes.append
    except BaseException:
        print(" failed", flush=True)
        raise
    print("; ".join([f" {time.perf_counter() - started:.1f} s", *notes]), flush=True)


def run(command: Callable[[Sequence[str] | None], None], argv: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 failed, 2 the request cannot be met, 130 interrupted."""
    try:
        command(argv)
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("\ninterrupted; nothing that was published has been changed", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has seen enough (head, less); Python must not flush to it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        print(f"error: {error}\n  → check free disk space and permissions, then run the command again", file=sys.stderr)
        sys.exit(1)
