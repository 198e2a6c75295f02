"""How long builds take, from nothing to a page: each case in a process of its own, with all that it starts."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version

from export.core.console import say
from export.core.environment.machine import cpu_model, operating_system
from export.core.errors import MeasurementError, RequestError
from export.core.files import write_atomically
from export.page.reports.measured.builds import CASES, SCHEMA_VERSION, BuildRow, BuildTimes, read_builds
from export.pipeline.durations import Durations

TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class _Usage:
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def find_cases(names: Sequence[str]) -> list[str]:
    """Return the names of cases, all for none, each behind the one that it goes on from; raises `RequestError`."""
    unknown = [name for name in names if name not in CASES]
    if unknown:
        raise RequestError(f"--case {','.join(unknown)}: there is none", hint=f"cases: {', '.join(CASES)}")
    wanted = set(names or CASES)
    wanted |= {CASES[name].after for name in wanted if CASES[name].after}
    return [name for name in CASES if name in wanted]


def measure_builds(names: Sequence[str], path: Path) -> BuildTimes:
    """Measure cases and write them to `path`, beside those of the same machine that are there and are not measured."""
    rows = _earlier(path)
    with tempfile.TemporaryDirectory(prefix="vit-pages-builds-") as scratch:
        for name in find_cases(names):
            say(f"{name}: {CASES[name].command}")
            rows[name] = _measure(name, Path(scratch))
            row = rows[name]
            say(f"  {row.seconds:.1f} s, {row.cpu_seconds:.1f} CPU s, {row.peak_bytes / 1e9:.2f} GB")
            times = _times([rows[case] for case in CASES if case in rows])
            write_atomically(path, (json.dumps(times.to_json(), indent=1) + "\n").encode())
    return times


def _earlier(path: Path) -> dict[str, BuildRow]:
    if not path.exists():
        return {}
    earlier = read_builds(path)
    same = earlier.to_json() | {"rows": []} == _times([]).to_json()
    if earlier.rows and not same:
        say(f"note: {path} was measured with another machine or other versions, and is measured anew")
    return {row.case: row for row in earlier.rows} if same else {}


def _times(rows: Sequence[BuildRow]) -> BuildTimes:
    return BuildTimes(
        schema_version=SCHEMA_VERSION,
        cpu=cpu_model(),
        logical_cores=os.cpu_count() or 1,
        os=operating_system(),
        python=python_version(),
        torch=version("torch"),
        rows=tuple(rows),
    )


def _measure(name: str, scratch: Path) -> BuildRow:
    case = CASES[name]
    folder = scratch / (case.after or name)
    artifacts = folder / "artifacts"
    command = [sys.executable, *case.python]
    if case.python[0] == "-m":
        command += ["--artifacts", str(artifacts)]
    if case.python[:2] == ("-m", "export.build"):
        none = str(folder / "none.json")
        command += ["--out", str(folder / "_site"), "--measurements", none, "--benchmark", none]
    before = _stages(artifacts) if case.after else {}
    usage = _run(command, scratch / f"{name}.log")
    stages = {stage: seconds for stage, seconds in _stages(artifacts).items() if before.get(stage) != seconds}
    return BuildRow(
        case=name, seconds=usage.seconds, cpu_seconds=usage.cpu_seconds, peak_bytes=usage.peak_bytes, stages=stages
    )


def _run(command: Sequence[str], log: Path) -> _Usage:
    """Run a command, and return what it and everything that it has started took."""
    with log.open("wb") as stream:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL)
        try:
            _, status, used = os.wait4(process.pid, 0)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = "\n    ".join(log.read_text(errors="replace", encoding="utf-8").splitlines()[-TAIL_LINES:])
        raise MeasurementError(f"{' '.join(command)} ended with exit code {process.returncode}:\n    {tail}")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return _Usage(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * unit)


def _stages(artifacts: Path) -> dict[str, float]:
    known = Durations(artifacts).all()
    return {f"{one.format} {one.recipe}".strip(): one.seconds for one in known}
