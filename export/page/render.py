"""The page: artifacts + measurements + script bundle → `_site/`, with the standard library and Jinja alone."""

import json
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from export.core.errors import ArtifactError, ExportError, RequestError
from export.core.figures.units import FILTERS, format_bytes, format_count, format_unequal_bytes
from export.core.files import hash_file, replacing_folder, write_atomically
from export.core.paths import TEMPLATES
from export.page.assets.library import manifest_path, write_manifest
from export.page.assets.service_worker import Shell, find_shell
from export.page.content.inventory import (
    ICON,
    LIBRARY,
    SERVICE_WORKER,
    Bundle,
    PublishedModel,
    gather_model,
    read_bundle,
)
from export.page.content.manifest import MARKER, SiteManifest, describe_site
from export.page.content.presentation import AS_IT_IS, OWN_TEXTS, ModelPage, PageTexts
from export.page.contexts import PageContext, icon_path, page_contexts
from export.page.reports.analysis.records import read_finished
from export.page.reports.benchmark.view import read_benchmark
from export.page.reports.comparison.view import read_comparisons
from export.page.results_view import read_measurements
from export.pipeline.store import Store

SITE_LIMIT = 1_000_000_000  # bytes; what GitHub Pages publishes at most
MONTHLY_TRAFFIC = 100_000_000_000  # bytes; its soft limit
NO_PAGES: Mapping[str, ModelPage] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderReport:
    """What was rendered: sizes in bytes; `first_visit_bytes` is what a first visit with the first variant downloads.

    `kept` files are available offline from the first visit on, `later` ones once they were used.
    """

    out: Path
    variants: int
    files: int
    bytes: int
    largest_path: str
    largest_bytes: int
    first_visit_bytes: int
    visits_per_month: int
    kept: int
    kept_bytes: int
    later: int
    later_bytes: int
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the report for the terminal."""
        return [
            f"{self.variants} variants, {self.files} files, {format_bytes(self.bytes)} "
            f"of {format_bytes(SITE_LIMIT)} allowed; largest: {self.largest_path} ({format_bytes(self.largest_bytes)})",
            f"a first visit downloads at most {format_bytes(self.first_visit_bytes)}: "
            f"{format_count(self.visits_per_month)} visits per month within {format_bytes(MONTHLY_TRAFFIC)}",
            f"available offline: {self.kept} files ({format_bytes(self.kept_bytes)}) from the first visit, "
            f"{self.later} ({format_bytes(self.later_bytes)}) after their first use",
            *(f"note: {note}" for note in self.notes),
        ]


def render(
    *,
    artifacts: Path,
    models: list[str],
    recipes: list[str],
    bundle: Path,
    measurements: Path | None,
    out: Path,
    benchmark: Path | None = None,
    analyses: Sequence[Path] = (),
    comparisons: Sequence[Path] = (),
    variants: Collection[str] | None = None,
    texts: PageTexts = OWN_TEXTS,
    pages: Mapping[str, ModelPage] = NO_PAGES,
) -> RenderReport:
    """Gather everything, write the whole site beside `out`, then put it in place.

    `variants` are the ids of those to publish; without it, all that are stored of these recipes are. `analyses`
    are files of layers' costs, `comparisons` those of recipes. `pages` say by model what is published otherwise.
    Raises `RequestError` when `out` holds anything that a render did not put there, `ArtifactError` when
    an artifact is missing or altered, and `ExportError` when the site would exceed what may be published.
    """
    out = out.resolve()
    refuse_foreign(out)
    store = Store(artifacts)
    published = tuple(gather_model(store, name, recipes, variants, pages.get(name, AS_IT_IS)) for name in models)
    engines = {variant.engine.name for model in published for variant in model.variants}
    scripts = read_bundle(bundle, engines)
    measured = read_measurements(measurements)
    costs, unfinished = read_finished(analyses)
    compared = read_comparisons(comparisons)
    contexts, notes = page_contexts(published, scripts, measured, read_benchmark(benchmark), costs, compared, texts)
    rendered = _render_pages(contexts)
    _refuse_oversize(published, scripts)
    with replacing_folder(out) as folder:
        _copy_files(published, scripts, folder)
        for name, text in rendered.items():
            write_atomically(folder / name, text.encode())
        shell = find_shell(folder, scripts, published[0].variants[0].engine.name)
        write_atomically(folder / SERVICE_WORKER, shell.script(scripts))
        manifest = describe_site(folder, published, texts, _first_visit(published, shell))
        marker = json.dumps(manifest.to_json(), indent=1, ensure_ascii=False) + "\n"
        write_atomically(folder / MARKER, marker.encode())
    return _report(out, manifest, shell, [*notes, *unfinished])


def refuse_foreign(out: Path) -> None:
    """Raise `RequestError` unless `out` is absent, empty, or holds nothing but what a render wrote."""
    if not out.exists():
        return
    if not out.is_dir():
        raise RequestError(f"{out} is a file; the site needs a folder", hint="choose another one with --out")
    if not any(names for _, _, names in os.walk(out)):
        return
    try:
        ours = {file["path"] for file in json.loads((out / MARKER).read_text("utf-8"))["files"]} | {MARKER}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RequestError(
            f"{out} is not empty and was not made by this command (it has no readable {MARKER})",
            hint="empty it, or choose another folder with --out",
        ) from error
    foreign = sorted({path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()} - ours)
    if foreign:
        shown = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
        raise RequestError(
            f"{out} would be replaced, but has files that are not part of the site: {shown}",
            hint="move them elsewhere, or choose another folder with --out",
        )


def refuse_unwritable(out: Path) -> None:
    """Raise `RequestError` where `out` cannot be written: a new folder is made beside it, and takes its place."""
    parent = next(folder for folder in out.absolute().parents if folder.exists())
    try:
        Path(tempfile.mkdtemp(prefix=".vit-pages-", dir=parent)).rmdir()
    except OSError as error:
        raise RequestError(
            f"--out {out} cannot be written: {error.strerror}", hint="choose another folder with --out"
        ) from error


def _refuse_oversize(published: tuple[PublishedModel, ...], scripts: Bundle) -> None:
    weights = [variant.artifact for model in published for variant in model.variants]
    total = sum(artifact.bytes for artifact in weights) + sum(file.bytes for file in scripts.files)
    if total > SITE_LIMIT:
        largest = max(weights, key=lambda artifact: artifact.bytes)
        found, limit = format_unequal_bytes(total, SITE_LIMIT)
        raise ExportError(
            f"the site would take {found}; GitHub Pages publishes at most {limit}",
            hint=f"build fewer models or recipes: {largest.model}/{largest.recipe} takes {format_bytes(largest.bytes)}",
        )


@cache
def page_environment() -> Environment:
    """Return the Jinja environment: autoescaping, an undefined name is an error, and templates are compiled once."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(FILTERS)
    return environment


