"""A published page verified: files, records, weights, and what they compute."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from export.core.console import say
from export.core.errors import ArtifactError
from export.models.choice.request import ModelRequest
from export.page.content.manifest import MARKER, SiteManifest, read_site_manifest
from export.publishing.verification.files import refuse_odd_paths, variants_of, verify_files, verify_records
from export.publishing.verification.findings import Finding, Findings
from export.publishing.verification.sources import open_source, read_marker


@dataclass(frozen=True, slots=True)
class Verified:
    """The page's manifest and all that was found."""

    title: str
    manifest: SiteManifest
    findings: Findings

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return self.findings.count(False) == 0


def verify_page(
    place: str, local: ModelRequest | None = None, tell: Callable[[Finding], None] = lambda finding: None
) -> Verified:
    """Verify the page in a folder or at an address, and compare its model with a local one.

    `tell` is called with each finding. Raises `RequestError` for a place that is none, `ArtifactError` for one without
    a page, `ExportError` when a host cannot be reached.
    """
    source = open_source(place)
    marker = read_marker(source)
    try:
        manifest = read_site_manifest(marker)
    except ArtifactError as error:
        hint = error.hint or "build and publish the page again; somebody else's page is not to be trusted"
        raise ArtifactError(f"{MARKER} of {source.title}: {error.message}", hint=hint) from error
    refuse_odd_paths(manifest)
    findings = Findings(tell)
    with tempfile.TemporaryDirectory(prefix="vit-pages-verify-") as scratch:
        folder = Path(scratch, "page")
        folder.mkdir()
        right = verify_files(source, manifest, folder, findings)
        verify_records(manifest, folder, findings)
        _verify_weights(manifest, folder, right, local, findings)
    return Verified(source.title, manifest, findings)


def _verify_weights(
    manifest: SiteManifest, folder: Path, right: set[str], local: ModelRequest | None, findings: Findings
) -> None:
    try:
        from export.publishing.verification.variants import verify_variants
    except ModuleNotFoundError as error:
        if local is not None:
            raise
        for model, variant in variants_of(manifest):
            findings.add(f"{model.name} {variant.id}: weights", None, f"{error.name} is not installed")
        return
    verify_variants(manifest, folder, right, local, findings)


def say_finding(finding: Finding) -> None:
    """Print a finding."""
    say(f"  {finding.line()}")


def summary(verified: Verified) -> str:
    """Return the outcome in one line."""
    differ, unseen = verified.findings.count(False), verified.findings.count(None)
    total = len(verified.findings.all)
    counted = f"{total - differ - unseen} of {total} are as they should be"
    rest = f", {differ} differ{'s' if differ == 1 else ''}" if differ else ""
    return f"{verified.title}: {counted}{rest}" + (f", {unseen} could not be verified" if unseen else "")
