"""`vit-pages.json`: a machine's view of a site, with the SHA-256 of every file; also the mark that a folder is ours."""

from collections.abc import Sequence
from pathlib import Path

from export import __version__
from export.core.errors import ArtifactError
from export.core.files import hash_file
from export.core.records import CalibrationData, Preprocess, Probabilities, SelfTest, StoredFile, Verification, Weights
from export.core.schema import Count, PositiveInt, Record, parse_json
from export.page.content.inventory import PublishedModel, Variant
from export.page.content.presentation import PageTexts, Sample

MARKER, GENERATOR = "vit-pages.json", "vit-pages"
MANIFEST_VERSION = 2


class SiteFile(Record, frozen=True, kw_only=True):
    """One file of the site; `path` is relative to its front page."""

    path: str
    bytes: Count
    sha256: str


class SiteVariant(Record, frozen=True, kw_only=True):
    """A variant of a model; the paths of `files` are relative to `folder`, which is the site's, with a final slash."""

    id: str
    recipe: str
    format: str
    engine: str
    storage_dtype: str
    compute_dtype: str
    folder: str
    files: tuple[StoredFile, ...]
    bytes: Count
    gzip_bytes: Count
    sha256: str
    selftest: SelfTest
    verification: Verification | None
    calibration: CalibrationData | None


class SiteModel(Record, frozen=True, kw_only=True):
    """A model of the site; `selftest` is its file of reference images."""

    name: str
    title: str
    timm_name: str
    weights: Weights
    weights_sha256: str
    licence: str
    source: str
    outputs: PositiveInt
    features: bool
    probabilities: Probabilities
    preprocess: Preprocess
    labels: tuple[str, ...]
    selftest: SiteFile
    samples: tuple[Sample, ...]
    variants: tuple[SiteVariant, ...]


class SiteManifest(Record, frozen=True, kw_only=True):
    """The whole of `vit-pages.json`; `first_visit_bytes` is what a first visit downloads at most, compressed."""

    schema_version: int
    generator: str
    version: str
    page: PageTexts
    first_visit_bytes: PositiveInt
    models: tuple[SiteModel, ...]
    files: tuple[SiteFile, ...]


def describe_site(
    folder: Path, published: Sequence[PublishedModel], texts: PageTexts, first_visit_bytes: int
) -> SiteManifest:
    """Return the manifest of a rendered site, of all files that are in its folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return SiteManifest(
        schema_version=MANIFEST_VERSION,
        generator=GENERATOR,
        version=__version__,
        page=texts,
        first_visit_bytes=first_visit_bytes,
        models=tuple(map(_model, published)),
        files=tuple(
            SiteFile(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=hash_file(path))
            for path in paths
        ),
    )


def _model(model: PublishedModel) -> SiteModel:
    copied = (
        "name",
        "title",
        "timm_name",
        "weights",
        "weights_sha256",
        "licence",
        "source",
        "outputs",
        "features",
        "probabilities",
        "preprocess",
        "labels",
    )
    reference = model.reference
    return SiteModel(
        **{name: getattr(model.spec, name) for name in copied},
        selftest=SiteFile(
            path=reference.folder + reference.name, bytes=reference.file.bytes, sha256=reference.file.sha256
        ),
        samples=model.samples.samples,
        variants=tuple(map(_variant, model.variants)),
    )


def _variant(variant: Variant) -> SiteVariant:
    artifact = variant.artifact
    copied = ("recipe", "format", "storage_dtype", "compute_dtype", "files", "bytes", "gzip_bytes", "sha256")
    return SiteVariant(
        id=variant.id,
        engine=variant.engine.name,
        folder=variant.folder,
        selftest=variant.selftest,
        verification=artifact.verification,
        calibration=variant.calibration,
        **{name: getattr(artifact, name) for name in copied},
    )


def read_site_manifest(text: bytes) -> SiteManifest:
    """Read `vit-pages.json`; raises `ArtifactError` for another file and for that of another version."""
    values = parse_json(text)
    if not isinstance(values, dict) or values.get("generator") != GENERATOR:
        raise ArtifactError(f"it is not the {MARKER} of a page that ViT Pages made")
    if values.get("schema_version") != MANIFEST_VERSION:
        raise ArtifactError(
            f"it was written by ViT Pages {values.get('version')}, in version {values.get('schema_version')} of the "
            f"format; this is {__version__}, which reads version {MANIFEST_VERSION}",
            hint="use that version, or build the page again",
        )
    return SiteManifest.from_json(values)
