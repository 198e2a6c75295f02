"""A page's model against a local one: preprocessing, labels, the float model's outputs, and those of each variant."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.core.errors import RequestError, VerificationError
from export.core.figures.fidelity import sqnr_db
from export.core.figures.units import format_decibels, format_difference
from export.core.records import ModelSpec
from export.models.choice.request import ModelRequest
from export.page.content.manifest import SiteManifest, SiteModel, SiteVariant
from export.pipeline.reference_images import Reference
from export.publishing.verification.findings import Findings
from export.publishing.verification.running import judge

HALF_PRECISION = 2.0**-10  # of float16, in which the page has the float model's outputs, relative to the largest


def find_model(manifest: SiteManifest, request: ModelRequest) -> str:
    """Return which of the page's models a local one is compared with; raises `RequestError` where that is unsure."""
    names = [model.name for model in manifest.models]
    if request.name in names:
        return request.name
    if len(names) == 1 and not request.called:
        return names[0]
    raise RequestError(
        f"the page has no model called {request.name}", hint=f"say which one with --name: {', '.join(names)}"
    )


def compare_float(
    model: SiteModel, spec: ModelSpec, outputs: NDArray[np.float32], reference: Reference, findings: Findings
) -> None:
    """Compare what the page says of its float model with the local one, whose `outputs` are of the reference images."""
    subject = f"{model.name}: the local model"
    for name in ("preprocess", "labels", "outputs", "probabilities"):
        same = getattr(model, name) == getattr(spec, name)
        findings.add(f"{subject}: {name}", same, "" if same else "the page has another one")
    same = model.weights_sha256 == spec.weights_sha256
    findings.add(f"{subject}: weights", same or None, "" if same else "another file; its outputs decide")
    if outputs.shape[1] != model.outputs:
        return
    distance = float(np.abs(outputs[:, reference.outputs].astype(np.float64) - reference.logits).max())
    allowed = HALF_PRECISION * float(np.abs(reference.logits).max())
    text = f"max abs difference {format_difference(distance)}, allowed {format_difference(allowed)}"
    findings.add(f"{subject}: logits of the reference images", distance <= allowed, text)


def compare_variant(
    model: SiteModel,
    variant: SiteVariant,
    reference: Reference,
    local: NDArray[np.float32],
    outputs: NDArray[np.float32],
    findings: Findings,
) -> None:
    """Compare a variant's outputs for the reference images with the local model's, by the rule of the self-test."""
    subject = f"{model.name} {variant.id}: against the local model"
    try:
        text = judge(replace(reference, logits=local[:, reference.outputs]), outputs, variant.selftest)
        findings.add(subject, True, f"SQNR {format_decibels(sqnr_db(local, outputs))}; {text}")
    except VerificationError as error:
        findings.add(subject, False, error.message)


def same_as_defined(
    folder: Path, subject: str, image: NDArray[np.float32], outputs: NDArray[np.float32], findings: Findings
) -> None:
    """Compare the engine's outputs for one image, bit for bit, with those of its definition in NumPy."""
    from export.conversion.engine.export import FILE
    from export.conversion.engine.reference import EngineReference

    defined = EngineReference(folder / FILE).run(image[None])[0]
    same = bool(np.array_equal(defined, outputs))
    text = "bit for bit" if same else f"max abs difference {format_difference(float(np.abs(defined - outputs).max()))}"
    findings.add(subject, same, text)
