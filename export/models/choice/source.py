"""Where a model comes from that is neither in the catalog nor timm's: a folder, or a repository of the hub.

Standard library only, but for the download.
"""

import json
import re
from pathlib import Path
from types import MappingProxyType

from export.core.errors import RequestError
from export.models.catalog import HUB, MODELS, TIMM_EQUIVALENTS, CatalogEntry
from export.models.folder import timm_model
from export.models.folder.card import stated_licence
from export.models.folder.config import Config
from export.models.folder.files import CONFIG, ModelFolder, read_folder
from export.models.transformers.twin import find_twin

HUB_PREFIX = re.compile(r"hf[-_]hub:")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
SNAPSHOT = re.compile(r"models--(.+)--(.+)")  # a repository's folder in the hub's cache
STEP = re.compile(r"checkpoint-\d+|snapshots|best|last|final|model", re.IGNORECASE)  # names that say nothing alone
HEADER_BYTES = 10_000_000  # of a safetensors file, of tens of thousands of tensors
OWN = "not stated (own checkpoint)"


def is_folder(name: str) -> bool:
    """Whether the name of a model is that of a folder; those of the catalog are not."""
    return bool(name) and name not in MODELS and Path(name).is_dir()


def repository_of(name: str) -> str:
    """Return the repository `user/repo` that a name with the prefix `hf_hub:` means, or "" for any other name.

    Repositories of timm's own are timm's models. Raises `RequestError` when it is no such name.
    """
    repository = HUB_PREFIX.sub("", name)
    if repository == name or repository in TIMM_EQUIVALENTS or repository.startswith("timm/"):
        return ""
    if not REPOSITORY.fullmatch(repository):
        raise RequestError(
            f"--model {name!r} is no name of a repository on the hub", hint="pass hf_hub:USER/REPO, or …@REVISION"
        )
    return repository


def name_of(path: Path) -> str:
    """Return the name of a folder's model in folders and on the page."""
    path = path.resolve()
    cached = next((found for one in path.parents if (found := SNAPSHOT.fullmatch(one.name))), None)
    if cached:
        return f"{cached[1]}-{cached[2]}"
    words = [path.name] if not STEP.fullmatch(path.name) else [path.parent.name, path.name]
    return usable("-".join(words))


def usable(name: str) -> str:
    """Return a name that can be a folder's and is none of the catalog's."""
    slug = re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.") or "model"
    return f"{slug}-own" if slug in MODELS else slug


def beside(checkpoint: Path) -> Path | None:
    """Return the folder that a checkpoint is, or whose configuration lies beside it; None where there is none."""
    if checkpoint.is_dir():
        return checkpoint
    if not checkpoint.is_file() or not (checkpoint.parent / CONFIG).is_file():
        return None
    config = Config.read(checkpoint.parent / CONFIG)  # or that of another program
    return checkpoint.parent if {"model_type", "architecture"} & config.values.keys() else None


def stated_architecture(checkpoint: Path) -> str:
    """Return timm's name of the architecture that a safetensors file of `export.train` states, or ""."""
    with checkpoint.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(min(length, HEADER_BYTES))
    try:
        name = json.loads(header).get("__metadata__", {}).get("architecture")
    except (ValueError, AttributeError):  # another kind of file
        return ""
    return name if isinstance(name, str) else ""


def find_folder(model: str, checkpoint: Path | None, *, download: bool = True) -> ModelFolder | None:
    """Return the folder that a request means, or None for a model of the catalog or of timm.

    A repository is fetched from the hub, unless `download` is false: then it counts as none. Raises `RequestError` for
    a folder that does not hold a model.
    """
    if checkpoint is not None and checkpoint.is_dir():
        return read_folder(checkpoint)
    if is_folder(model):
        return read_folder(Path(model), checkpoint)
    repository = repository_of(model)
    if not repository or not download:
        return None
    from export.models.hub.repository import fetch_repository

    return read_folder(fetch_repository(repository, weights=checkpoint is None), checkpoint, repository)


def repository_entry(repository: str) -> CatalogEntry:
    """Return what is known of a repository's model before it is fetched."""
    plain = repository.partition("@")[0]
    return CatalogEntry(usable(plain.replace("/", "-")), plain, "", "", f"{HUB}/{plain}")


def entry_of(folder: ModelFolder) -> CatalogEntry:
    """Return the catalog entry of a folder's model; raises `RequestError` when it cannot be loaded."""
    config, repository = folder.config, folder.repository
    known = repository_entry(repository) if repository else None
    name, title = (known.name, known.title) if known else (name_of(folder.path),) * 2
    licence = stated_licence(folder.path) or ("not stated" if repository else OWN)
    if timm_model.is_timm(config):
        timm_name, arguments = str(config.get("architecture")), timm_model.arguments(config)
        licence = (
            timm_model.pretrained_cfg(config).get("license", licence) if licence in ("not stated", OWN) else licence
        )
        source = ""
    else:
        twin = find_twin(config)
        twin = twin.with_head(twin.head or "classifier") if twin.head != "none" else twin
        classes = 0 if twin.head == "none" else twin.classes
        timm_name, arguments = twin.timm_name, {**twin.arguments, "num_classes": classes}
        source = twin.family.source
    return CatalogEntry(
        name, title, timm_name, str(licence), known.source if known else source, MappingProxyType(arguments)
    )
