"""Faults that are tried on purpose: the kinds, what became of them, and the tables of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from export.core.errors import ArtifactError, RequestError
from export.core.figures.units import format_bytes
from export.core.schema import Count, NonNegative, PositiveInt, Record, parse_json
from export.page.reports.markdown import UNKNOWN, Verdict, table, verdict_table

SCHEMA_VERSION = 1
COMMAND = "make faults"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A kind of fault: its `title`, what counts as a clear `answer` to it, and how many are to be tried at least."""

    title: str
    answer: str
    at_least: int


GROUPS: dict[str, Group] = {
    "inputs": Group(
        title="bad command lines, checkpoints, labels, data, archives, recipes and files of figures",
        answer="exit code 2 (or 1 for a failure), one message with the next step, no traceback",
        at_least=60,
    ),
    "pictures": Group(
        title="files chosen in the page that are no good pictures",
        answer="a message with the next step, or the picture's classes with a notice",
        at_least=10,
    ),
    "artifacts": Group(
        title="files that the page or a build loads, flipped or cut at 200 places each",
        answer="refused by hash, or by the loader with a message",
        at_least=5_000,
    ),
    "engine": Group(
        title="mutated files of the vit engine, loaded by a build with bounds checks",
        answer="refused with a reason, or loaded and run within bounds",
        at_least=1_000_000,
    ),
    "network": Group(
        title="network faults: 404 as HTML, 429, 500, slow, wrong length, cut, stale cache, redirect",
        answer="a message that names the file, nothing rotten kept, and the next try succeeds",
        at_least=60,
    ),
    "kills": Group(
        title="`kill -9` of build, quantize and train, at 20 points each",
        answer="what is there is whole, and the next run's files equal those of an undisturbed one",
        at_least=60,
    ),
    "runtimes": Group(
        title="planted wrong runtimes: NaN, zeros, permuted, repeated and slightly wrong outputs",
        answer="refused by the self-test, by name",
        at_least=10,
    ),
    "memory": Group(
        title="1,000 inferences, 50 switches between models",
        answer="the memory of page and worker, and of Chromium's process, does not grow with the repetitions",
        at_least=2,
    ),
}


class FaultRow(Record, frozen=True, kw_only=True):
    """What became of a group's faults: those `tried`, and of them those answered clearly, wrongly, never or by halves.

    `left_out` are tests that could not be run where they were.
    """

    group: str
    tried: Count
    left_out: Count
    answered: Count
    wrong: Count
    hung: Count
    half_written: Count


class Growth(Record, frozen=True, kw_only=True):
    """Bytes of a kind of memory before and after `n` repetitions of something."""

    memory: str
    repeated: str
    n: PositiveInt
    before: Count
    after: Count


class FaultsFile(Record, frozen=True, kw_only=True):
    """The whole file: where it was run, how long it took, and what became of each group; `full` when all were tried."""

    schema_version: int
    full: bool
    cpu: str
    logical_cores: PositiveInt
    os: str
    python: str
    node: str
    chromium: str
    seconds: NonNegative
    rows: tuple[FaultRow, ...]
    growth: tuple[Growth, ...]


def read_faults(path: Path) -> FaultsFile:
    """Read a file of faults; raises `RequestError` for anything else."""
    try:
        found = FaultsFile.from_json(parse_json(path.read_bytes()))
    except (OSError, ArtifactError) as error:
        raise RequestError(f"{path} is not a file of faults: {error}", hint=f"run: {COMMAND}") from error
    unknown = [row.group for row in found.rows if row.group not in GROUPS]
    if found.schema_version != SCHEMA_VERSION or unknown:
        raise RequestError(
            f"{path} is of another version (schema_version {found.schema_version}, groups {', '.join(unknown)})",
            hint=f"run: {COMMAND}",
        )
    return found


def faults_section(found: FaultsFile) -> str:
    """Return the tables: what became of each group, what is aimed at, and how memory grew."""
    size = "Everything was tried" if found.full else "Only the part that the test suite runs was tried"
    lines = [
        f"{found.cpu}, {found.logical_cores} logical cores, {found.os}, Python {found.python}, Node {found.node}, "
        f"{found.chromium}. {size}, in {found.seconds / 60:.0f} minutes.",
        "",
        *rows_table(found.rows),
        "",
        *table(("fault", "what counts as answered"), [(group.title, group.answer) for group in GROUPS.values()]),
        "",
        *verdict_table(verdicts(found)),
        "",
        *table(
            ("memory, in Chromium", "before", "after"),
            [
                (f"{one.memory}, {one.n:,} {one.repeated}", format_bytes(one.before), format_bytes(one.after))
                for one in found.growth
            ],
        ),
    ]
    return "\n".join(lines)


def rows_table(rows: Iterable[FaultRow]) -> list[str]:
    """Return the table of what became of each group."""
    header = ("fault", "tried", "answered clearly", "wrong answers", "hung", "half-written", "left out")
    return table(header, [(GROUPS[row.group].title, *_cells(row)) for row in rows])


def _cells(row: FaultRow) -> tuple[str, ...]:
    share = f"{100 * row.answered / row.tried:.4g} %" if row.tried else UNKNOWN
    numbers = (row.wrong, row.hung, row.half_written, row.left_out)
    return (f"{row.tried:,}", f"{row.answered:,} ({share})", *(f"{number:,}" for number in numbers))


def verdicts(found: FaultsFile) -> list[Verdict]:
    """Return what each group is held to: how many are tried, and that all of them are answered."""
    rows = {row.group: row for row in found.rows}
    return [_verdict(group, rows.get(name)) for name, group in GROUPS.items()]


def _verdict(group: Group, row: FaultRow | None) -> Verdict:
    return Verdict(
        criterion=group.title,
        measured=UNKNOWN if row is None else f"{row.answered:,} of {row.tried:,}",
        threshold=f"all of {group.at_least:,} or more",
        passed=None if row is None else row.answered == row.tried >= group.at_least,
    )
