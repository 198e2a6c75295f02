"""What each page's template is given: one frozen dataclass a page, made from artifacts and measurements alone."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from export import __version__
from export.engines import BACKENDS, ENGINES, FORMATS, Engine
from export.published import Bundle, PublishedModel, Sample, Variant
from export.results import ModelResults
from export.spec import SCHEMA_VERSION, Artifact, Environment, ModelSpec

CSP = "; ".join(
    (
        "default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "worker-src 'self' blob:", "connect-src 'self'",
        "img-src 'self' blob: data:", "style-src 'self'", "manifest-src 'self'", "base-uri 'none'", "form-action 'none'",
    )
)  # fmt: skip


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
    """A model as the classify page offers it."""

    spec: ModelSpec
    variants: tuple[Variant, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexContext(PageContext):
    """The page that classifies; `site_data` is all that its scripts know."""

    models: tuple[ModelChoice, ...]
    site_data: dict[str, Any]
    main_script: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultsContext(PageContext):
    """The page of measured tables; `environment` is None where nothing was measured."""

    models: tuple[ModelResults, ...]
    environment: Environment | None
    backends: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """An artifact with the titles of its format and of its parent's."""

    artifact: Artifact
    title: str
    parent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMethod:
    """How one model was made and checked."""

    spec: ModelSpec
    steps: tuple[Step, ...]
    variants: tuple[Variant, ...]
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodContext(PageContext):
    """The page that says how everything was made, from what, and how to check it."""

    models: tuple[ModelMethod, ...]
    tools: dict[str, tuple[str, ...]]
    engines: tuple[Engine, ...]
    licences: str


def site_data(models: tuple[PublishedModel, ...], bundle: Bundle) -> dict[str, Any]:
    """Return the JSON that the classify page carries for its scripts."""
    return {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "assets": {"worker": f"assets/{bundle.worker}", "client": f"assets/{bundle.client}", "wasm": "assets/"},
        "engines": {engine.name: {"title": engine.title, "backends": list(engine.backends)} for engine in ENGINES.values()},
        "backends": BACKENDS,
        "models": [_model_data(model) for model in models],
    }


def _model_data(model: PublishedModel) -> dict[str, Any]:
    shown = ("name", "title", "licence", "source", "weights", "features", "labels", "preprocess", "outputs", "parameters")
    values = model.spec.to_json()
    return {
        **{name: values[name] for name in shown},
        "variants": [_variant_data(variant) for variant in model.variants],
        "samples": [
            {"file": f"samples/{sample.file}", "title": sample.title, "attribution": sample.attribution,
             "licence": sample.licence}
            for sample in model.samples
        ],
    }  # fmt: skip


def _variant_data(variant: Variant) -> dict[str, Any]:
    artifact = variant.artifact
    shown = ("recipe", "format", "storage_dtype", "compute_dtype", "files", "bytes", "gzip_bytes", "sha256")
    values = artifact.to_json()
    return {
        "id": variant.id,
        "title": variant.recipe.title,
        "note": variant.recipe.note,
        "engine": variant.engine.name,
        "folder": quote(variant.folder),
        **{name: values[name] for name in shown},
    }


def choose(model: PublishedModel) -> ModelChoice:
    """Return a model as the classify page offers it."""
    return ModelChoice(spec=model.spec, variants=model.variants, samples=model.samples)


def method(model: PublishedModel) -> ModelMethod:
    """Return how a model was made, step by step."""
    titles = {step.sha256: FORMATS.get(step.format, step.format) for step in model.steps}
    steps = tuple(
        Step(artifact=step, title=titles[step.sha256], parent=titles.get(step.parent_sha256, "")) for step in model.steps
    )
    return ModelMethod(spec=model.spec, steps=steps, variants=model.variants, samples=model.samples)


def tool_versions(models: tuple[PublishedModel, ...]) -> dict[str, tuple[str, ...]]:
    """Return every tool that made something on the page, with the versions that were used."""
    used: dict[str, set[str]] = {}
    for model in models:
        for step in model.steps:
            for tool, version in step.tools.items():
                used.setdefault(tool, set()).add(version)
    return {tool: tuple(sorted(used[tool])) for tool in sorted(used)}
