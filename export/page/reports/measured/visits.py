"""What visitors measure on the page beside what the command measures, visit by visit, and what that is held to."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from export.core.errors import ArtifactError, RequestError
from export.core.figures.units import format_ms
from export.core.records import Environment
from export.core.schema import NonNegative, PositiveInt, Record, parse_json
from export.page.reports.markdown import UNKNOWN, Verdict, table, verdict_table

SCHEMA_VERSION = 4
MOST_SLOWER = 1.10  # the page's figure over the command's


class Visit(Record, frozen=True, kw_only=True):
    """One visit, and the command in turns with it.

    `page_rounds_ms` are the medians that the page shows after each click on Measure, `page_threads` with how many
    threads; `first_ms` are the times of the answers before that, one after loading and the others each after a pause.
    `command_rounds_ms` are the command's medians before, between and after, by its threads; `command_first_ms` its
    first answers with all threads, asked for as the page's were.
    """

    page_rounds_ms: tuple[NonNegative, ...]
    page_threads: PositiveInt
    first_ms: tuple[NonNegative, ...]
    command_rounds_ms: dict[str, tuple[NonNegative, ...]]
    command_first_ms: tuple[NonNegative, ...]

    @property
    def page_ms(self) -> float:
        """The page's figure: the geometric mean of what it shows."""
        return statistics.geometric_mean(self.page_rounds_ms)

    def command_ms(self, threads: int) -> float:
        """Return the command's figure with so many threads: the geometric mean of its medians."""
        return statistics.geometric_mean(self.command_rounds_ms[str(threads)])

    def relative_error(self, threads: Iterable[int]) -> float:
        """Return the relative standard error of the page's figure over the command's with these numbers of threads."""
        commands = [self.command_rounds_ms[str(count)] for count in threads]
        command = sum(_log_variance(one) for one in commands) / len(commands) ** 2
        return math.sqrt(_log_variance(self.page_rounds_ms) + command)

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

        The fastest has the lowest geometric mean of its figures. Two figures of one visit met the same machine, so a
        number within `MOST_SLOWER` that is at times faster and at times slower is as fast, as far as the visits tell.
        """
        counts = map(int, self.visits[0].command_rounds_ms)
        times = {count: [one.command_ms(count) for one in self.visits] for count in counts}
        means = {count: statistics.geometric_mean(own) for count, own in times.items()}
        best = min(means, key=lambda count: means[count])
        return frozenset(
            count
            for count, own in times.items()
            if means[count] <= means[best] * MOST_SLOWER
            and any(ms <= least for ms, least in zip(own, times[best], strict=True))
        )

    def slower(self, one: Visit) -> float:
        """Return how many times the command's figure the page's is.

        The command's is the mean (geometric) of those numbers of threads that are equally fast: the lower of several
        would be the luckier one.
        """
        return one.page_ms / statistics.geometric_mean(map(one.command_ms, self.fastest_threads))

    @property
    def first_slower(self) -> float:
        """How many times the command's first answers the page's are, by the medians of all visits."""
        page = [ms for one in self.visits for ms in one.first_ms]
        return _ratio(page, [ms for one in self.visits for ms in one.command_first_ms])


def _log_variance(times: Sequence[float]) -> float:
    """Return the variance of the mean of logarithms, endless for a single one."""
    return statistics.variance(map(math.log, times)) / len(times) if len(times) > 1 else math.inf


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
    header = (
        *("visit", "page", "clicks", "threads", "command (threads)", "page / command"),
        *("first answers", "command's", "ratio"),
    )
    rows = [
        (
            str(number),
            format_ms(one.page_ms),
            str(len(one.page_rounds_ms)),
            str(one.page_threads),
            ", ".join(f"{format_ms(one.command_ms(int(threads)))} ({threads})" for threads in one.command_rounds_ms),
            f"{file.slower(one):.2f} ± {one.relative_error(file.fastest_threads):.2f}",
            ", ".join(map(format_ms, one.first_ms)),
            ", ".join(map(format_ms, one.command_first_ms)),
            f"{one.first_slower:.2f}",
        )
        for number, one in enumerate(file.visits, start=1)
    ]
    how = f"Medians of {file.runs} runs after each click, and their geometric mean; ± is one standard error."
    return "\n".join([f"{where} {how}", "", *table(header, rows)])


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
