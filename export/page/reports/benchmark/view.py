"""A benchmark as the results page shows it: marks of a chart, and the rows of its tables."""

from dataclasses import dataclass
from pathlib import Path

from export.core.figures.stats import Figure
from export.core.records import Environment
from export.page.reports.benchmark.records import Benchmark, DispatchCount, FirstVisit, TargetResult, ratio
from export.page.results_view import read_figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A target: its bar in percent of the slowest one's (p10, median, p90), and its latency relative to the first.

    `same_sqnr`: its SQNR is that with one thread.
    """

    result: TargetResult
    title: str
    bar: tuple[float, float, float]
    ratio: Figure | None
    same_sqnr: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The targets that were compared on one back end with a number of threads."""

    title: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkView:
    """One model's part of a benchmark."""

    model: str
    environment: Environment
    mbit_per_s: float
    delay_ms: float
    cpu_slowdown: float
    groups: tuple[Group, ...]
    first_visits: tuple[FirstVisit, ...]
    dispatches: tuple[DispatchCount, ...]


def read_benchmark(path: Path | None) -> Benchmark | None:
    """Read what `export.measure --benchmark` wrote; raises `RequestError` when it is something else."""
    return None if path is None else read_figures(path, Benchmark, "a benchmark", "measure --benchmark")


def views(benchmark: Benchmark | None) -> tuple[BenchmarkView, ...]:
    """Return every model's part, in the order in which they were measured."""
    if benchmark is None:
        return ()
    return tuple(_view(benchmark, model) for model in dict.fromkeys(row.model for row in benchmark.rows))


def _view(benchmark: Benchmark, model: str) -> BenchmarkView:
    results = [row for row in benchmark.rows if row.model == model]
    groups = tuple(_group(benchmark, results, runs_on) for runs_on in dict.fromkeys(row.runs_on for row in results))
    return BenchmarkView(
        model=model,
        environment=benchmark.environment,
        mbit_per_s=benchmark.mbit_per_s,
        delay_ms=benchmark.delay_ms,
        cpu_slowdown=benchmark.cpu_slowdown,
        groups=groups,
        first_visits=tuple(visit for visit in benchmark.starts if visit.model == model),
        dispatches=tuple(count for count in benchmark.programs if count.model == model),
    )


def _group(benchmark: Benchmark, results: list[TargetResult], runs_on: str) -> Group:
    compared = [result for result in results if result.runs_on == runs_on]
    slowest = max(result.p90 for result in compared)
    marks = tuple(
        Mark(
            result=result,
            title=result.title.replace("`", ""),
            ratio=ratio(benchmark, result.model, result.role, compared[0].role, runs_on),
            same_sqnr=benchmark.sqnr_is_that_of_one_thread(result),
            bar=(_percent(result.p10, slowest), _percent(result.latency_ms, slowest), _percent(result.p90, slowest)),
        )
        for result in compared
    )
    return Group(title=runs_on, marks=marks)


def _percent(value: float, whole: float) -> float:
    return round(100 * value / whole, 2)
