"""Every variant of a page: decoded, run on the reference images, and compared with a local model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.core.errors import ExportError
from export.models.choice.request import ModelRequest
from export.page.content.manifest import SiteManifest, SiteModel, SiteVariant
from export.pipeline.reference_images import Reference
from export.pipeline.stage import Tools
from export.publishing.verification.findings import Findings
from export.publishing.verification.local_model import compare_float, compare_variant, find_model, same_as_defined
from export.publishing.verification.running import converter, inputs_of, judge, lacking, reference_of, run_variant
from export.publishing.verification.weights import decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """One model of a page that lies in `folder`, with what is at hand to verify it.

    `reference` is None where the page's own cannot be used, `local` (outputs of the reference images) where no model is
    compared with.
    """

    model: SiteModel
    folder: Path
    reference: Reference | None
    local: NDArray[np.float32] | None
    findings: Findings
    tools: Tools
    log: Path


def verify_variants(
    manifest: SiteManifest, folder: Path, right: set[str], local: ModelRequest | None, findings: Findings
) -> None:
    """Verify all variants whose files are `right`; the others' faults are told already."""
    chosen = find_model(manifest, local) if local else ""
    log = folder.parent / "tools.log"
    with converter(log) as tools:
        for model in manifest.models:
            reference = _reference(model, folder, findings) if model.selftest.path in right else None
            outputs = _run_local(model, local, reference, findings) if local and model.name == chosen else None
            inspection = Inspection(
                model=model, folder=folder, reference=reference, local=outputs, findings=findings, tools=tools, log=log
            )
            for variant in model.variants:
                if all(variant.folder + file.path in right for file in variant.files):
                    _verify(inspection, variant)


def _reference(model: SiteModel, folder: Path, findings: Findings) -> Reference | None:
    try:
        return reference_of(folder, model)
    except ExportError as error:
        findings.add(f"{model.name}: reference images", False, error.message)
        return None


def _run_local(
    model: SiteModel, request: ModelRequest, reference: Reference | None, findings: Findings
) -> NDArray[np.float32] | None:
    """Return the local model's outputs for the page's reference images, once they are compared with the page's."""
    from export.models.load import load
    from export.models.weights.float_artifact import run_model

    spec, module = load(request)
    if reference is None:
        return None
    outputs = run_model(module, reference.inputs(spec))
    compare_float(model, spec, outputs, reference, findings)
    return outputs if outputs.shape[1] == model.outputs else None


def _verify(page: Inspection, variant: SiteVariant) -> None:
    """Decode a variant and run it; without its weights or its runtime, the rest is left out."""
    subject, folder = f"{page.model.name} {variant.id}", page.folder / variant.folder
    try:
        text = decode(folder, page.model, variant)
    except ExportError as error:
        page.findings.add(f"{subject}: weights", False, error.message)
        return
    page.findings.add(f"{subject}: weights", None if text.startswith("not") else True, text)
    if missing := lacking(variant.format):
        page.findings.add(f"{subject}: self-test", None, f"it takes {missing}")
        return
    if page.reference is None:
        page.findings.add(f"{subject}: self-test", None, "there are no reference images")
        return
    inputs = inputs_of(page.reference, page.model)
    try:
        outputs = run_variant(folder, variant, inputs, page.tools, page.log)
        page.findings.add(f"{subject}: self-test", True, judge(page.reference, outputs, variant.selftest))
    except ExportError as error:
        page.findings.add(f"{subject}: self-test", False, error.message)
        return
    if page.local is not None:
        compare_variant(page.model, variant, page.reference, page.local, outputs, page.findings)
        if variant.format == "vit":
            same_as_defined(folder, f"{subject}: as the engine is defined", inputs[0], outputs[0], page.findings)
