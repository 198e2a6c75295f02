"""What visitors measure on the page beside what the command measures, visit by visit, and what that is held to."""

import statistics
from collections.abc import Mapping
from pathlib import Path

from export.core.errors import ArtifactError, RequestError
from export.core.records import Environment
from export.core.schema import NonNegative, PositiveInt, Record, parse_json
from export.core.units import format_ms
from export.page.reports.markdown import UNKNOWN, Verdict, table, verdict_table

SCHEMA_VERSION = 1
MOST_SLOWER = 1.10  # the page's median over the command's


class Visit(Record, frozen=True, kw_only=True):
    """One visit, and the command right before and after it.

    `page_ms` is the median that the page shows after a click on Measure, `page_threads` with how many threads;
    `first_ms` are the times of the answers before that. `command_ms` are the command's medians, by its threads.
    """

    page_ms: NonNegative
    page_threads: PositiveInt
    first_ms: tuple[NonNegative, ...]
    command_ms: dict[str, NonNegative]

    @property
    def slower(self) -> float:
        """How many times the command's figure the page's is."""
        return self.page_ms / min(self.command_ms.values())

    @property
    def first_slower(self) -> float:
        """How many times the command's figure the median of the first answers is."""
        return statistics.median(self.first_ms) / min(self.command_ms.values())


class VisitFile(Record, frozen=True, kw_only=True):
    """The whole file: where, what, with how many runs each, and a row for each visit."""

    schema_version: int
    environment: Environment
    model: str
    variant: str
    artifact_sha256: str
    runs: PositiveInt
    visits: tuple[Visit, ...]

    @property
    def fastest_threads(self) -> int:
        """The number of threads with the command's lowest median of all visits: other work on the machine adds time."""
        counts = self.visits[0].command_ms
        return int(min(counts, key=lambda threads: min(one.command_ms[threads] for one in self.visits)))


def read_visits(path: Path) -> VisitFile:
    """Read a file of visits; raises `RequestError` for anything else."""
    try:
        file = VisitFile.from_json(parse_json(path.read_bytes()))
    except (OSError, ArtifactError) as error:
        message = f"{path} is not a file of visits: {error}"
        raise RequestError(message, hint="run: python -m export.measure --visits 5") from error
    return file


def visits_section(found: Mapping[str, VisitFile | None]) -> str:
    """Return the visits to an idle and to a busy machine, each with what they are held to."""
    parts = []
    for load, file in found.items():
        what = UNKNOWN if file is None else "\n".join([visits_table(file), "", *verdict_table(verdicts(file))])
        parts.append(f"With the machine {load}: {what}")
    return "\n\n".join(parts)


def visits_table(file: VisitFile) -> str:
    """Return the visits as a table."""
    place = file.environment
    where = (
        f"{file.model} {file.variant}, {place.browser} on {place.cpu}, {place.logical_cores} logical cores, {place.os}."
    )
    header = ("visit", "page", "threads", "command (threads)", "page / command", "first answers", "first / command")
    rows = [
        (
            str(number),
            format_ms(one.page_ms),
            str(one.page_threads),
            ", ".join(f"{format_ms(ms)} ({threads})" for threads, ms in one.command_ms.items()),
            f"{one.slower:.2f}",
            ", ".join(map(format_ms, one.first_ms)),
            f"{one.first_slower:.2f}",
        )
        for number, one in enumerate(file.visits, start=1)
    ]
    return "\n".join([f"{where} Medians of {file.runs} runs.", "", *table(header, rows)])


def verdicts(file: VisitFile) -> list[Verdict]:
    """Return what every visit is held to."""
    slower = [one.slower for one in file.visits]
    right = sum(one.page_threads == file.fastest_threads for one in file.visits)
    return [
        Verdict(
            criterion="the page's median over the command's, the largest of all visits",
            measured=f"{max(slower):.2f}, median {statistics.median(slower):.2f}",
            threshold=f"{MOST_SLOWER:.2f}",
            passed=max(slower) <= MOST_SLOWER,
        ),
        Verdict(
            criterion="visits in which the page found the fastest number of threads",
            measured=f"{right} of {len(file.visits)}",
            threshold="all",
            passed=right == len(file.visits),
        ),
    ]
