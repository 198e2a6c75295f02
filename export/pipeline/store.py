"""artifacts/<model>/<recipe>/<format>/ and its manifest; the only writer of artifacts."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from export.core.errors import ArtifactError
from export.core.files import describe_file, hash_file, hash_json, replacing_folder
from export.core.records import SCHEMA_VERSION, Artifact, Verification
from export.core.schema import parse_json

MANIFEST = "artifact.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an artifact is to be: its place, its parents and how its bytes are to be read."""

    model: str
    recipe: str
    format: str
    key: str
    parent_sha256: str
    storage_dtype: str
    compute_dtype: str
    tools: dict[str, str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a stage found out while it made its files: how they compare, and what the runtime multiplies."""

    verification: Verification
    compute_dtype: str


Make = Callable[[Path], Verification | Outcome | None]


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
            if isinstance(values, dict) and values.get("schema_version") != SCHEMA_VERSION:
                return None  # written by another version: it is made anew
            return Artifact.from_json(values)
        except (OSError, ArtifactError) as error:
            raise ArtifactError(f"{path} cannot be read: {error}", hint="build again with --force") from error

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

    def write(self, plan: Plan, make: Make) -> Artifact:
        """Let `make` fill and verify an empty folder, describe it, and put it in place.

        Nothing is changed when `make` raises; raises `ArtifactError` when it left the folder empty.
        """
        target = self.folder(plan.model, plan.recipe, plan.format)
        with replacing_folder(target) as folder:
            made = make(folder)
            if isinstance(made, Outcome):
                plan, made = replace(plan, compute_dtype=made.compute_dtype), made.verification
            files = tuple(describe_file(path, folder) for path in sorted(folder.rglob("*")) if path.is_file())
            if not files:
                raise ArtifactError(f"making {plan.model}/{plan.recipe}/{plan.format} left no files")
            artifact = Artifact(
                schema_version=SCHEMA_VERSION,
                files=files,
                verification=made,
                bytes=sum(file.bytes for file in files),
                gzip_bytes=sum(file.gzip_bytes for file in files),
                sha256=hash_json([[file.path, file.sha256] for file in files]),
                **{name: getattr(plan, name) for name in Plan.__slots__},
            )
            (folder / MANIFEST).write_text(json.dumps(artifact.to_json(), indent=1) + "\n")
        return artifact
