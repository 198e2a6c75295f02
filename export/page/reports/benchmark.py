"""What a benchmark of all engines found, and its ratios."""

import statistics

from msgspec.structs import replace

from export.core.records import Environment
from export.core.schema import Count, NonNegative, Number, Positive, PositiveInt, Record
from export.core.stats import Figure, summarise


class Row(Record, frozen=True, kw_only=True):
    """One contender on a back end, with so many threads; `rounds_ms` are its rounds' medians, in their order.

    `role` is what stands in ratios. `cold` are the milliseconds of a start on localhost by phase; `sqnr_db` is that of
    the outputs against the float model, None where it is the same as with one thread.
    """

    model: str
    role: str
    title: str
    engine: str
    threads: PositiveInt
    rounds_ms: tuple[Positive, ...]
    n: PositiveInt
    latency_ms: Positive
    p10: Positive
    p90: Positive
    cold: dict[str, NonNegative]
    sqnr_db: Number | None
    backend: str = "wasm"

    @property
    def lane(self) -> str:
        """Where it ran, for a reader."""
        return lane_title(self.backend, self.threads)


def lane_title(backend: str, threads: int) -> str:
    """Return the name of a back end with so many threads, among which contenders take turns."""
    return f"{threads} thread{'s' * (threads > 1)}" if backend == "wasm" else backend


class Start(Record, frozen=True, kw_only=True):
    """A first visit: all bytes until the first answer, and the seconds it took on a slow line and processor."""

    model: str
    role: str
    title: str
    bytes: Count
    gzip_bytes: Count
    brotli_bytes: Count
    seconds: tuple[Positive, ...]

    @property
    def median_s(self) -> float:
        """The median of `seconds`."""
        return statistics.median(self.seconds)


class Programs(Record, frozen=True, kw_only=True):
    """How many programs a GPU is told to run for an image; no time, and hardly a matter of which GPU it is."""

    model: str
    role: str
    title: str
    backend: str
    count: Count


class Benchmark(Record, frozen=True, kw_only=True):
    """A whole run; starts had `mbit_per_s`, answers `delay_ms` later, and the `cpu_slowdown`-th part of the time."""

    schema_version: int
    environment: Environment
    mbit_per_s: Positive
    delay_ms: NonNegative
    cpu_slowdown: Positive
    rows: tuple[Row, ...]
    starts: tuple[Start, ...]
    programs: tuple[Programs, ...] = ()

    def row(self, model: str, role: str, lane: str) -> Row | None:
        """Return a contender's row; `lane` is `1 thread`, `2 threads`, `webgl` and so on."""
        return next((row for row in self.rows if (row.model, row.role, row.lane) == (model, role, lane)), None)

    def start(self, model: str, role: str) -> Start | None:
        """Return a contender's first visit."""
        return next((start for start in self.starts if (start.model, start.role) == (model, role)), None)

    def count(self, model: str, role: str, backend: str) -> int | None:
        """Return how many programs a contender has a GPU run for an image."""
        wanted = (model, role, backend)
        return next((one.count for one in self.programs if (one.model, one.role, one.backend) == wanted), None)


def joined(old: Benchmark, new: Benchmark) -> Benchmark | None:
    """Return both, models measured anew in the places of the old ones; None where they were not measured alike."""
    if replace(old, rows=(), starts=(), programs=()) != replace(new, rows=(), starts=(), programs=()):
        return None
    models = dict.fromkeys(row.model for row in (*old.rows, *new.rows))
    anew = {row.model for row in new.rows}
    sources = [new if model in anew else old for model in models]
    parts = list(zip(models, sources, strict=True))
    return replace(
        new,
        rows=tuple(row for model, one in parts for row in one.rows if row.model == model),
        starts=tuple(start for model, one in parts for start in one.starts if start.model == model),
        programs=tuple(found for model, one in parts for found in one.programs if found.model == model),
    )


def ratio(found: Benchmark, model: str, role: str, other: str, lane: str) -> Figure | None:
    """Return the median of latency over the other's, round by round, so that what slowed a round slowed both."""
    first, second = found.row(model, role, lane), found.row(model, other, lane)
    if first is None or second is None:
        return None
    return summarise([mine / theirs for mine, theirs in zip(first.rounds_ms, second.rounds_ms, strict=True)])
