"""A benchmark as the results page shows it: marks of a chart, and the rows of its tables."""

from dataclasses import dataclass
from pathlib import Path

from export.core.records import Environment
from export.core.stats import Figure
from export.page.reports.benchmark import Benchmark, Programs, Row, Start, ratio
from export.page.results_view import read_figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A contender: its bar in percent of the slowest one's (p10, median, p90), and how many times the first's time."""

    row: Row
    title: str
    bar: tuple[float, float, float]
    ratio: Figure | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The contenders that took turns: on one back end, with so many threads."""

    title: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkView:
    """One model's part of a benchmark."""

    model: str
    place: Environment
    mbit_per_s: float
    delay_ms: float
    cpu_slowdown: float
    groups: tuple[Group, ...]
    starts: tuple[Start, ...]
    programs: tuple[Programs, ...]


def read_benchmark(path: Path | None) -> Benchmark | None:
    """Read what `export.measure --benchmark` wrote; raises `RequestError` when it is something else."""
    return None if path is None else read_figures(path, Benchmark, "a benchmark", "measure --benchmark")


def views(found: Benchmark | None) -> tuple[BenchmarkView, ...]:
    """Return every model's part, in the order of the run."""
    if found is None:
        return ()
    return tuple(_view(found, model) for model in dict.fromkeys(row.model for row in found.rows))


def _view(found: Benchmark, model: str) -> BenchmarkView:
    rows = [row for row in found.rows if row.model == model]
    groups = tuple(_group(found, rows, lane) for lane in dict.fromkeys(row.lane for row in rows))
    return BenchmarkView(
        model=model,
        place=found.environment,
        mbit_per_s=found.mbit_per_s,
        delay_ms=found.delay_ms,
        cpu_slowdown=found.cpu_slowdown,
        groups=groups,
        starts=tuple(start for start in found.starts if start.model == model),
        programs=tuple(one for one in found.programs if one.model == model),
    )


def _group(found: Benchmark, rows: list[Row], lane: str) -> Group:
    own = [row for row in rows if row.lane == lane]
    slowest = max(row.p90 for row in own)
    marks = tuple(
        Mark(
            row=row,
            title=row.title.replace("`", ""),
            ratio=ratio(found, row.model, row.role, own[0].role, lane),
            bar=(_percent(row.p10, slowest), _percent(row.latency_ms, slowest), _percent(row.p90, slowest)),
        )
        for row in own
    )
    return Group(title=lane, marks=marks)


def _percent(value: float, whole: float) -> float:
    return round(100 * value / whole, 2)
