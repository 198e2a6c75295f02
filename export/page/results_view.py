"""Measurements laid out as the results page shows them: by model, variant, back end and threads."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from export.core.errors import ArtifactError, RequestError
from export.core.records import SCHEMA_VERSION, Measurement, MeasurementFile
from export.core.schema import Record, parse_json
from export.page.inventory import PublishedModel, Variant

File = TypeVar("File", bound=Record)
LATENCY, TOP1, AGREEMENT, COSINE = "latency_ms", "top1", "agreement", "cosine"
NATIVE = "pytorch"  # the engine of the float reference
COLD = ("download_ms", "decode_ms", "compile_ms", "first_run_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One variant on one back end; figures that were not measured are None, and without any `backend` is too.

    `agreement` is the share of images with PyTorch's top-1, `cosine` the likeness of a feature model's outputs.
    """

    variant: Variant
    backend: str | None
    threads: int | None
    latency: Measurement | None
    top1: Measurement | None
    agreement: Measurement | None
    cosine: Measurement | None
    cold: tuple[Measurement | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartRow:
    """Marks of one variant in percent of the axis: size, median latency with its spread, accuracy with its interval."""

    row: ResultRow
    size: float
    latency: tuple[float, float, float] | None
    top1: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResults:
    """One model's table; `reference` is PyTorch's accuracy on the same images, `axis` the chart's accuracies."""

    name: str
    title: str
    random: bool
    features: bool
    rows: tuple[ResultRow, ...]
    reference: Measurement | None
    chart: tuple[ChartRow, ...]
    axis: tuple[float, float] | None


def read_measurements(path: Path | None) -> MeasurementFile | None:
    """Read `measurements.json`; raises `RequestError` when it is something else."""
    return None if path is None else read_figures(path, MeasurementFile, "a measurements file", "measure")


def read_figures(path: Path, kind: type[File], what: str, command: str) -> File:
    """Read a file of figures that `export.<command>` wrote; raises `RequestError` when it is something else."""
    try:
        values = parse_json(path.read_bytes())
        if isinstance(values, dict) and values.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
            raise ArtifactError(f"schema_version is {values['schema_version']}, not {SCHEMA_VERSION}")
        return kind.from_json(values)
    except (OSError, ArtifactError) as error:
        raise RequestError(f"{path} is not {what}: {error}", hint=f"run: python -m export.{command}") from error


def match(file: MeasurementFile | None, models: tuple[PublishedModel, ...]) -> tuple[list[Measurement], list[str]]:
    """Return the measurements of what is published, and a note on those of anything else."""
    if file is None:
        return [], ["no measurements given: the results page says “not measured”"]
    known = {step.sha256 for model in models for step in model.steps}
    matched = [one for one in file.measurements if one.artifact_sha256 in known]
    foreign = [one for one in file.measurements if one.artifact_sha256 not in known]
    if not foreign:
        return matched, []
    names = sorted({f"{one.model}/{one.variant}" for one in foreign})
    return matched, [
        f"{len(foreign)} measurements belong to no published variant and are not shown: {', '.join(names)}"
    ]


def lay_out(model: PublishedModel, measured: list[Measurement]) -> ModelResults:
    """Return one model's rows, every variant at least once, and its chart."""
    own = {step.sha256 for step in model.steps}
    figures = [one for one in measured if one.artifact_sha256 in own]
    rows = tuple(row for variant in model.variants for row in _rows(variant, figures))
    chart, axis = _chart(rows)
    return ModelResults(
        name=model.spec.name,
        title=model.spec.title,
        random=model.spec.weights == "random",
        features=model.spec.features,
        rows=rows,
        reference=next((one for one in figures if one.engine == NATIVE and one.metric == TOP1), None),
        chart=chart,
        axis=axis,
    )


def _rows(variant: Variant, figures: list[Measurement]) -> list[ResultRow]:
    own = [
        one for one in figures if one.artifact_sha256 == variant.artifact.sha256 and one.engine == variant.engine.name
    ]
    if not own:
        return [_row(variant, None, None, [])]
    order = variant.engine.backends
    places = sorted(
        {(one.backend, one.threads) for one in own},
        key=lambda place: (order.index(place[0]) if place[0] in order else len(order), place),
    )
    return [_row(variant, backend, threads, own) for backend, threads in places]


def _row(variant: Variant, backend: str | None, threads: int | None, own: list[Measurement]) -> ResultRow:
    here = {one.metric: one for one in own if (one.backend, one.threads) == (backend, threads)}
    return ResultRow(
        variant=variant,
        backend=backend,
        threads=threads,
        latency=here.get(LATENCY),
        top1=here.get(TOP1),
        agreement=here.get(AGREEMENT),
        cosine=here.get(COSINE),
        cold=tuple(here.get(metric) for metric in COLD),
    )


def _chart(rows: tuple[ResultRow, ...]) -> tuple[tuple[ChartRow, ...], tuple[float, float] | None]:
    """Return one chart row per variant, on the back end where it was fastest; nothing when nothing was timed.

    Its accuracy is that of the first back end where it was measured.
    """
    accurate = {row.variant.id: row.top1 for row in reversed(rows) if row.top1 is not None}
    fastest: dict[str, ResultRow] = {}
    for row in rows:
        best = fastest.get(row.variant.id)
        if row.latency is not None and (best is None or best.latency is None or row.latency.value < best.latency.value):
            fastest[row.variant.id] = row
    chosen = tuple(replace(row, top1=accurate.get(name)) for name, row in fastest.items())
    if not chosen:
        return (), None
    largest = max(row.variant.artifact.gzip_bytes for row in chosen)
    slowest = max(max(_spread(row.latency)) for row in chosen if row.latency)
    accuracies = [value for row in chosen if row.top1 for value in _spread(row.top1)]
    axis = _axis(accuracies) if accuracies else None
    marks = tuple(
        ChartRow(
            row=row,
            size=round(100 * row.variant.artifact.gzip_bytes / largest, 2),
            latency=_marks(row.latency, 0.0, slowest),
            top1=_marks(row.top1, *axis) if axis else None,
        )
        for row in chosen
    )
    return marks, axis


def _spread(figure: Measurement) -> tuple[float, float, float]:
    low = figure.value if figure.p10 is None else figure.p10
    high = figure.value if figure.p90 is None else figure.p90
    return low, figure.value, high


def _axis(accuracies: list[float]) -> tuple[float, float]:
    """Return the accuracies' range widened to whole twentieths, so that the axis ends are round."""
    low, high = math.floor(20 * min(accuracies)) / 20, math.ceil(20 * max(accuracies)) / 20
    return low, max(high, low + 0.05)


def _marks(figure: Measurement | None, low: float, high: float) -> tuple[float, float, float] | None:
    if figure is None:
        return None
    first, middle, last = (round(100 * (value - low) / (high - low), 2) for value in _spread(figure))
    return first, middle, last
