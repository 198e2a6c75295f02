"""Accuracies of an embedded model, measured where its labelled pictures are and kept for pages built elsewhere.

They belong to the same float weights and recipes; rounding may differ in the last bits from build to build.
"""

import json
from collections.abc import Sequence

from msgspec.structs import replace

from export.core.errors import RequestError
from export.core.files import write_atomically
from export.core.paths import ASSETS
from export.core.records import SCHEMA_VERSION, Environment, Measurement, ModelSpec
from export.core.schema import Record, parse_json
from export.page.content.inventory import PublishedModel

TOP1 = "top1"


class KeptAccuracy(Record, frozen=True, kw_only=True):
    """Top-1 accuracies of a model of these float weights: on which pictures, by which command, and where."""

    schema_version: int
    model: str
    weights_sha256: str
    data: str
    command: str
    environment: Environment
    measurements: tuple[Measurement, ...]


def read_kept(spec: ModelSpec) -> KeptAccuracy | None:
    """Return what is kept for an embedded model, or None; figures of other float weights are not its own."""
    kept = kept_for(spec.name) if spec.weights == "embedded" else None
    return kept if kept and kept.weights_sha256 == spec.weights_sha256 else None


def kept_for(model: str) -> KeptAccuracy | None:
    """Return what is kept for the embedded model of that name, or None."""
    path = ASSETS / f"{model}_accuracy.json"
    return KeptAccuracy.from_json(parse_json(path.read_bytes())) if path.is_file() else None


def keep_accuracy(
    spec: ModelSpec, data: str, command: str, environment: Environment, measured: Sequence[Measurement]
) -> str:
    """Write the top-1 accuracies of an embedded model beside its weights; return the file's name.

    Raises `RequestError` for other models and when no accuracy was measured.
    """
    figures = tuple(one for one in measured if one.model == spec.name and one.metric == TOP1)
    if spec.weights != "embedded" or not figures:
        raise RequestError(
            f"--keep-accuracy: {spec.name} is not embedded, or its accuracy was not measured",
            hint="pass --model photos --data DIR with labelled images",
        )
    kept = KeptAccuracy(
        schema_version=SCHEMA_VERSION,
        model=spec.name,
        weights_sha256=spec.weights_sha256,
        data=data,
        command=command,
        environment=environment,
        measurements=figures,
    )
    path = ASSETS / f"{spec.name}_accuracy.json"
    write_atomically(path, (json.dumps(kept.to_json(), indent=1, ensure_ascii=False) + "\n").encode())
    return path.name


def fill_in(model: PublishedModel, kept: KeptAccuracy | None) -> list[Measurement]:
    """Return the kept figures as those of the published variants with the same names."""
    if kept is None:
        return []
    published = {f"{step.recipe}-{step.format}": step.sha256 for step in model.steps}
    return [
        replace(figure, artifact_sha256=published[figure.variant])
        for figure in kept.measurements
        if figure.variant in published
    ]
