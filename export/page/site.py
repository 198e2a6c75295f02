"""A whole site: models and recipes → verified artifacts → bundle → rendered pages."""

import time
from dataclasses import dataclass
from pathlib import Path

from export.core.console import say, stage
from export.core.paths import ARTIFACTS, BENCHMARK, MEASUREMENTS, SITE_OUT
from export.core.records import Artifact
from export.models.request import ModelRequest
from export.page.bundle import make_bundle, require_bundler
from export.page.inventory import variant_id
from export.page.render import RenderReport, refuse_foreign, render
from export.page.reports.benchmark_view import read_benchmark
from export.page.results_view import read_measurements
from export.pipeline.build import convert
from export.pipeline.durations import Durations
from export.pipeline.runtimes import AUTO
from export.pipeline.store import Store
from export.quantization.recipes import DEFAULT_RECIPES, Recipe, find_recipe
from export.quantization.resources import DEFAULT_RESOURCES, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build, from what, and where to put it.

    `data` are images to calibrate on, `resources` what that may use. `notes` say what a person might expect and is not
    built.
    """

    models: tuple[ModelRequest, ...]
    recipes: tuple[Recipe, ...] = tuple(find_recipe(name) for name in DEFAULT_RECIPES)
    engines: tuple[str, ...] = (AUTO,)
    notes: tuple[str, ...] = ()
    data: Path | None = None
    resources: Resources = DEFAULT_RESOURCES
    artifacts: Path = ARTIFACTS
    measurements: Path = MEASUREMENTS
    benchmark: Path = BENCHMARK
    out: Path = SITE_OUT
    force: bool = False


def build_site(request: BuildRequest) -> RenderReport:
    """Make what is missing, verify it, and put the rendered site in place; on failure `out` stays as it was."""
    store = Store(request.artifacts)
    require_bundler()
    _refuse_early(request)
    made: list[Artifact] = []
    for note in request.notes:
        say(note)
    for model in request.models:
        say(f"{model.name}: {', '.join(recipe.name for recipe in request.recipes)}")
        made += convert(
            model,
            request.recipes,
            store,
            force=request.force,
            engines=request.engines,
            data=request.data,
            resources=request.resources,
        )
    started = time.perf_counter()
    with stage("bundle the page's scripts"):
        bundle = make_bundle()
    with stage("render the page"):
        report = render(
            artifacts=request.artifacts,
            models=[model.name for model in request.models],
            recipes=[recipe.name for recipe in request.recipes],
            bundle=bundle,
            measurements=request.measurements if request.measurements.exists() else None,
            variants={variant_id(artifact) for artifact in made},
            benchmark=request.benchmark if request.benchmark.exists() else None,
            out=request.out,
        )
    Durations(store.root).add_page(time.perf_counter() - started)
    return report


def _refuse_early(request: BuildRequest) -> None:
    """Raise what rendering would raise over the request itself, before the long work instead of after it."""
    refuse_foreign(request.out)
    for path, read in ((request.measurements, read_measurements), (request.benchmark, read_benchmark)):
        if path.exists():
            read(path)
