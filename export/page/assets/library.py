"""What other people's pages need of a site beside its library: a manifest of each model, which that loads."""

import json

from export import __version__
from export.core.records import SCHEMA_VERSION
from export.page.content.inventory import MODEL_MANIFEST, PublishedModel
from export.page.content.site_data import model_data


def manifest_path(model: PublishedModel) -> str:
    """Return the manifest's place in the site, under a name that stays from one version to the next."""
    return model.reference.folder + MODEL_MANIFEST


def write_manifest(model: PublishedModel) -> bytes:
    """Return the JSON of `manifest.json`: the model as the page's scripts know it, folders relative to the manifest."""
    data = model_data(model)
    del data["samples"], data["manifest"]  # they are the page's
    base = data["selftest"]["folder"]  # where the manifest lies too
    for part in (data["selftest"], *data["variants"]):
        part["folder"] = part["folder"].removeprefix(base)
    values = {"schema_version": SCHEMA_VERSION, "generator": "vit-pages", "version": __version__, "model": data}
    return (json.dumps(values, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
