"""What visitors measure on the page beside what the command measures, visit by visit, and what that is held to."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from export.core.errors import ArtifactError, RequestError
from export.core.figures.units import format_ms
from export.core.records import Environment
from export.core.schema import NonNegative, PositiveInt, Record, parse_json
from export.page.reports.markdown import UNKNOWN, Verdict, table, verdict_table

SCHEMA_VERSION = 3
MOST_SLOWER = 1.10  # the page's figure over the command's


class Visit(Record, frozen=True, kw_only=True):
    """One visit, and the command in turns with it.

    `page_rounds_ms` are the medians that the page shows after each click on Measure, and `page_ms` is their median,
    `page_threads` with how many threads; `first_ms` are the times of the answers before that, one after loading and the
    others each after a pause. `command_ms` are the command's medians before, between and after, by its threads;
    `command_first_ms` its first answers with all threads, asked for as the page's were.
    """

    page_ms: NonNegative
    page_rounds_ms: tuple[NonNegative, ...]
    page_threads: PositiveInt
    first_ms: tuple[NonNegative, ...]
    command_ms: dict[str, NonNegative]
    command_first_ms: tuple[NonNegative, ...]

    @property
    def first_slower(self) -> float:
        """How many times the command's first answers the page's are, by their medians."""
        return _ratio(self.first_ms, self.command_first_ms)


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
    def fastest_threads(self) -> frozenset[int]:
        """The number of threads with which the command is the fastest, and those that are as fast.

        The fastest has the lowest geometric mean of medians. Two medians of one visit met the same machine, so a number
        within `MOST_SLOWER` that is at times faster and at times slower is as fast, as far as the visits tell.
        """
        times = {int(count): [one.command_ms[count] for one in self.visits] for count in self.visits[0].command_ms}
        means = {count: statistics.geometric_mean(own) for count, own in times.items()}
        best = min(means, key=lambda count: means[count])
        return frozenset(
            count
            for count, own in times.items()
            if means[count] <= means[best] * MOST_SLOWER
            and any(ms <= least for ms, least in zip(own, times[best], strict=True))
        )

    def command_ms(self, one: Visit) -> float:
        """Return the command's figure beside a visit: the mean (geometric) of those numbers of threads.

        The lower of several that are equally fast would be the luckier one.
        """
        return statistics.geometric_mean(one.command_ms[str(count)] for count in self.fastest_threads)

    def slower(self, one: Visit) -> float:
        """Return how many times the command's figure the page's is."""
        return one.page_ms / self.command_ms(one)

    @property
    def first_slower(self) -> float:
        """How many times the command's first answers the page's are, by the medians of all visits."""
        page = [ms for one in self.visits for ms in one.first_ms]
        return _ratio(page, [ms for one in self.visits for ms in one.command_first_ms])


def _ratio(page: Sequence[float], command: Sequence[float]) -> float:
    """Return the ratio of the medians."""
    return statistics.median(page) / statistics.median(command)


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
    header = ("visit", "page", "threads", "command (threads)", "page / command", "first answers", "command's", "ratio")
    rows = [
        (
            str(number),
            f"{format_ms(one.page_ms)} ({', '.join(map(format_ms, one.page_rounds_ms))})",
            str(one.page_threads),
            ", ".join(f"{format_ms(ms)} ({threads})" for threads, ms in one.command_ms.items()),
            f"{file.slower(one):.2f}",
            ", ".join(map(format_ms, one.first_ms)),
            ", ".join(map(format_ms, one.command_first_ms)),
            f"{one.first_slower:.2f}",
        )
        for number, one in enumerate(file.visits, start=1)
    ]
    return "\n".join([f"{where} Medians of {file.runs} runs after each click.", "", *table(header, rows)])


def verdicts(file: VisitFile) -> list[Verdict]:
    """Return what every visit is held to."""
    slower = [file.slower(one) for one in file.visits]
    right = sum(one.page_threads in file.fastest_threads for one in file.visits)
    return [
        Verdict(
            criterion="the page's median over the command's, the largest of all visits",
            measured=f"{max(slower):.2f}, median {statistics.median(slower):.2f}",
            threshold=f"{MOST_SLOWER:.2f}",
            passed=max(slower) <= MOST_SLOWER,
        ),
        Verdict(
            criterion="visits in which the page found the fastest number of threads, or one that is as fast",
            measured=f"{right} of {len(file.visits)} (fastest: {' or '.join(map(str, sorted(file.fastest_threads)))})",
            threshold="all",
            passed=right == len(file.visits),
        ),
        Verdict(
            criterion="the page's first answers over the command's, by the medians of all visits",
            measured=f"{file.first_slower:.2f}",
            threshold=f"{MOST_SLOWER:.2f}",
            passed=file.first_slower <= MOST_SLOWER,
        ),
    ]
