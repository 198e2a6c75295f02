"""A request for a model: which one, with which weights and labels. Standard library only."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.core.errors import ArtifactError, RequestError
from export.core.files import hash_file, hash_json
from export.core.paths import ASSETS
from export.core.records import Weights
from export.data.archives import list_files
from export.models.catalog import CatalogEntry, find_model

CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A model as requested, checked as far as names and files tell; raises `RequestError`.

    `model` is a catalog name, `timm/NAME` or a Hugging Face name with a timm equivalent. `weights` are those requested,
    None for the default; `kind` is what will be used. `checkpoint` and `labels` are files; `seed` is that of random
    weights.
    """

    model: str
    weights: Weights | None = None
    checkpoint: Path | None = None
    labels: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        entry = find_model(self.model)
        if self.checkpoint is not None:
            if self.weights not in (None, "checkpoint"):
                raise RequestError(
                    f"--checkpoint {self.checkpoint} and --weights {self.weights} are mutually exclusive",
                    hint="leave one of them out",
                )
            _check_checkpoint(self.checkpoint)
        elif self.weights == "checkpoint":
            raise RequestError(
                "weights from a checkpoint were requested, but no file was given", hint="pass --checkpoint FILE"
            )
        elif self.weights == "embedded" and not entry.embedded:
            raise RequestError(
                f"{self.model} has no embedded weights",
                hint="only fashion has; leave out --weights to download pretrained ones",
            )
        if self.labels is not None and not self.labels.exists():
            raise RequestError(f"--labels {self.labels}: no such file", hint="check the path")

    @property
    def entry(self) -> CatalogEntry:
        """The model's catalog entry."""
        return find_model(self.model)

    @property
    def name(self) -> str:
        """The model's name in folders and on the page."""
        return self.entry.name

    @property
    def kind(self) -> Weights:
        """Where the weights come from."""
        if self.checkpoint is not None:
            return "checkpoint"
        if self.entry.embedded and self.weights != "random":
            return "embedded"
        return self.weights or "pretrained"


def _check_checkpoint(path: Path) -> None:
    allowed = ", ".join(CHECKPOINT_SUFFIXES)
    if not path.is_file():
        found = "is a folder" if path.is_dir() else "does not exist"
        raise RequestError(f"--checkpoint {path} {found}", hint=f"pass one weights file ({allowed})")
    if path.suffix.lower() not in CHECKPOINT_SUFFIXES:
        raise RequestError(
            f"--checkpoint {path}: weights files end in {allowed}",
            hint="save the model's state_dict with safetensors.torch.save_file or torch.save",
        )


def weights_file(request: ModelRequest) -> Path | None:
    """Return the local file of weights that a request names, or None for the hub's and for random ones.

    Raises `ArtifactError` when the embedded weights are missing.
    """
    if request.kind != "embedded":
        return request.checkpoint
    path = ASSETS / f"{request.name}.safetensors"
    if not path.is_file():
        raise ArtifactError(
            f"the embedded weights of {request.name} are missing: {path.name} is not in export/data/assets",
            hint="restore the file from the repository, or train it again: python -m export.train --install",
        )
    return path


def describe(request: ModelRequest) -> dict[str, Any]:
    """Return what decides the loaded model besides code and packages, for the key of its artifact.

    Names, the seed of random weights, and the SHA-256 of every file that is read; imports nothing heavy.
    Raises `ArtifactError` when the embedded weights are missing.
    """
    path = weights_file(request)
    return {
        "name": request.name,
        "timm_name": request.entry.timm_name,
        "arguments": dict(request.entry.arguments),
        "kind": request.kind,
        "seed": request.seed if request.kind == "random" else None,
        "weights": hash_file(path) if path else None,
        "labels": _hash_labels(request.labels) if request.labels else None,
    }


def _hash_labels(path: Path) -> str:
    """Return a hash of a file of labels, or of the names in a folder whose class folders are the labels."""
    return hash_json(list_files(path, lambda note: None)) if path.is_dir() else hash_file(path)
