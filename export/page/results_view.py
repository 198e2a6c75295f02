"""Measurements as the results page shows them: by model, variant, back end and threads."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from export.core.errors import ArtifactError, RequestError
from export.core.records import SCHEMA_VERSION, Environment, Measurement, MeasurementFile
from export.core.schema import Record, parse_json
from export.page.content.inventory import PublishedModel, Variant
from export.page.content.kept_accuracy import TOP1, KeptAccuracy, fill_in, read_kept

File = TypeVar("File", bound=Record)
LATENCY, AGREEMENT, COSINE = "latency_ms", "agreement", "cosine"
NATIVE = "pytorch"  # the engine of the float reference
BROWSERS = ("Chromium", "Firefox", "WebKit")  # the engines that there are; names of browsers begin with them
COLD = ("download_ms", "decode_ms", "compile_ms", "first_run_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultRow:
    """One variant on one back end; figures that were not measured are None, and so is `backend` without any.

    `agreement` is the share of images with PyTorch's top-1, `cosine` the similarity of a feature model's outputs.
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
class BrowserRow:
    """One browser: its name, with the version where it was measured, and each variant's lowest latency there."""

    title: str
    latencies: tuple[Measurement | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelResults:
    """One model's table; `reference` is PyTorch's accuracy on the same images, `axis` the chart's accuracies.

    Rows and chart are of the first browser; `browsers` has a row for each.

    `kept` says where the accuracies come from when they were not measured with this build.
    """

    name: str
    title: str
    random: bool
    features: bool
    variants: tuple[Variant, ...]
    rows: tuple[ResultRow, ...]
    browsers: tuple[BrowserRow, ...]
    reference: Measurement | None
    kept: KeptAccuracy | None
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
    matched = [measurement for measurement in file.measurements if measurement.artifact_sha256 in known]
    foreign = [measurement for measurement in file.measurements if measurement.artifact_sha256 not in known]
    if not foreign:
        return matched, []
    names = sorted({f"{measurement.model}/{measurement.variant}" for measurement in foreign})
    return matched, [
        f"{len(foreign)} measurements belong to no published variant and are not shown: {', '.join(names)}"
    ]


def lay_out(
    model: PublishedModel, measured: list[Measurement], environments: Sequence[Environment] = ()
) -> ModelResults:
    """Return one model's rows, every variant at least once, and its chart."""
    known = {step.sha256 for step in model.steps}
    every = [measurement for measurement in measured if measurement.artifact_sha256 in known]
    figures = [figure for figure in every if is_of(figure, environments[:1])]
    kept = None if any(figure.metric == TOP1 for figure in figures) else read_kept(model.spec)
    figures += fill_in(model, kept)
    rows = tuple(row for variant in model.variants for row in _rows(variant, figures))
    chart, axis = _chart(rows)
    return ModelResults(
        name=model.spec.name,
        title=model.spec.title,
        random=model.spec.weights == "random",
        features=model.spec.features,
        variants=model.variants,
        rows=rows,
        browsers=tuple(_browsers(model, every, environments)),
        reference=next((figure for figure in figures if (figure.engine, figure.metric) == (NATIVE, TOP1)), None),
        kept=kept,
        chart=chart,
        axis=axis,
    )


def is_of(figure: Measurement, environments: Sequence[Environment]) -> bool:
    """Whether a figure is of one of these browsers, of which '' stands for the first; all are, where none are given."""
    return not environments or figure.browser in ("", *(place.browser for place in environments))


def browser_titles(environments: Sequence[Environment]) -> list[tuple[str, Environment | None]]:
    """Return the browsers that were measured and the others that there are, with None, by the engines' order."""
    found: list[tuple[str, Environment | None]] = []
    for kind in BROWSERS:
        own = [place for place in environments if place.browser.startswith(kind)]
        found += [(place.browser, place) for place in own] or [(kind, None)]
    return found


def _browsers(
    model: PublishedModel, figures: list[Measurement], environments: Sequence[Environment]
) -> Iterator[BrowserRow]:
    for title, place in browser_titles(environments):
        own = {title, ""} if place is not None and place is environments[0] else {title}
        times = [figure for figure in figures if figure.metric == LATENCY and place and figure.browser in own]
        cells = [
            min((time for time in times if _is_variant(time, variant)), key=lambda time: time.value, default=None)
            for variant in model.variants
        ]
        yield BrowserRow(title=title, latencies=tuple(cells))


def _is_variant(figure: Measurement, variant: Variant) -> bool:
    return (figure.artifact_sha256, figure.engine) == (variant.artifact.sha256, variant.engine.name)


def _rows(variant: Variant, figures: list[Measurement]) -> list[ResultRow]:
    measured = [figure for figure in figures if _is_variant(figure, variant)]
    if not measured:
        return [_row(variant, None, None, [])]
    order = variant.engine.backends
    backends = sorted(
        {(figure.backend, figure.threads) for figure in measured},
        key=lambda pair: (order.index(pair[0]) if pair[0] in order else len(order), pair),
    )
    return [_row(variant, backend, threads, measured) for backend, threads in backends]


def _row(variant: Variant, backend: str | None, threads: int | None, measured: list[Measurement]) -> ResultRow:
    figures = {figure.metric: figure for figure in measured if (figure.backend, figure.threads) == (backend, threads)}
    return ResultRow(
        variant=variant,
        backend=backend,
        threads=threads,
        latency=figures.get(LATENCY),
        top1=figures.get(TOP1),
        agreement=figures.get(AGREEMENT),
        cosine=figures.get(COSINE),
        cold=tuple(figures.get(metric) for metric in COLD),
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
    """Return the range of accuracies widened to multiples of 5 %, so that the axis has round ends."""
    low, high = math.floor(20 * min(accuracies)) / 20, math.ceil(20 * max(accuracies)) / 20
    return low, max(high, low + 0.05)


def _marks(figure: Measurement | None, low: float, high: float) -> tuple[float, float, float] | None:
    if figure is None:
        return None
    first, middle, last = (round(100 * (value - low) / (high - low), 2) for value in _spread(figure))
    return first, middle, last
