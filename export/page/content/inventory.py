"""What a page is made from: the stored artifacts of each model, its samples, and the script bundle."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from export.core.errors import ArtifactError
from export.core.files import describe_file
from export.core.paths import INSTALLED, SITE
from export.core.records import Artifact, CalibrationData, ModelSpec, SelfTest, StoredFile
from export.core.schema import Record, checked, parse_json
from export.page.content.presentation import AS_IT_IS, ModelPage, Sample, SampleSet
from export.pipeline.formats import FORMATS
from export.pipeline.runtimes import Engine, engine_for
from export.pipeline.selftest import read_reference_file, read_selftest
from export.pipeline.stages.integers import CALIBRATION
from export.pipeline.store import MANIFEST, Store
from export.quantization.recipes import Recipe, find_recipe

SAMPLES, ICON = SITE / "samples", SITE / "icon.svg"
COMMON_SAMPLES = "imagenet"  # for every model that has no samples of its own name
SPEC = "spec.json"
SERVICE_WORKER = "sw.js"  # at the root of the bundle, and of the site: a service worker is in charge of its own folder
BUNDLE_HINT = "install the package again" if INSTALLED else "delete .cache/bundle and build again"
LIBRARY, LIBRARY_ENGINE = "library", "vit"  # the folder in the bundle, and the one engine of the library
MODEL_MANIFEST = "manifest.json"  # of each model, for the library; beside its reference images
LICENCES = "LICENCES.txt"  # of everything that is bundled; written by site/build.mjs


def variant_id(artifact: Artifact) -> str:
    """Return the name of an artifact as a variant of its model."""
    return f"{artifact.recipe}-{artifact.format}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A recipe in a format that a browser engine loads; `folder` is its place in the site, with a final slash.

    `selftest` is what the build's own run gave on the model's reference images; `calibration` says on which images the
    scales were chosen, None where there were none.
    """

    recipe: Recipe
    engine: Engine
    artifact: Artifact
    selftest: SelfTest
    calibration: CalibrationData | None
    origin: Path
    folder: str

    @property
    def id(self) -> str:
        """The name a visitor's link carries, such as `u8-tfjs`."""
        return variant_id(self.artifact)

    @property
    def note(self) -> str:
        """What the recipe does, what this format does otherwise, and what its scales were not chosen on."""
        stock = self.artifact.format.endswith("_stock")
        synthetic = self.calibration is not None and self.calibration.synthetic
        return "".join(
            (
                self._format_note(),
                " The stock conversion, for comparison." * stock,
                " Its scales were chosen on synthetic images, not on real ones." * synthetic,
            )
        )

    def _format_note(self) -> str:
        how = self.recipe.quantization
        if how is None or how.activation_bits is None:
            return self.recipe.note
        if self.artifact.compute_dtype == "float32":
            return f"{self.recipe.note} In this format, only weights are quantized; activations stay float."
        format = FORMATS[self.artifact.format]
        dynamic = how.method.activations == "dynamic"
        return self.recipe.note + (format.dynamic_note if dynamic else format.static_note)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A model's reference images: where they were made, and their place in the site."""

    origin: Path
    file: StoredFile
    folder: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedModel:
    """A model with everything of it that goes into the site; `steps` are all its artifacts, parents first."""

    spec: ModelSpec
    reference: Reference
    variants: tuple[Variant, ...]
    steps: tuple[Artifact, ...]
    samples: SampleSet


