"""The files of a page against its manifest: each is there, of its size, and of its SHA-256."""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from export.core.console import several
from export.core.errors import ArtifactError
from export.core.files import hash_bytes, hash_json
from export.core.schema import parse_json
from export.page.content.manifest import MARKER, SiteFile, SiteManifest, SiteModel, SiteVariant
from export.publishing.verification.findings import Findings
from export.publishing.verification.sources import Source, WebSource

SITE_DATA = re.compile(rb'<script type="application/json" id="site-data">(.*?)</script>', re.DOTALL)
ADDED_BY_HOSTS = ("CNAME", "README.md", "LICENSE")


def refuse_odd_paths(manifest: SiteManifest) -> None:
    """Raise `ArtifactError` for a path that leads out of the page."""
    variants = [variant for model in manifest.models for variant in model.variants]
    paths = [file.path for file in manifest.files] + [model.selftest.path for model in manifest.models]
    paths += [variant.folder + file.path for variant in variants for file in variant.files]
    for path in paths:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path or ":" in parts[0]:
            raise ArtifactError(f"{MARKER} names {path!r}, which is not within the page", hint="do not use this page")


def verify_files(source: Source, manifest: SiteManifest, target: Path, findings: Findings) -> set[str]:
    """Copy every file that is as the manifest says into `target`, and return their paths."""
    right = set()
    for file in manifest.files:
        if isinstance(source, WebSource) and file.path.rpartition("/")[2].startswith("."):
            continue  # hosts do not send these
        body = source.read(file.path, file.bytes)
        fault = _fault(file, body)
        if findings.add(file.path, not fault, fault) and body is not None:
            path = target / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(body)
            right.add(file.path)
    known = {MARKER, *(file.path for file in manifest.files)}
    others = [name for name in source.others(known) if name not in ADDED_BY_HOSTS]
    if others:
        findings.add("other files", None, f"{several(others)} are not in {MARKER}")
    return right


def _fault(file: SiteFile, body: bytes | None) -> str:
    if body is None:
        return "it is missing"
    if len(body) != file.bytes:
        found = f"more than {file.bytes}" if len(body) > file.bytes else str(len(body))
        return f"it has {found} bytes, not {file.bytes}"
    found = hash_bytes(body)
    return "" if found == file.sha256 else f"its SHA-256 begins {found[:12]}, not {file.sha256[:12]}"


def verify_records(manifest: SiteManifest, folder: Path, findings: Findings) -> None:
    """Compare what the manifest, the page and further manifests say of the same files."""
    listed = {file.path: file for file in manifest.files}
    for model in manifest.models:
        _same(findings, f"{model.name}: reference images", [(model.selftest, listed.get(model.selftest.path))])
        for variant in model.variants:
            pairs = [(file, listed.get(variant.folder + file.path)) for file in variant.files]
            _same(findings, f"{model.name} {variant.id}: files", pairs)
            found = hash_json([[file.path, file.sha256] for file in variant.files])
            findings.add(f"{model.name} {variant.id}: SHA-256 of all", found == variant.sha256)
    _verify_page(manifest, folder, findings)
    for path in sorted(folder.glob("models/**/manifest.json")):
        name = path.relative_to(folder).as_posix()
        faults = _mentions(parse_json(path.read_bytes()), name.rpartition("/")[0] + "/", listed)
        findings.add(f"{name}: files", not faults, several(faults))


def _same(findings: Findings, subject: str, pairs: list[tuple[Any, SiteFile | None]]) -> None:
    wrong = [
        said.path for said, file in pairs if file is None or (said.bytes, said.sha256) != (file.bytes, file.sha256)
    ]
    findings.add(subject, not wrong, f"{several(wrong)} are listed otherwise" if wrong else "")


def _verify_page(manifest: SiteManifest, folder: Path, findings: Findings) -> None:
    """Compare what the classify page tells its scripts with the manifest."""
    page = folder / "index.html"
    matched = SITE_DATA.search(page.read_bytes()) if page.is_file() else None
    if matched is None:
        findings.add("index.html", False, "it carries no data for its scripts")
        return
    try:
        said = {
            (model["name"], variant["id"], variant["sha256"], model["selftest"]["sha256"])
            for model in parse_json(matched[1])["models"]
            for variant in model["variants"]
        }
    except (ArtifactError, KeyError, TypeError):
        findings.add("index.html: its models", False, "its data for its scripts are not those of a page of this kind")
        return
    wanted = {(model.name, one.id, one.sha256, model.selftest.sha256) for model, one in variants_of(manifest)}
    findings.add("index.html: its models", said == wanted, "" if said == wanted else f"they are not those of {MARKER}")


def _mentions(values: Any, folder: str, listed: dict[str, SiteFile]) -> list[str]:
    """Return the files that a JSON value mentions with another size or hash than the site's manifest."""
    if isinstance(values, list):
        return [fault for value in values for fault in _mentions(value, folder, listed)]
    if not isinstance(values, dict):
        return []
    inside = values.get("folder")
    base = folder + inside if isinstance(inside, str) else folder
    if isinstance(values.get("path"), str) and isinstance(values.get("sha256"), str):
        places = (values["path"], base + values["path"])
        file = next((listed[place] for place in places if place in listed), None)
        same = file is not None and file.sha256 == values["sha256"]
        return [] if same else [values["path"]]
    return [fault for value in values.values() for fault in _mentions(value, base, listed)]


def variants_of(manifest: SiteManifest) -> list[tuple[SiteModel, SiteVariant]]:
    """Return every variant with its model."""
    return [(model, variant) for model in manifest.models for variant in model.variants]
