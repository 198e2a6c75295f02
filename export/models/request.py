"""A request for a model: which one, with which weights and labels. Standard library only."""

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export.core.errors import ArtifactError, RequestError
from export.core.files import hash_file, hash_json
from export.core.paths import ASSETS
from export.core.records import Weights
from export.data.archives import list_files
from export.data.signatures import read_head, recognise
from export.models.catalog import CatalogEntry, find_model

WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")  # as trainers name them; any will do
CALLED = re.compile(r"[A-Za-z0-9][\w-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreprocessOptions:
    """How images become a model's input, where it is requested; None leaves what the checkpoint or the model says.

    `mean` and `std` are of values of 0 to 1; `image_size` is height and width. Raises `RequestError`.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop_pct: float | None = None
    interpolation: str | None = None
    image_size: int | None = None

    def __post_init__(self) -> None:
        for name, holds, allowed in (
            ("mean", all(0 <= value <= 1 for value in self.mean or ()), "0 to 1, of images scaled to 0 to 1"),
            ("std", all(0 < value <= 1 for value in self.std or ()), "above 0, at most 1, of images scaled to 0 to 1"),
            ("crop_pct", self.crop_pct is None or 0 < self.crop_pct <= 1, "above 0, at most 1"),
            ("image_size", self.image_size is None or 1 <= self.image_size <= 4096, "1 to 4096"),
        ):
            if not holds:
                raise RequestError(
                    f"--{name.replace('_', '-')} {getattr(self, name)} is out of range", hint=f"allowed: {allowed}"
                )

    def given(self) -> dict[str, Any]:
        """Return what is requested, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRequest:
    """A model as requested, checked as far as names and files tell; raises `RequestError`.

    `model` is a catalog name, `timm/NAME` or a Hugging Face name with a timm equivalent. `weights` are those requested,
    None for the default; `kind` is what will be used. `checkpoint` and `labels` are files, `labels` also a folder of
    class folders; `seed` is that of random weights. With `multi_label`, outputs do not exclude each other. `confidence`
    is a file that `python -m export.evaluate --confidence` wrote. `called` is the model's name in folders and on the
    page, where it is not the architecture's.
    """

    model: str
    weights: Weights | None = None
    checkpoint: Path | None = None
    labels: Path | None = None
    seed: int = 0
    multi_label: bool = False
    preprocess: PreprocessOptions = PreprocessOptions()
    confidence: Path | None = None
    called: str = ""

    def __post_init__(self) -> None:
        entry = find_model(self.model)
        if self.called and not CALLED.fullmatch(self.called):
            raise RequestError(
                f"--name {self.called!r} is no name for a model",
                hint="letters, digits, - and _ are allowed, beginning with a letter or digit: garden-birds",
            )
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
                hint="only fashion and photos have; leave out --weights to download pretrained ones",
            )
        if self.labels is not None and not self.labels.exists():
            raise RequestError(f"--labels {self.labels}: no such file", hint="check the path")
        if self.confidence is not None and not self.confidence.is_file():
            raise RequestError(
                f"--confidence {self.confidence}: no such file",
                hint="check the path, or fit it: python -m export.evaluate --confidence",
            )

    @property
    def entry(self) -> CatalogEntry:
        """The model's catalog entry."""
        return find_model(self.model)

    @property
    def name(self) -> str:
        """The model's name in folders and on the page."""
        return self.called or self.entry.name

    @property
    def kind(self) -> Weights:
        """Where the weights come from."""
        if self.checkpoint is not None:
            return "checkpoint"
        if self.entry.embedded and self.weights != "random":
            return "embedded"
        return self.weights or "pretrained"


def _check_checkpoint(path: Path) -> None:
    if path.is_dir():
        files = sorted(file.name for file in path.iterdir() if file.suffix in WEIGHTS_SUFFIXES)
        raise RequestError(
            f"--checkpoint {path} is a folder",
            hint=f"pass one file of weights, such as {path / files[0] if files else 'FILE.safetensors'}",
        )
    if not path.is_file():
        raise RequestError(f"--checkpoint {path} does not exist", hint="check the path; pass one file of weights")
    kind = recognise(read_head(path))
    if kind is not None:
        raise RequestError(f"--checkpoint {path} is {kind.title}", hint=kind.hint)


def weights_file(request: ModelRequest) -> Path | None:
    """Return the local file of weights that a request names, or None for the hub's and for random ones.

    Raises `ArtifactError` when the embedded weights are missing.
    """
    if request.kind != "embedded":
        return request.checkpoint
    name = request.entry.name
    path = ASSETS / f"{name}.safetensors"
    if not path.is_file():
        raise ArtifactError(
            f"the embedded weights of {name} are missing: {path.name} is not in export/data/assets",
            hint="restore the file from the repository, or train it again: python -m export.train --install",
        )
    return path


def _companions(request: ModelRequest) -> dict[str, Path]:
    """Return the files that lie beside embedded weights and are read with them, by what they hold."""
    if request.kind != "embedded":
        return {}
    paths = {what: ASSETS / f"{request.entry.name}_{what}" for what in ("labels.txt", "confidence.json")}
    return {what: path for what, path in paths.items() if path.is_file()}


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
        "multi_label": request.multi_label,
        "preprocess": request.preprocess.given(),
        "labels": _hash_labels(request.labels) if request.labels else None,
        "confidence": hash_file(request.confidence) if request.confidence else None,
        "embedded": {what: hash_file(path) for what, path in _companions(request).items()},
    }


def _hash_labels(path: Path) -> str:
    """Return a hash of a file of labels, or of the names in a folder whose class folders are the labels."""
    return hash_json(list_files(path, lambda note: None)) if path.is_dir() else hash_file(path)
