"""A whole site: models and recipes → verified artifacts → bundle → rendered pages."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from export.core.console import say, stage
from export.core.errors import RequestError
from export.core.paths import ARTIFACTS, BENCHMARK, MEASUREMENTS, SITE_OUT
from export.core.records import Artifact
from export.models.choice.request import ModelRequest
from export.page.assets.bundle import make_bundle, require_bundler
from export.page.assets.samples import prepared_samples
from export.page.content.inventory import variant_id
from export.page.content.presentation import AS_IT_IS, ModelPage, PageTexts
from export.page.render import RenderReport, refuse_foreign, refuse_unwritable, render
from export.page.reports.analysis.records import analysis_files, read_finished
from export.page.reports.benchmark.view import read_benchmark
from export.page.reports.comparison.view import comparison_files, read_comparisons
from export.page.results_view import read_measurements
from export.pipeline.build import convert
from export.pipeline.durations import Durations
from export.pipeline.runtimes import AUTO
from export.pipeline.store import Store
from export.quantization.recipes import DEFAULT_RECIPES, Recipe, find_recipe
from export.quantization.resources import DEFAULT_RESOURCES, Resources


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoices:
    """What is chosen for one model: its recipes, images to calibrate on, and a folder of samples.

    None stands for what the whole request says, or for samples that come along. `page` is how it is published.
    """

    recipes: tuple[Recipe, ...] | None = None
    data: Path | None = None
    samples: Path | None = None
    page: ModelPage = AS_IT_IS


NO_CHOICES = ModelChoices()


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build, from what, and where to put it.

    `data` are images to calibrate on, `resources` what that may use. `notes` say what a person might expect and is not
    built. `choices` are by model's name.
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
    texts: PageTexts = field(default_factory=PageTexts)
    choices: Mapping[str, ModelChoices] = field(default_factory=dict)


def build_site(request: BuildRequest) -> RenderReport:
    """Make what is missing, verify it, and put the rendered site in place; on failure `out` stays as it was."""
    require_bundler()
    _refuse_early(request)
    for note in request.notes:
        say(note)
    with ExitStack() as stack:
        pages = {name: _with_samples(name, choices, stack) for name, choices in request.choices.items()}
        made = [artifact for model in request.models for artifact in _convert(model, request)]
        return _render(request, pages, made)


def _with_samples(name: str, choices: ModelChoices, stack: ExitStack) -> ModelPage:
    """Return how a model is published, its samples ready; what is wrong with them is found before the long work."""
    if choices.samples is None:
        return choices.page
    return replace(choices.page, samples=stack.enter_context(prepared_samples(choices.samples, name)))


def _convert(model: ModelRequest, request: BuildRequest) -> list[Artifact]:
    choices = request.choices.get(model.name, NO_CHOICES)
    recipes = request.recipes if choices.recipes is None else choices.recipes
    say(f"{model.name}: {', '.join(recipe.name for recipe in recipes)}")
    return convert(
        model,
        recipes,
        Store(request.artifacts),
        force=request.force,
        engines=request.engines,
        data=choices.data or request.data,
        resources=request.resources,
    )


def _render(request: BuildRequest, pages: Mapping[str, ModelPage], made: list[Artifact]) -> RenderReport:
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
            benchmark=request.benchmark if request.benchmark.exists() else None,
            analyses=_analyses(request),
            comparisons=comparison_files(request.artifacts),
            out=request.out,
            texts=request.texts,
            pages={model.name: _page(model.name, request, pages, made) for model in request.models},
        )
    Durations(request.artifacts).add_page(time.perf_counter() - started)
    return report


def _page(name: str, request: BuildRequest, pages: Mapping[str, ModelPage], made: list[Artifact]) -> ModelPage:
    """Return how a model is published: just the variants that were made."""
    recipes = request.choices.get(name, NO_CHOICES).recipes or request.recipes
    variants = {variant_id(artifact) for artifact in made if artifact.model == name}
    names = tuple(recipe.name for recipe in recipes)
    return replace(pages.get(name, AS_IT_IS), recipes=names, variants=variants)


def _refuse_early(request: BuildRequest) -> None:
    """Raise what rendering would raise over the request itself, before the long work instead of after it."""
    refuse_foreign(request.out)
    refuse_unwritable(request.out)
    if request.artifacts.exists() and not request.artifacts.is_dir():
        raise RequestError(f"--artifacts {request.artifacts} is a file", hint="name a folder")
    for path, read in ((request.measurements, read_measurements), (request.benchmark, read_benchmark)):
        if path.exists():
            read(path)
    read_finished(_analyses(request))
    read_comparisons(comparison_files(request.artifacts))


def _analyses(request: BuildRequest) -> list[Path]:
    return analysis_files(request.artifacts, [model.name for model in request.models])
