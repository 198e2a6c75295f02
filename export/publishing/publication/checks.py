"""What is checked before a page is published: limits, licences, and the page itself."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from export.core.console import several
from export.core.figures.units import format_bytes, format_count
from export.page.content.manifest import MARKER, SiteManifest
from export.publishing.limits import FILE_LIMIT, MONTHLY_TRAFFIC, SITE_LIMIT
from export.publishing.verification.verify import Verified, summary

NOT_STATED = re.compile(r"\s*(not stated.*|none|unknown|other|\?)?\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Check:
    """A condition of publication: whether it holds, what was found, and what to do where it does not."""

    name: str
    passed: bool
    text: str
    hint: str = ""

    def line(self) -> str:
        """Return it for the terminal."""
        hint = f"\n      → {self.hint}" if self.hint and not self.passed else ""
        return f"  {'ok    ' if self.passed else 'FAILED'} {self.name}: {self.text}{hint}"


def check_page(site: Path, verified: Verified, visits: int) -> list[Check]:
    """Check the page in the folder `site`; `visits` are the first visits expected a month, 0 where nobody knows."""
    sizes = {path.relative_to(site).as_posix(): path.stat().st_size for path in site.rglob("*") if path.is_file()}
    return [
        _check_files(sizes),
        _check_size(sizes.values()),
        _check_visits(verified.manifest, visits),
        _check_licences(verified.manifest),
        _check_verification(verified),
    ]


def _check_files(sizes: dict[str, int]) -> Check:
    large = [f"{name} ({format_bytes(size)})" for name, size in sizes.items() if size > FILE_LIMIT]
    largest = max(sizes, key=lambda name: sizes[name])
    return Check(
        "files",
        not large,
        f"{several(large)} above {format_bytes(FILE_LIMIT)}, which GitHub refuses"
        if large
        else f"{len(sizes)}, the largest {largest} of {format_bytes(sizes[largest])}; GitHub takes "
        f"{format_bytes(FILE_LIMIT)}",
        "build with a recipe of fewer bits, such as w8a8_gptq, or a smaller model",
    )


def _check_size(sizes: Iterable[int]) -> Check:
    total = sum(sizes)
    return Check(
        "size",
        total <= SITE_LIMIT,
        f"{format_bytes(total)} of {format_bytes(SITE_LIMIT)}",
        "build fewer models or recipes",
    )


def _check_visits(manifest: SiteManifest, visits: int) -> Check:
    bytes_each = manifest.first_visit_bytes
    fit = MONTHLY_TRAFFIC // bytes_each
    expected = f"; {format_count(visits)} are expected" if visits else ""
    return Check(
        "visits",
        fit >= max(visits, 1),
        f"{format_count(fit)} first visits a month of {format_bytes(bytes_each)} fit into GitHub's "
        f"{format_bytes(MONTHLY_TRAFFIC)}{expected}",
        "put a recipe of fewer bits first, such as w4a8_gptq, or publish on another host",
    )


def _check_licences(manifest: SiteManifest) -> Check:
    unknown = [model.name for model in manifest.models if NOT_STATED.fullmatch(model.licence)]
    unknown += [sample.file for model in manifest.models for sample in model.samples if not sample.licence.strip()]
    names = dict.fromkeys(f"{model.name}: {model.licence}" for model in manifest.models)
    return Check(
        "licence",
        not unknown,
        f"not known of {several(unknown)}" if unknown else several(list(names)),
        'say it and build again: licence = "CC-BY-4.0" in vit-pages.toml, or vit-pages build --licence CC-BY-4.0',
    )


def _check_verification(verified: Verified) -> Check:
    wrong = [finding.line() for finding in verified.findings.all if finding.ok is False]
    strangers = [finding.text for finding in verified.findings.all if finding.subject == "other files"]
    if strangers:
        return Check("verification", False, strangers[0], f"remove them, or build again; {MARKER} lists what is ours")
    return Check("verification", not wrong, several(wrong) if wrong else summary(verified), "build the page again")


def notes(manifest: SiteManifest) -> list[str]:
    """Return what hinders nobody from publishing, and should be known."""
    random = [model.name for model in manifest.models if model.weights == "random"]
    synthetic = [
        f"{model.name} {variant.id}"
        for model in manifest.models
        for variant in model.variants
        if variant.calibration and variant.calibration.synthetic
    ]
    return [
        *(f"{name} has random weights: its predictions are meaningless" for name in random),
        *([f"calibrated on synthetic images: {several(synthetic)}; pass --data to the build"] if synthetic else []),
    ]
