"""A request for a model: which one, with which weights and labels. Standard library only."""

import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from export.core.errors import ArtifactError, RequestError
from export.core.files import hash_file, hash_json
from export.core.paths import ASSETS
from export.core.records import Weights
from export.data.archives import list_files
from export.data.signatures import read_head, recognise
from export.models.catalog import CatalogEntry, find_model
from export.models.choice.source import entry_of, find_folder, is_folder, repository_entry, repository_of
from export.models.folder.files import ModelFolder

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

    `model` is a catalog name, `timm/NAME`, a Hugging Face name with a timm equivalent, a folder as transformers or timm
    saves one, or such a repository of the hub, `hf_hub:USER/REPO`. `weights` are those requested, None for the default;
    `kind` is what will be used. `checkpoint` and `labels` are files, `checkpoint` also such a folder, `labels` one of
    class folders; `seed` is that of random weights, which may have `outliers`. With `multi_label`, outputs do not
    exclude each other; with `features`, the classifier is left out. `confidence` is a file that
    `python -m export.evaluate --confidence` wrote. `called` is the model's name in folders and on the page, where it is
    not the architecture's.
    """

    model: str
    weights: Weights | None = None
    checkpoint: Path | None = None
    labels: Path | None = None
    seed: int = 0
    outliers: bool = False
    multi_label: bool = False
    features: bool = False
    preprocess: PreprocessOptions = PreprocessOptions()
    confidence: Path | None = None
    called: str = ""

    def __post_init__(self) -> None:
        if self.checkpoint is not None:
            if self.weights not in (None, "checkpoint"):
                raise RequestError(
                    f"--checkpoint {self.checkpoint} and --weights {self.weights} are mutually exclusive",
                    hint="leave one of them out",
                )
            _check_checkpoint(self.checkpoint)
        entry = self.entry
        if self.called and not CALLED.fullmatch(self.called):
            raise RequestError(
                f"--name {self.called!r} is no name for a model",
                hint="letters, digits, - and _ are allowed, beginning with a letter or digit: garden-birds",
            )
        if self.checkpoint is None and self.weights == "checkpoint":
            raise RequestError(
                "weights from a checkpoint were requested, but no file was given", hint="pass --checkpoint FILE"
            )
        if self.checkpoint is None and self.weights == "embedded" and not entry.embedded:
            raise RequestError(
                f"{self.model} has no embedded weights",
                hint="only fashion and photos have; leave out --weights to download pretrained ones",
            )
        about_classes = {"--labels": self.labels, "--multi-label": self.multi_label, "--confidence": self.confidence}
        for option in (option for option, given in about_classes.items() if given and self.features):
            raise RequestError(
                f"{option} is about classes, and with --features there are none", hint="leave one of the two out"
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
        """The model's catalog entry; that of a repository on the hub says no architecture before it is fetched."""
        folder = self.folder(download=False)
        if folder is not None:
            return _named(entry_of(folder), self.model)
        repository = repository_of(self.model)
        return repository_entry(repository) if repository else find_model(self.model)

    def folder(self, *, download: bool = True) -> ModelFolder | None:
        """Return the folder that the model is read from, fetched from the hub where it is a repository, or None."""
        return find_folder(self.model, self.checkpoint, download=download)

    @property
    def name(self) -> str:
        """The model's name in folders and on the page."""
        kinds = "".join(f"_{kind}" for kind in ("features", "outliers") if getattr(self, kind))
        return self.called or f"{self.entry.name}{kinds}"

    @property
    def kind(self) -> Weights:
        """Where the weights come from."""
        if self.checkpoint is not None or (is_folder(self.model) and self.weights != "random"):
            return "checkpoint"
        if self.entry.embedded and self.weights != "random":
            return "embedded"
        return self.weights or "pretrained"


def _named(entry: CatalogEntry, model: str) -> CatalogEntry:
    """Return a folder's entry under the name of the model that is requested with it, if one is."""
    if is_folder(model):
        return entry
    requested = find_model(model)
    kinds = [architecture_kind(one.timm_name) for one in (entry, requested)]
    if kinds[0] != kinds[1]:
        raise RequestError(
            f"--model {model} is a {kinds[1]}, but the folder of the checkpoint holds a {kinds[0]}",
            hint="leave --model out: the folder's config.json says what it is",
        )
    return replace(entry, name=requested.name, title=requested.title)


def architecture_kind(timm_name: str) -> str:
    """Return the first word of an architecture's name; a DeiT is a ViT."""
    word = re.match("[a-z]*", timm_name)
    return "vit" if timm_name.startswith("deit_") else word[0] if word else ""


def _check_checkpoint(path: Path) -> None:
    if path.is_dir():
        return
    if not path.is_file():
        raise RequestError(
            f"--checkpoint {path} does not exist",
            hint="check the path; pass one file of weights, or the folder that save_pretrained wrote",
        )
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

    Names, the seed of random weights, and the SHA-256 of every file that is read; imports nothing heavy. A repository
    of the hub is fetched. Raises `ArtifactError` when the embedded weights are missing, `RequestError` where a folder
    or repository cannot be read.
    """
    folder = request.folder()
    path = None if folder else weights_file(request)
    entry = entry_of(folder) if folder else request.entry
    return {
        "name": request.name,
        "timm_name": entry.timm_name,
        "arguments": dict(entry.arguments),
        "kind": request.kind,
        "seed": request.seed if request.kind == "random" else None,
        "outliers": request.outliers,
        "weights": hash_file(path) if path else None,
        "folder": {file.name: hash_file(file) for file in folder.read} if folder else None,
        "multi_label": request.multi_label,
        "features": request.features,
        "preprocess": request.preprocess.given(),
        "labels": _hash_labels(request.labels) if request.labels else None,
        "confidence": hash_file(request.confidence) if request.confidence else None,
        "embedded": {what: hash_file(path) for what, path in _companions(request).items()},
    }


def _hash_labels(path: Path) -> str:
    """Return a hash of a file of labels, or of the names in a folder whose class folders are the labels."""
    return hash_json(list_files(path, lambda note: None)) if path.is_dir() else hash_file(path)
