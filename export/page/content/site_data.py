"""What the page's scripts know of its models, as the JSON that the classify page carries."""

from typing import Any
from urllib.parse import quote

from export import __version__
from export.core.records import SCHEMA_VERSION
from export.page.content.inventory import (
    LIBRARY_ENGINE,
    MODEL_MANIFEST,
    SERVICE_WORKER,
    Bundle,
    PublishedModel,
    Reference,
    Variant,
)
from export.pipeline.runtimes import BACKENDS, ENGINES

LIBRARY_ELEMENT = "lib/vit-classifier.js"


def site_data(models: tuple[PublishedModel, ...], bundle: Bundle) -> dict[str, Any]:
    """Return the JSON that the classify page carries for its scripts."""
    return {
        "schema_version": SCHEMA_VERSION,
        "version": __version__,
        "assets": {
            "worker": f"assets/{bundle.worker}",
            "client": f"assets/{bundle.client}",
            "wasm": "assets/",
            "service_worker": SERVICE_WORKER,
            "library": {"element": LIBRARY_ELEMENT, "engine": LIBRARY_ENGINE} if bundle.library else None,
        },
        "engines": {
            engine.name: {"title": engine.title, "backends": list(engine.backends)} for engine in ENGINES.values()
        },
        "backends": BACKENDS,
        "models": [model_data(model) for model in models],
    }


def model_data(model: PublishedModel) -> dict[str, Any]:
    """Return what scripts know of a model; folders are relative to the site."""
    shown = (
        "name",
        "title",
        "licence",
        "source",
        "weights",
        "features",
        "probabilities",
        "confidence",
        "labels",
        "preprocess",
        "outputs",
        "parameters",
    )
    values = model.spec.to_json()
    return {
        **{name: values[name] for name in shown},
        "selftest": _reference_data(model.reference),
        "manifest": manifest_address(model),
        "variants": [_variant_data(variant) for variant in model.variants],
        "samples": [
            {
                "file": f"samples/{sample.file}",
                "title": sample.title,
                "attribution": sample.attribution,
                "licence": sample.licence,
            }
            for sample in model.samples.samples
        ],
    }


def manifest_address(model: PublishedModel) -> str:
    """Return the address of what the library loads."""
    return quote(model.reference.folder + MODEL_MANIFEST)


def _reference_data(reference: Reference) -> dict[str, Any]:
    file = reference.file
    return {"folder": quote(reference.folder), "path": reference.name, "bytes": file.bytes, "sha256": file.sha256}


def _variant_data(variant: Variant) -> dict[str, Any]:
    artifact = variant.artifact
    shown = ("recipe", "format", "storage_dtype", "compute_dtype", "files", "bytes", "gzip_bytes", "sha256")
    values = artifact.to_json()
    return {
        "id": variant.id,
        "title": variant.recipe.title,
        "note": variant.note,
        "engine": variant.engine.name,
        "folder": quote(variant.folder),
        "selftest": variant.selftest.to_json(),
        **{name: values[name] for name in shown},
    }
