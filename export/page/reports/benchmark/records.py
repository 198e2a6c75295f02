"""The figures of a benchmark of all engines, and their ratios; field names are the keys of `benchmark.json`."""

import statistics

from msgspec.structs import replace

from export.core.figures.stats import Figure, summarise
from export.core.records import Environment
from export.core.schema import Count, NonNegative, Number, Positive, PositiveInt, Record


class TargetResult(Record, frozen=True, kw_only=True):
    """Warm latency of one target on a back end with a number of threads; `rounds_ms` are the rounds' medians in order.

    `role` names the target in ratios. `cold` is the cold start on localhost, in milliseconds by phase; `sqnr_db` is
    that of the outputs against the float model, None where it is the same as with one thread.
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
    def runs_on(self) -> str:
        """The back end with its threads, for a reader."""
        return describe_backend(self.backend, self.threads)


def describe_backend(backend: str, threads: int) -> str:
    """Return `1 thread` or `2 threads` for WebAssembly, the back end's own name otherwise."""
    return f"{threads} thread{'s' * (threads > 1)}" if backend == "wasm" else backend


class FirstVisit(Record, frozen=True, kw_only=True):
    """Bytes downloaded until the first prediction, and seconds until it was there, with network and CPU throttled."""

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


class DispatchCount(Record, frozen=True, kw_only=True):
    """GPU dispatches per inference."""

    model: str
    role: str
    title: str
    backend: str
    count: Count


class Benchmark(Record, frozen=True, kw_only=True):
    """All figures. First visits had `mbit_per_s`, a round trip of `delay_ms`, and a CPU slowed by `cpu_slowdown`."""

    schema_version: int
    environment: Environment
    mbit_per_s: Positive
    delay_ms: NonNegative
    cpu_slowdown: Positive
    rows: tuple[TargetResult, ...]
    starts: tuple[FirstVisit, ...]
    programs: tuple[DispatchCount, ...] = ()

    def result(self, model: str, role: str, runs_on: str) -> TargetResult | None:
        """Return a target's result; `runs_on` is `1 thread`, `2 threads`, `webgl` and so on."""
        wanted = (model, role, runs_on)
        return next((row for row in self.rows if (row.model, row.role, row.runs_on) == wanted), None)

    def sqnr_is_that_of_one_thread(self, result: TargetResult) -> bool:
        """Whether a target's SQNR was measured with one thread and stands for this result too."""
        first = self.result(result.model, result.role, describe_backend("wasm", 1))
        return result.sqnr_db is None and first is not None and first.sqnr_db is not None

    def first_visit(self, model: str, role: str) -> FirstVisit | None:
        """Return a target's first visits."""
        return next((visit for visit in self.starts if (visit.model, visit.role) == (model, role)), None)

    def dispatches(self, model: str, role: str, backend: str) -> int | None:
        """Return a target's GPU dispatches per inference."""
        wanted = (model, role, backend)
        return next((one.count for one in self.programs if (one.model, one.role, one.backend) == wanted), None)


def merge_benchmarks(old: Benchmark, new: Benchmark) -> Benchmark | None:
    """Return both, models of `new` in place of the same of `old`; None where conditions or environment differ."""
    if replace(old, rows=(), starts=(), programs=()) != replace(new, rows=(), starts=(), programs=()):
        return None
    models = dict.fromkeys(row.model for row in (*old.rows, *new.rows))
    remeasured = {row.model for row in new.rows}
    sources = [(model, new if model in remeasured else old) for model in models]
    return replace(
        new,
        rows=tuple(row for model, source in sources for row in source.rows if row.model == model),
        starts=tuple(visit for model, source in sources for visit in source.starts if visit.model == model),
        programs=tuple(count for model, source in sources for count in source.programs if count.model == model),
    )


def ratio(benchmark: Benchmark, model: str, role: str, other: str, runs_on: str) -> Figure | None:
    """Return the median of latency over the other's, round by round, so that what slowed a round slowed both."""
    first, second = benchmark.result(model, role, runs_on), benchmark.result(model, other, runs_on)
    if first is None or second is None:
        return None
    return summarise([mine / theirs for mine, theirs in zip(first.rounds_ms, second.rounds_ms, strict=True)])