class BundleManifest(Record, frozen=True, kw_only=True):
    """What `bundle.json` says: the four entry points, all files, by engine those of its own, and the library's."""

    main: str
    worker: str
    client: str
    css: str
    files: tuple[str, ...]
    engines: dict[str, tuple[str, ...]]
    library: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The scripts and styles of the page as `site/build.mjs` left them in `folder`.

    `files` are those of the page's engines and of all; `engines` are, by engine, the paths of its
    own; two engines may have some in common. `library` are the files for other people's pages, which lie in the folder
    `library/` as they do in the site; none where its engine runs nothing of the site.
    """

    folder: Path
    main: str
    worker: str
    client: str
    css: str
    files: tuple[StoredFile, ...]
    engines: dict[str, tuple[str, ...]]
    library: tuple[StoredFile, ...]

    def files_for(self, engine: str) -> tuple[StoredFile, ...]:
        """Return the files that an engine needs: what all share, and what is its own."""
        others = {path for paths in self.engines.values() for path in paths}.difference(self.engines[engine])
        return tuple(file for file in self.files if file.path not in others)


def gather_model(
    store: Store, name: str, recipes: Sequence[str], chosen: Collection[str] | None = None, page: ModelPage = AS_IT_IS
) -> PublishedModel:
    """Read a model's spec, variants and samples; raises `ArtifactError` for a recipe that was never built.

    `chosen` are the variants' ids; without it, all that are stored are taken. What `page` says comes first.
    """
    recipes = recipes if page.recipes is None else page.recipes
    chosen = chosen if page.variants is None else page.variants
    stored = _stored_artifacts(store, name)
    origin = next((artifact for artifact in stored if artifact.format == "torch"), None)
    if origin is None:
        raise ArtifactError(f"no model in {store.root / name}", hint=f"run: python -m export.build --model {name}")
    spec = ModelSpec.read(store.folder(name, origin.recipe, origin.format) / SPEC)
    wanted = [artifact for artifact in stored if chosen is None or variant_id(artifact) in chosen]
    variants = tuple(variant for recipe in recipes for variant in _variants(store, name, recipe, wanted))
    if not variants:
        raise ArtifactError(f"{store.root / name} has none of {', '.join(sorted(chosen or ()))}", hint="build again")
    return PublishedModel(
        spec=page.applied_to(spec),
        reference=_reference(store, origin),
        variants=variants,
        steps=_ancestry(variants, stored, origin),
        samples=page.samples or _samples(name),
    )


def _reference(store: Store, origin: Artifact) -> Reference:
    folder, file = read_reference_file(store, origin)
    name = f"selftest.{file.sha256[:10]}.safetensors"
    return Reference(origin=folder / file.path, file=file, folder=f"models/{origin.model}/", name=name)


def _stored_artifacts(store: Store, name: str) -> list[Artifact]:
    paths = sorted((store.root / name).glob(f"*/*/{MANIFEST}"))
    found = (store.read(name, path.parent.parent.name, path.parent.name) for path in paths)
    return [artifact for artifact in found if artifact is not None]


def _variants(store: Store, name: str, recipe: str, stored: list[Artifact]) -> list[Variant]:
    found = []
    for artifact in stored:
        engine = engine_for(artifact.format)
        if artifact.recipe == recipe and engine is not None:
            folder = f"models/{name}/{recipe}-{artifact.format}-{artifact.sha256[:10]}/"
            origin = store.folder(name, recipe, artifact.format)
            found.append(
                Variant(
                    recipe=_recipe(store, name, recipe),
                    engine=engine,
                    artifact=artifact,
                    origin=origin,
                    folder=folder,
                    selftest=read_selftest(store, artifact),
                    calibration=_calibration(store, name, recipe),
                )
            )
    if not found:
        raise ArtifactError(
            f"{store.root / name} has no browser format of recipe {recipe}",
            hint=f"run: python -m export.build --model {name} --recipe {recipe}",
        )
    return found


def _recipe(store: Store, model: str, name: str) -> Recipe:
    """Return a recipe as it was built, which for one from a file only its artifact knows."""
    path = store.folder(model, name, "safetensors") / "recipe.json"
    return Recipe.read(path) if path.is_file() else find_recipe(name)


def _calibration(store: Store, model: str, recipe: str) -> CalibrationData | None:
    path = store.folder(model, recipe, "safetensors") / CALIBRATION
    return CalibrationData.read(path) if path.is_file() else None


def _ancestry(variants: tuple[Variant, ...], stored: list[Artifact], origin: Artifact) -> tuple[Artifact, ...]:
    """Return the variants' artifacts and all that they were made from, parents before children.

    An artifact without a graph of its own is left out. Raises `ArtifactError` for a variant of which a parent is not
    stored as it was, or that does not begin with `origin`.
    """
    by_place = {(artifact.recipe, artifact.format): artifact for artifact in stored}
    ordered: dict[tuple[str, str], Artifact] = {}  # by place: two steps may make the same bytes

    def visit(artifact: Artifact) -> bool:
        """Add an artifact behind its parents; tell whether all of them are there."""
        place = (artifact.recipe, artifact.format)
        if place in ordered or artifact.sha256 == origin.sha256:
            ordered[place] = artifact
            return True
        parents = [by_place.get((parent.recipe, parent.format)) for parent in artifact.parents]
        for parent, expected in zip(parents, artifact.parents, strict=True):
            if parent is None or parent.sha256 != expected.sha256 or not visit(parent):
                return False
        ordered[place] = artifact
        return bool(parents)

    for variant in variants:
        if not visit(variant.artifact):
            raise ArtifactError(
                f"{variant.origin} was made from another version of {origin.model} than the one stored",
                hint=f"run: python -m export.build --model {origin.model}",
            )
    return tuple(one for one in ordered.values() if one.verification is not None or one.sha256 == origin.sha256)


def _samples(name: str) -> SampleSet:
    group = name if (SAMPLES / name / "samples.json").is_file() else COMMON_SAMPLES
    samples = checked(parse_json((SAMPLES / group / "samples.json").read_bytes()), tuple[Sample, ...])
    return SampleSet(
        folder=SAMPLES, samples=tuple(replace(sample, file=f"{group}/{sample.file}") for sample in samples)
    )


def read_bundle(folder: Path, engines: set[str]) -> Bundle:
    """Read `bundle.json`, leaving out what belongs to other engines: each takes megabytes.

    Raises `ArtifactError` when the file, a key or a file that it names is missing.
    """
    manifest = folder / "bundle.json"
    try:
        listed = BundleManifest.parse(manifest.read_bytes())
        owned = listed.engines
        own = {path for engine in engines for path in owned.get(engine, ())}
        left_out = {path for paths in owned.values() for path in paths} - own
        files = tuple(describe_file(folder / name, folder) for name in sorted({*listed.files} - left_out))
        names = {key: getattr(listed, key) for key in ("main", "worker", "client", "css")}
        library = tuple(describe_file(folder / LIBRARY / name, folder / LIBRARY) for name in listed.library)
        needed = {*names.values(), LICENCES, *own}
        if missing := needed - {file.path for file in files}:
            raise ArtifactError(f"files lacks {', '.join(sorted(missing))}")
    except (OSError, ArtifactError) as error:
        raise ArtifactError(f"{manifest} cannot be used: {error}", hint=BUNDLE_HINT) from error
    return Bundle(
        folder=folder,
        files=files,
        engines={name: owned.get(name, ()) for name in engines},
        library=library if LIBRARY_ENGINE in engines else (),
        **names,
    )
