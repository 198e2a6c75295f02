"""A measuring session: open the built page in browsers, measure what is selected, and put the figures on the page."""

import shlex
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from export.core.console import say
from export.core.errors import MeasurementError, RequestError
from export.core.paths import ARTIFACTS, BENCHMARK, SITE_OUT
from export.core.records import Environment, Measurement, ModelSpec
from export.measuring.browser.browsers import running_browsers
from export.measuring.browser.page_client import read_site_data
from export.measuring.browser.server import serving
from export.measuring.latency import measure_latency
from export.measuring.selection import MeasurementPlan, Selection, plan_measurements
from export.page.assets.bundle import make_bundle
from export.page.content.inventory import SPEC
from export.page.content.kept_accuracy import keep_accuracy
from export.page.content.manifest import MARKER, SiteModel, read_site_manifest
from export.page.content.presentation import ModelPage, SampleSet
from export.page.render import render
from export.page.reports.analysis.records import analysis_files
from export.page.reports.comparison.view import comparison_files
from export.pipeline.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureRequest:
    """What to measure and how often: accuracy on `limit` images, latency in `rounds` of `runs`; 0 skips that part.

    Accuracy is measured in the first of the `browsers`, latency in all.
    """

    selection: Selection
    browsers: tuple[str, ...] = ("chromium",)
    site: Path = SITE_OUT
    artifacts: Path = ARTIFACTS
    data: Path | None = None
    limit: int = 1000
    rounds: int = 3
    runs: int = 30
    software_gpu: bool = False

    def __post_init__(self) -> None:
        for option, value in (("--rounds", self.rounds), ("--limit", self.limit)):
            if value < 0:
                raise RequestError(f"{option} {value} is below 0", hint="leave it out for the default")
        if self.runs < 1:
            raise RequestError(f"--runs {self.runs} is below 1", hint="leave it out for the default")
        if self.rounds == 0 and self.limit == 0:
            raise RequestError("--rounds 0 --limit 0 leaves nothing to measure", hint="leave one of them out")


def measure(request: MeasureRequest) -> tuple[list[Environment], list[Measurement]]:
    """Return what was measured, and where: one environment per browser.

    Raises `RequestError` when page or machine lack what is selected, `MeasurementError` when the page fails.
    """
    site_data = read_site_data(request.site)
    isolated = max(request.selection.threads) > 1
    with ExitStack() as stack:
        url = stack.enter_context(serving(request.site, isolated=isolated))
        browsers = stack.enter_context(running_browsers(request.browsers, software_gpu=request.software_gpu))
        plans = [plan_measurements(browser, url, site_data, request.selection) for browser in browsers]
        for plan in plans:
            place = plan.environment
            say(f"{place.browser} on {place.cpu}, {place.logical_cores} logical cores")
            for reason in plan.skipped:
                say(f"  not measured: {reason}")
        measured = _accuracy(plans[0], request) if request.limit else []
        measured += measure_latency(plans, rounds=request.rounds, runs=request.runs)
    if not measured:
        raise MeasurementError("nothing that was selected could be measured", hint="see the reasons above")
    return [plan.environment for plan in plans], measured


def _accuracy(plan: MeasurementPlan, request: MeasureRequest) -> list[Measurement]:
    from export.measuring.accuracy import measure_accuracy  # brings PyTorch

    return measure_accuracy(plan, artifacts=request.artifacts, data=request.data, limit=request.limit)


def keep_accuracies(
    request: MeasureRequest, environment: Environment, measured: Sequence[Measurement], argv: Sequence[str]
) -> list[str]:
    """Keep the accuracies measured on `request.data` beside the weights of their embedded models; return the files.

    Raises `RequestError` when there are none.
    """
    assert request.data is not None, "checked when the options are read"
    store = Store(request.artifacts)
    command = shlex.join(["python", "-m", "export.measure", *argv])
    names = dict.fromkeys(figure.model for figure in measured)
    specs = [ModelSpec.read(store.folder(name, "f32", "torch") / SPEC) for name in names]
    return [keep_accuracy(spec, request.data.name, command, environment, measured) for spec in specs]


def render_again(request: MeasureRequest, measurements: Path) -> None:
    """Render the measured site anew with a file of measurements; models, variants, texts and samples stay."""
    site = read_site_manifest((request.site / MARKER).read_bytes())
    render(
        artifacts=request.artifacts,
        models=[model.name for model in site.models],
        recipes=[],
        bundle=make_bundle(),
        measurements=measurements,
        out=request.site,
        benchmark=BENCHMARK if BENCHMARK.exists() else None,
        analyses=analysis_files(request.artifacts, [model.name for model in site.models]),
        comparisons=comparison_files(request.artifacts),
        texts=site.page,
        pages={model.name: _as_published(model, request.site) for model in site.models},
    )


def _as_published(model: SiteModel, site: Path) -> ModelPage:
    return ModelPage(
        recipes=tuple(dict.fromkeys(variant.recipe for variant in model.variants)),
        variants={variant.id for variant in model.variants},
        title=model.title,
        licence=model.licence,
        source=model.source,
        samples=SampleSet(folder=site / "samples", samples=model.samples),
    )
