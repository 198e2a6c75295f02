"""What is tried of faults in all tests marked `faults`: counted, shown at the end, and kept with `--faults-report`.

A test that is marked and does not count counts as one: answered when it passes, unclear when it fails.
"""

import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from platform import python_version
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from export.core.environment.machine import cpu_model, operating_system
from export.core.files import write_atomically
from export.measuring.browser.chromium import SYSTEM_NAMES
from export.page.reports.faults import GROUPS, SCHEMA_VERSION, FaultRow, FaultsFile, Growth, read_faults, rows_table

Verdict = Literal["answered", "unclear", "wrong", "hung", "half_written"]
LEFT_OUT, PROPERTY, SHOWN = "left_out", "faults", 20


class Tally:
    """What became of the faults that one test tries; the test fails when one of them was not answered."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.growth: list[Growth] = []

    def count(self, verdict: Verdict, what: str = "", n: int = 1) -> None:
        """Count `n` faults of a verdict; `what` says which, for any that is not `answered`."""
        self.counts[verdict] += n
        if verdict != "answered" and n:
            self.failures.append(f"{verdict}: {what}")

    def check(self) -> None:
        """Fail over what was not answered."""
        shown = self.failures[:SHOWN]
        assert not self.failures, f"{len(self.failures)} of {self.counts.total()}:\n" + "\n".join(shown)


KEY = pytest.StashKey[Tally]()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """Where the test counts what it tries."""
    tally = request.node.stash[KEY] = Tally()
    return tally


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether everything is tried, or only so much that the suite stays short."""
    return bool(request.config.getoption("--faults-full"))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption("--faults-full", action="store_true", help="try all faults, not a small part of them")
    group.addoption("--faults-only", metavar="GROUP,…", default="", help=f"only some groups of {', '.join(GROUPS)}")
    group.addoption(
        "--faults-report",
        type=Path,
        metavar="FILE",
        help="write what became of them; with --faults-only, what is there of other groups stays",
    )


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # a worker's reports arrive at the process that started it
        config.pluginmanager.register(Report(config))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    only = _only(config)
    if not only:
        return
    groups = [mark.args[0] if (mark := item.get_closest_marker("faults")) else None for item in items]
    config.hook.pytest_deselected(items=[item for item, group in zip(items, groups, strict=True) if group not in only])
    items[:] = [item for item, group in zip(items, groups, strict=True) if group in only]


def _only(config: pytest.Config) -> tuple[str, ...]:
    only = tuple(name for name in config.getoption("--faults-only").split(",") if name)
    unknown = [name for name in only if name not in GROUPS]
    if unknown:
        raise pytest.UsageError(f"--faults-only {unknown[0]}: the groups are {', '.join(GROUPS)}")
    return only


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    yield
    if KEY in item.stash:
        item.stash[KEY].check()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield  # type: ignore[assignment, misc]
    mark = item.get_closest_marker("faults")
    if mark is not None and (call.when == "call" or (call.when == "setup" and not report.passed)):
        tally = item.stash.get(KEY, None) or Tally()
        counts = Counter(tally.counts)
        if report.skipped:
            counts[LEFT_OUT] += 1
        elif report.failed and not tally.failures:
            counts["unclear"] += 1
        elif KEY not in item.stash:
            counts["answered"] += 1
        grown = [one.to_json() for one in tally.growth]
        report.user_properties.append((PROPERTY, {"group": mark.args[0], "counts": dict(counts), "growth": grown}))
    return report  # type: ignore[return-value]


class Report:
    """Adds up what the tests of all processes tell."""

    def __init__(self, config: pytest.Config) -> None:
        self.started = time.perf_counter()
        self.counts: dict[str, Counter[str]] = {}
        self.growth: list[Growth] = []
        self.path: Path | None = config.getoption("--faults-report")
        self.found = None if self.path is None else _place(config)
        if self.path is not None and self.path.exists() and _only(config):
            self.found = _same_place(read_faults(self.path), self.found)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, told in report.user_properties:
            if name == PROPERTY:
                values: Any = told
                self.counts.setdefault(values["group"], Counter()).update(values["counts"])
                self.growth += [Growth.from_json(one) for one in values["growth"]]

    def rows(self) -> tuple[FaultRow, ...]:
        """Return what became of each group's faults, in the order of the table."""
        unknown = set(self.counts) - set(GROUPS)
        assert not unknown, f"{unknown} are not among {list(GROUPS)}"
        return tuple(_row(group, self.counts[group]) for group in GROUPS if group in self.counts)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.counts:
            terminalreporter.section("faults")
            for line in rows_table(self.rows()):
                terminalreporter.line(line)

    def pytest_sessionfinish(self) -> None:
        if self.path is None or self.found is None:
            return
        rows = {row.group: row for row in (*self.found.rows, *self.rows())}
        found = replace(
            self.found,
            rows=tuple(rows[group] for group in GROUPS if group in rows),
            growth=tuple(self.growth) or self.found.growth,
            seconds=round(self.found.seconds + time.perf_counter() - self.started, 1),
        )
        write_atomically(self.path, (json.dumps(found.to_json(), indent=1) + "\n").encode())


def _place(config: pytest.Config) -> FaultsFile:
    """Return where and how much is tried, without rows."""
    return FaultsFile(
        schema_version=SCHEMA_VERSION,
        full=bool(config.getoption("--faults-full")),
        cpu=cpu_model(),
        logical_cores=os.cpu_count() or 1,
        os=operating_system(),
        python=python_version(),
        node=_version("node"),
        chromium=_version(*SYSTEM_NAMES),
        seconds=0.0,
        rows=(),
        growth=(),
    )


def _same_place(earlier: FaultsFile, here: FaultsFile | None) -> FaultsFile:
    """Return the earlier file, whose rows of other groups stay; raises `UsageError` when it is not of this machine."""
    if replace(earlier, rows=(), growth=(), seconds=0.0) != here:
        raise pytest.UsageError("--faults-report: the file is of another machine, other programs or another extent")
    return earlier


def _row(group: str, counts: Counter[str]) -> FaultRow:
    tried = counts.total() - counts[LEFT_OUT]
    return FaultRow(
        group=group, tried=tried, **{name: counts[name] for name in FaultRow.__struct_fields__ if name in COUNTED}
    )


COUNTED = ("left_out", "answered", "wrong", "hung", "half_written")


def _version(*names: str) -> str:
    programs: Sequence[str] = [path for name in names if (path := shutil.which(name))]
    if not programs:
        return "none"
    asked = subprocess.run([programs[0], "--version"], capture_output=True, text=True, check=False)
    return asked.stdout.strip()
