"""artifacts/<model>/<recipe>/<format>/ and its manifest; the only writer of artifacts."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from export.core.errors import ArtifactError
from export.core.files import describe_file, hash_file, hash_json, replacing_folder, write_atomically
from export.core.records import Artifact, ParentArtifact, Verification
from export.core.schema import parse_json

MANIFEST, MANIFEST_VERSION = "artifact.json", 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an artifact is to be: its place, its parents and how its bytes are to be read."""

    model: str
    recipe: str
    format: str
    key: str
    parents: tuple[ParentArtifact, ...]
    storage_dtype: str
    tools: dict[str, str]


@dataclass(frozen=True, slots=True)
class Made:
    """What is known of an artifact once its files are written: how it compares, and what the runtime multiplies."""

    verification: Verification | None = None
    compute_dtype: str = "float32"


Fill = Callable[[Path], Made]


class Store:
    """The artifacts below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, model: str, recipe: str, format: str) -> Path:
        """Return where an artifact lies, or would."""
        return self.root / model / recipe / format

    def read(self, model: str, recipe: str, format: str) -> Artifact | None:
        """Return an artifact's manifest, or None where there is none; raises `ArtifactError` on a broken one."""
        path = self.folder(model, recipe, format) / MANIFEST
        if not path.exists():
            return None
        try:
            values = parse_json(path.read_bytes())
            if isinstance(values, dict) and values.get("schema_version") != MANIFEST_VERSION:
                return None  # written by another version: it is made anew
            return _checked(Artifact.from_json(values))
        except (OSError, ArtifactError) as error:
            raise ArtifactError(
                f"{path} cannot be read: {error}", hint=f"delete {path.parent} and build again"
            ) from error

    def find(self, model: str, recipe: str, format: str, key: str) -> Artifact | None:
        """Return the artifact made from `key` if it is there and every byte is as recorded."""
        artifact = self.read(model, recipe, format)
        if artifact is None or artifact.key != key:
            return None
        folder = self.folder(model, recipe, format)
        for file in artifact.files:
            path = folder / file.path
            if not path.is_file() or path.stat().st_size != file.bytes or hash_file(path) != file.sha256:
                return None
        return artifact

    def write(self, plan: Plan, fill: Fill, *, published: bool = True) -> Artifact:
        """Let `fill` fill and verify an empty folder, describe it, and put it in place.

        How small files are when packed is only found out of those that are `published`: it takes longer than many a
        stage. Nothing is changed when `fill` raises; raises `ArtifactError` when it left the folder empty.
        """
        target = self.folder(plan.model, plan.recipe, plan.format)
        with replacing_folder(target) as folder:
            made = fill(folder)
            paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            files = tuple(describe_file(path, folder, published=published) for path in paths)
            if not files:
                raise ArtifactError(f"making {plan.model}/{plan.recipe}/{plan.format} left no files")
            artifact = Artifact(
                schema_version=MANIFEST_VERSION,
                files=files,
                verification=made.verification,
                compute_dtype=made.compute_dtype,
                bytes=sum(file.bytes for file in files),
                gzip_bytes=sum(file.gzip_bytes for file in files),
                sha256=hash_json([[file.path, file.sha256] for file in files]),
                **{name: getattr(plan, name) for name in Plan.__slots__},
            )
            sealed = _sealed(artifact)
            (folder / MANIFEST).write_bytes(_manifest(sealed))
        return sealed

    def replace_manifest(self, artifact: Artifact) -> Artifact:
        """Write what is said of a stored artifact anew, its files as they are."""
        sealed = _sealed(artifact)
        write_atomically(self.folder(sealed.model, sealed.recipe, sealed.format) / MANIFEST, _manifest(sealed))
        return sealed


def _sealed(artifact: Artifact) -> Artifact:
    """Return a record with the hash of what it says, so that no altered figure is ever published."""
    return structs.replace(artifact, digest=hash_json(structs.replace(artifact, digest="").to_json()))


def _checked(artifact: Artifact) -> Artifact:
    if artifact.digest and artifact != _sealed(artifact):
        raise ArtifactError("its values are not those that were written")
    return artifact


def _manifest(artifact: Artifact) -> bytes:
    return (json.dumps(artifact.to_json(), indent=1) + "\n").encode()
