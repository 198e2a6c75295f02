"""What each page's template is given: one frozen dataclass a page, made from artifacts and measurements alone."""

from base64 import b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from export import __version__
from export.core.files import hash_file
from export.core.paths import TEMPLATES
from export.core.records import Artifact, Environment, MeasurementFile, ModelSpec
from export.page.content.inventory import ICON, LIBRARY_ENGINE, LICENCES, Bundle, PublishedModel, Variant
from export.page.content.presentation import PageTexts, Sample
from export.page.content.site_data import LIBRARY_ELEMENT, manifest_address, site_data
from export.page.reports.analysis.heat_map import LayerCosts, layer_costs
from export.page.reports.analysis.records import AnalysisFile
from export.page.reports.benchmark.records import Benchmark
from export.page.reports.benchmark.view import BenchmarkView, views
from export.page.reports.comparison.records import ModelComparison
from export.page.reports.comparison.view import Compared, compared
from export.page.results_view import ModelResults, lay_out, match
from export.page.scatter import Scatter, scatter
from export.pipeline.formats import FORMATS
from export.pipeline.runtimes import BACKENDS, ENGINES, Engine

# In the page itself, so that it can say that the page's own scripts are missing.
START_SCRIPT = (TEMPLATES / "_start.js").read_text(encoding="utf-8")
_START_HASH = b64encode(sha256(START_SCRIPT.encode()).digest()).decode()
CSP = "; ".join(
    (
        "default-src 'none'",
        f"script-src 'self' 'wasm-unsafe-eval' 'sha256-{_START_HASH}'",
        "worker-src 'self' blob:",
        "connect-src 'self'",
        "img-src 'self' blob: data:",
        "style-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContext:
    """What every page needs; `page` is its file name, paths are relative to it."""

    page: str
    title: str
    description: str
    css: str
    icon: str
    csp: str = CSP
    version: str = __version__


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    """A model as the classify page offers it; `manifest` is for other pages, empty where they cannot run it.

    `plot` is None where too little was measured for one.
    """

    spec: ModelSpec
    variants: tuple[Variant, ...]
    samples: tuple[Sample, ...]
    manifest: str
    plot: Scatter | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexContext(PageContext):
    """The page that classifies; `site_data` is all that its scripts know."""

    texts: PageTexts
    models: tuple[ModelChoice, ...]
    site_data: dict[str, Any]
    main_script: str
    element: str
    start_script: str = START_SCRIPT


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsContext(PageContext):
    """The page of measured tables; `environments` has one per browser, none where nothing was measured."""

    models: tuple[ModelResults, ...]
    plots: dict[str, Scatter | None]
    compared: dict[str, Compared]
    costs: dict[str, LayerCosts]
    environments: tuple[Environment, ...]
    backends: dict[str, str]
    benchmarks: tuple[BenchmarkView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversionStep:
    """An artifact with the titles of its format and of its parent's."""

    artifact: Artifact
    title: str
    parent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMethod:
    """How one model was converted and verified."""

    spec: ModelSpec
    steps: tuple[ConversionStep, ...]
    variants: tuple[Variant, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodContext(PageContext):
    """The page that says how everything was made, from what, and how to verify it."""

    models: tuple[ModelMethod, ...]
    tools: dict[str, tuple[str, ...]]
    engines: tuple[Engine, ...]
    licences: str


def _choose(model: PublishedModel, plot: Scatter | None) -> ModelChoice:
    """Return a model as the classify page offers it."""
    runs = any(variant.engine.name == LIBRARY_ENGINE for variant in model.variants)
    manifest = manifest_address(model) if runs else ""
    samples = model.samples.samples
    return ModelChoice(spec=model.spec, variants=model.variants, samples=samples, manifest=manifest, plot=plot)


def _method(model: PublishedModel) -> ModelMethod:
    """Return how a model was converted, step by step."""
    steps = tuple(
        ConversionStep(
            artifact=step,
            title=FORMATS[step.format].title,
            parent=FORMATS[step.parents[0].format].title if step.parents else "",
        )
        for step in model.steps
    )
    return ModelMethod(spec=model.spec, steps=steps, variants=model.variants, samples=model.samples.samples)


def _tool_versions(models: tuple[PublishedModel, ...]) -> dict[str, tuple[str, ...]]:
    """Return every tool that made something on the page, with the versions that were used."""
    used: dict[str, set[str]] = {}
    for model in models:
        for step in model.steps:
            for tool, version in step.tools.items():
                used.setdefault(tool, set()).add(version)
    return {tool: tuple(sorted(used[tool])) for tool in sorted(used)}


def page_contexts(
    published: tuple[PublishedModel, ...],
    scripts: Bundle,
    measured: MeasurementFile | None,
    benchmark: Benchmark | None,
    analyses: AnalysisFile,
    comparisons: tuple[ModelComparison, ...],
    texts: PageTexts,
) -> tuple[tuple[PageContext, ...], list[str]]:
    """Return every page's context, and notes on figures that belong to nothing published."""
    figures, notes = match(measured, published)
    places = measured.environments if measured and figures else ()
    results = tuple(lay_out(model, figures, places) for model in published)
    plots = {result.name: scatter(result) for result in results}
    costs = {model.spec.name: layer_costs(model, analyses) for model in published}
    tables = {model.spec.name: compared(model, comparisons) for model in published}
    names = ", ".join(model.spec.title for model in published)
    shared: dict[str, Any] = {"css": f"assets/{scripts.css}", "icon": icon_path()}
    pages = (
        IndexContext(
            page="index.html",
            title=texts.title or f"{names} on your own device",
            texts=texts,
            description=texts.lead or f"Classify images with {names} in the browser. Nothing is uploaded.",
            models=tuple(_choose(model, plots[model.spec.name]) for model in published),
            site_data=site_data(published, scripts),
            main_script=f"assets/{scripts.main}",
            element=LIBRARY_ELEMENT if scripts.library else "",
            **shared,
        ),
        ResultsContext(
            page="results.html",
            title="Measured results",
            description=f"Size, accuracy and latency of {names}, measured in a real browser.",
            models=results,
            plots=plots,
            compared={name: found for name, (found, _) in tables.items()},
            costs={name: found for name, (found, _) in costs.items()},
            environments=places,
            backends=BACKENDS,
            benchmarks=views(benchmark),
            **shared,
        ),
        MethodContext(
            page="method.html",
            title="How it is made",
            description=f"How {names} was converted, verified and published.",
            models=tuple(_method(model) for model in published),
            tools=_tool_versions(published),
            engines=tuple(ENGINES.values()),
            licences=f"assets/{LICENCES}",
            **shared,
        ),
        PageContext(page="404.html", title="Page not found", description="This page does not exist.", **shared),
    )
    return pages, notes + [note for _, of_model in (*costs.values(), *tables.values()) for note in of_model]


def icon_path() -> str:
    """Return the icon's place in the site, named by its content."""
    return f"assets/icon.{hash_file(ICON)[:10]}.svg"
