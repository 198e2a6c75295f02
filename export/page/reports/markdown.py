"""The parts that every Markdown table of figures is written with."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from export.core.errors import RequestError

UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """An acceptance criterion beside what was measured; `passed` is None where nothing was."""

    criterion: str
    measured: str
    threshold: str
    passed: bool | None

    @property
    def result(self) -> str:
        """PASS, FAIL, or that nothing was measured."""
        return UNKNOWN if self.passed is None else "PASS" if self.passed else "FAIL"

    def line(self) -> str:
        """Return one line for a terminal."""
        return f"{self.result}: {self.criterion}: {self.measured} (threshold {self.threshold})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A titled table; cells are text in which backticks enclose code. A `note` follows it."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    @property
    def markdown(self) -> str:
        """The table, and its note, without the title."""
        return "\n".join([*table(self.header, self.rows), *(["", self.note] if self.note else [])])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    return [_row(header), f"|{'---|' * len(header)}", *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def spread(value: float, low: float, high: float, n: int, write: Callable[[float], str]) -> str:
    """Return a figure with its spread and the number of samples: `15.0 ms (14.2 ms – 17.3 ms, n=90)`."""
    return f"{write(value)} ({write(low)} – {write(high)}, n={n:,})"


def verdict_table(verdicts: Iterable[Verdict]) -> list[str]:
    """Return acceptance criteria as a table."""
    rows = [(one.criterion, one.measured, one.threshold, one.result) for one in verdicts]
    return table(("acceptance criterion", "measured", "threshold", "result"), rows)


def fill(document: str, section: str, text: str) -> str:
    """Return a document with `text` between the marks of a section; raises `RequestError` where they are missing."""
    start, stop = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
    head, begin, rest = document.partition(start)
    _, end, tail = rest.partition(stop)
    if not begin or not end:
        raise RequestError(
            f"the document has no section {section}: it needs the lines {start} and {stop}",
            hint="restore the document from the repository",
        )
    return f"{head}{start}\n{text}\n{stop}{tail}"
