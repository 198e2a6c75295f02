"""Reading what a page tests its back ends by; `export/pipeline/stages/selftest.py` makes it."""

from pathlib import Path

from export.core.errors import ArtifactError
from export.core.records import Artifact, SelfTest, StoredFile
from export.pipeline.formats import FLOAT
from export.pipeline.stages.selftest import RESULT
from export.pipeline.store import Store


def read_reference_file(store: Store, origin: Artifact) -> tuple[Path, StoredFile]:
    """Return the folder and the record of the reference file of a float model.

    Raises `ArtifactError` when there is none, or one of another model.
    """
    artifact = _read(store, origin, FLOAT.name, "selftest")
    return store.folder(origin.model, FLOAT.name, artifact.format), artifact.files[0]


def read_selftest(store: Store, artifact: Artifact) -> SelfTest:
    """Return what the build's own run of an artifact gave; raises `ArtifactError` when it was never run."""
    found = _read(store, artifact, artifact.recipe, f"selftest_{artifact.format}")
    return SelfTest.read(store.folder(artifact.model, artifact.recipe, found.format) / RESULT)


def _read(store: Store, parent: Artifact, recipe: str, format: str) -> Artifact:
    artifact = store.read(parent.model, recipe, format)
    if artifact is None or parent.sha256 not in {one.sha256 for one in artifact.parents}:
        raise ArtifactError(
            f"{store.folder(parent.model, recipe, format)} is missing or outdated: a page of "
            f"{parent.model}/{parent.recipe}/{parent.format} could not test its backends",
            hint=f"build again: python -m export.build --model {parent.model} --recipe {parent.recipe}",
        )
    return artifact
