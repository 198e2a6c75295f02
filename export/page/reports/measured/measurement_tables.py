"""The measurements of a built page as Markdown."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from export.core.errors import RequestError
from export.core.figures.units import format_bytes, format_ms, format_percent
from export.core.records import Measurement, MeasurementFile
from export.models.catalog import DEFAULT_MODEL
from export.page.content.kept_accuracy import TOP1, kept_for
from export.page.reports.markdown import UNKNOWN, spread, table
from export.page.reports.measured.measurements import SIZE
from export.page.results_view import AGREEMENT, LATENCY, NATIVE, browser_titles, is_of
from export.quantization.recipes import DEFAULT_RECIPES

SUMMARY_BACKEND = "wasm"


@dataclass(frozen=True)
class Run:
    """The figures of one variant on one back end with so many threads, by metric, in the file's first browser."""

    model: str
    variant: str
    backend: str
    threads: int
    figures: dict[str, Measurement] = field(default_factory=dict)

    def cell(self, metric: str, write: Callable[[float], str]) -> str:
        """Return a figure with its spread."""
        return _with_spread(self.figures.get(metric), write)

    @property
    def size(self) -> str:
        """What a visitor downloads."""
        figure = self.figures.get(SIZE)
        return UNKNOWN if figure is None else format_bytes(int(figure.value))


def _with_spread(figure: Measurement | None, write: Callable[[float], str]) -> str:
    if figure is None:
        return UNKNOWN
    if figure.p10 is None or figure.p90 is None:
        return f"{write(figure.value)} (n={figure.n:,})"
    return spread(figure.value, figure.p10, figure.p90, figure.n, write)


def _runs(file: MeasurementFile) -> list[Run]:
    runs: dict[tuple[str, str, str, int], Run] = {}
    for one in file.measurements:
        if one.engine != NATIVE and is_of(one, file.environments[:1]):
            place = (one.model, one.variant, one.backend, one.threads)
            runs.setdefault(place, Run(*place)).figures[one.metric] = one
    return list(runs.values())


def _environment(file: MeasurementFile) -> str:
    place = file.environment
    return (
        f"{place.browser} on {place.cpu}, {place.logical_cores} logical cores, {place.os}. Latency is the median of "
        "warm runs, read-back included, with p10 – p90; accuracy is measured end to end in the page, with its 95 % "
        "Wilson interval."
    )


def _references(file: MeasurementFile) -> list[str]:
    return [
        f"PyTorch float32 on the same images: {one.model} {_with_spread(one, format_percent)}."
        for one in file.measurements
        if (one.engine, one.metric) == (NATIVE, TOP1)
    ]


def measurements_section(file: MeasurementFile) -> str:
    """Return all figures, one row per variant, back end and number of threads."""
    header = ("model", "variant", "backend", "download", "latency", "top-1 in the browser", "agreement with PyTorch")
    rows = [
        (
            run.model,
            run.variant,
            run.backend if run.threads == 1 else f"{run.backend}, {run.threads} threads",
            run.size,
            run.cell(LATENCY, format_ms),
            run.cell(TOP1, format_percent),
            run.cell(AGREEMENT, format_percent),
        )
        for run in _runs(file)
    ]
    parts = [_environment(file), "", *table(header, rows), "", *_references(file)]
    return "\n".join([*parts, "", "Lowest latency in every browser engine:", "", *_browsers(file)])


def _browsers(file: MeasurementFile) -> list[str]:
    """Return a table with a row per browser and a column per variant."""
    variants = list(dict.fromkeys((one.model, one.variant) for one in file.measurements if one.metric == LATENCY))
    rows = []
    for title, place in browser_titles(file.environments):
        own = {title, ""} if place is file.environment else {title}
        times = [one for one in file.measurements if one.metric == LATENCY and place and one.browser in own]
        rows.append((title, *(_lowest([one for one in times if (one.model, one.variant) == of]) for of in variants)))
    return table(("browser", *(f"{model} {variant}" for model, variant in variants)), rows)


def _lowest(times: list[Measurement]) -> str:
    if not times:
        return UNKNOWN
    best = min(times, key=lambda time: time.value)
    threads = "1 thread" if best.threads == 1 else f"{best.threads} threads"
    return f"{_with_spread(best, format_ms)}, {best.backend}, {threads}"


def measurements_summary(file: MeasurementFile) -> str:
    """Return the default model's variants on the processor, or the first one's, with one thread and with several.

    Accuracies that were not measured are those kept beside an embedded model's weights. Raises `RequestError` where the
    file has no figures of the processor.
    """
    runs = [run for run in _runs(file) if run.backend == SUMMARY_BACKEND]
    if not runs:
        raise RequestError(f"there are no measurements on {SUMMARY_BACKEND}", hint="run: python -m export.measure")
    models = [run.model for run in runs]
    model = DEFAULT_MODEL if DEFAULT_MODEL in models else models[0]
    own = [run for run in runs if run.model == model]
    kept = None if any(TOP1 in run.figures for run in own) else kept_for(model)
    where = [f"Accuracy of `{model}` by `{kept.command}`."] if kept else _references(file)
    return "\n".join([_environment(file), *where, "", *_summary(own, kept.measurements if kept else ())])


def _summary(runs: list[Run], kept: Sequence[Measurement]) -> list[str]:
    most, accuracy = max(run.threads for run in runs), {one.variant: one for one in kept}
    rows = []
    for variant in sorted(dict.fromkeys(run.variant for run in runs), key=_default_order):
        own = {run.threads: run for run in runs if run.variant == variant}
        first, (recipe, _, format) = own[min(own)], variant.partition("-")
        several = own[most].cell(LATENCY, format_ms) if most in own else UNKNOWN
        top1 = _with_spread(first.figures.get(TOP1) or accuracy.get(variant), format_percent)
        rows.append((f"`{recipe}`", f"`{format}`", first.size, first.cell(LATENCY, format_ms), several, top1))
    header = ("recipe", "engine", "download", "latency, 1 thread", f"latency, {most} threads", "top-1 in the browser")
    return table(header, rows)


def _default_order(variant: str) -> int:
    recipe = variant.partition("-")[0]
    return DEFAULT_RECIPES.index(recipe) if recipe in DEFAULT_RECIPES else len(DEFAULT_RECIPES)