def _render_pages(contexts: tuple[PageContext, ...]) -> dict[str, str]:
    environment = page_environment()
    pages = {".nojekyll": ""}
    for context in contexts:
        values = {field.name: getattr(context, field.name) for field in fields(context)}
        pages[context.page] = environment.get_template(context.page).render(**values)
    return pages


def _copy_files(published: tuple[PublishedModel, ...], scripts: Bundle, folder: Path) -> None:
    """Copy what the pages refer to, and nothing else; raises `ArtifactError` for bytes that have changed."""
    for file in scripts.files:
        _copy(scripts.folder / file.path, folder / "assets" / file.path)
    for file in scripts.library:
        _copy(scripts.folder / LIBRARY / file.path, folder / file.path)
    _copy(ICON, folder / icon_path())
    for model in published:
        for sample in model.samples.samples:
            _copy(model.samples.folder / sample.file, folder / "samples" / sample.file)
        reference = model.reference
        _copy_verified(reference.origin, folder / reference.folder / reference.name, reference.file.sha256)
        for variant in model.variants:
            for file in variant.artifact.files:
                _copy_verified(variant.origin / file.path, folder / variant.folder / file.path, file.sha256)
        write_atomically(folder / manifest_path(model), write_manifest(model))


def _copy_verified(source: Path, target: Path, sha256: str) -> None:
    _copy(source, target)
    if hash_file(target) != sha256:
        raise ArtifactError(f"{source} does not match its manifest", hint="build again with --force")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.is_file():
        raise ArtifactError(f"{source} is missing", hint="build again with --force")
    shutil.copyfile(source, target)


def _report(out: Path, manifest: SiteManifest, shell: Shell, notes: list[str]) -> RenderReport:
    largest = max(manifest.files, key=lambda file: file.bytes)
    return RenderReport(
        out=out,
        variants=sum(len(model.variants) for model in manifest.models),
        files=len(manifest.files) + 1,
        bytes=sum(file.bytes for file in manifest.files),
        largest_path=largest.path,
        largest_bytes=largest.bytes,
        first_visit_bytes=manifest.first_visit_bytes,
        visits_per_month=MONTHLY_TRAFFIC // manifest.first_visit_bytes,
        kept=len(shell.kept),
        kept_bytes=sum(file.bytes for file in shell.kept),
        later=len(shell.later),
        later_bytes=sum(file.bytes for file in shell.later),
        notes=tuple(notes),
    )


def _first_visit(published: tuple[PublishedModel, ...], shell: Shell) -> int:
    """Return the gzipped bytes of a first visit: what it keeps, and the first variant with its largest runtime."""
    kept = sum(file.gzip_bytes for file in shell.kept)
    scripts = sum(file.gzip_bytes for file in shell.runtimes if not file.path.endswith(".wasm"))
    binaries = [file.gzip_bytes for file in shell.runtimes if file.path.endswith(".wasm")]
    weights = published[0].variants[0].artifact.gzip_bytes + published[0].reference.file.gzip_bytes
    return kept + scripts + max(binaries, default=0) + weights
