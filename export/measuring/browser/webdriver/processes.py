"""Processes that live as long as a block, and what they say when they do not."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from export.core.errors import MeasurementError

START_S = 90.0  # a busy machine takes long
END_S = 10.0
LOOK_S = 0.05
TAIL = 5  # lines of what a process has said


@contextmanager
def started(
    command: Sequence[str | Path], ready: Callable[[], bool], *, env: Mapping[str, str] | None = None
) -> Iterator[None]:
    """Run a program within the block, which begins once it is `ready`; raises `MeasurementError` when it is not."""
    name = Path(command[0]).name
    with TemporaryFile("w+", encoding="utf-8", errors="replace") as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
        )
        try:
            deadline = time.monotonic() + START_S
            while not ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    said = "".join(f"\n    {line}" for line in log.read().splitlines()[-TAIL:])
                    end = f"ended with exit code {process.returncode}" if process.returncode is not None else "hangs"
                    raise MeasurementError(f"{name} does not start: it {end}{said}")
                time.sleep(LOOK_S)
            yield
        finally:
            process.terminate()
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def first_program(names: Sequence[str]) -> Path | None:
    """Return the first of these programs that is there: names are looked for on PATH, patterns with a / as files."""
    for name in names:
        found = sorted(Path("/").glob(name.lstrip("/"))) if "/" in name else [shutil.which(name)]
        if found and found[-1]:
            return Path(found[-1])
    return None
