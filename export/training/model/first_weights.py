"""First weights: fresh, the hub's, or a checkpoint's, made to fit another image size, patch size, depth or head."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from export.core.console import several
from export.core.errors import RequestError
from export.core.files import hash_file
from export.data.embedded import embedded_model
from export.data.labels.known import imagenet_synsets
from export.models.checkpoint.content import read_content
from export.models.checkpoint.pixels import read_options
from export.models.checkpoint.tensors import flatten, select
from export.models.choice.request import ModelRequest, weights_file
from export.models.folder.files import ModelFolder
from export.models.folder.tensors import hash_parts
from export.models.from_folder import read_folder_tensors
from export.models.hub.weights import fetch_weights
from export.models.weights.packed_weights import read_packed_weights

Tell = Callable[[str], None]
SHOWN = 5
FOLDERS = "class_folders"  # in the metadata of the files that training writes
COUNTERS = "num_batches_tracked"  # of BatchNorm, which some files lack


@dataclass(frozen=True, slots=True)
class FirstWeights:
    """Weights to start from: their file `path` (None: fresh ones), its `sha256`, and the card's `title` for them.

    `content` is what the file holds; `normalisation` are mean and std of the images that they were trained on, where
    these are not the architecture's own.
    """

    path: Path | None
    sha256: str
    title: str
    content: dict[str, Any] = field(default_factory=dict)
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None


FRESH = FirstWeights(None, "", "random")


def find_first_weights(request: ModelRequest, tell: Tell) -> FirstWeights:
    """Return what a request starts from: its checkpoint, else the embedded or the hub's weights, else fresh ones.

    Weights that timm has nowhere are `tell`-ed to be fresh, unless they are asked for. Raises `RequestError`.
    """
    if request.weights == "random":
        return FRESH
    folder = request.folder()
    if folder is not None:
        return _of_folder(folder, tell)
    path = weights_file(request)
    if path is None:
        config = _config(request)
        if request.weights is None and not (config.hf_hub_id or config.url):
            tell(f"note: timm has no pretrained weights of {request.entry.timm_name}; training starts from random ones")
            return FRESH
        path = fetch_weights(request.model, config)
    own = embedded_model(request.name) if request.kind == "embedded" else None
    content: dict[str, Any] = read_content(path) if own is None else dict(read_packed_weights(path))
    if own is not None:
        normalisation: Any = (own.preprocess.mean, own.preprocess.std)
    else:
        stated = read_options(content)
        normalisation = tuple(stated[name] for name in ("mean", "std") if len(stated.get(name, ())) == 3)
    title = f"checkpoint {path.name}" if request.checkpoint else f"pretrained weights of {request.model}"
    return FirstWeights(path, hash_file(path), title, content, normalisation if len(normalisation) == 2 else None)


def _of_folder(folder: ModelFolder, tell: Tell) -> FirstWeights:
    content, preprocess = read_folder_tensors(folder, tell)
    normalisation = (preprocess.mean, preprocess.std) if preprocess else None
    title = f"checkpoint {folder.path.name}"
    return FirstWeights(folder.weights[0], hash_parts(folder.weights), title, content, normalisation)


def _config(request: ModelRequest) -> Any:
    config = timm.get_pretrained_cfg(request.entry.timm_name)
    if config is None:
        raise RequestError(
            f"--model {request.model}: timm {timm.__version__} has no such model",
            hint="python -c 'import timm; print(timm.list_models())' lists them",
        )
    return config


def load_first_weights(module: nn.Module, first: FirstWeights, classes: Sequence[str], tell: Tell, option: str) -> bool:
    """Load weights into a model that may have another image size, patch size, fewer blocks or another head.

    Patch and position embedding are resampled by timm (FlexiViT, arXiv 2212.08013, and bicubic); blocks after the
    model's last are left out; of ImageNet's head the rows of `classes` are kept where they are its WordNet ids, and any
    other head starts afresh. Each of these is told; returns whether a head is kept. Raises `RequestError` for every
    other misfit, naming the command line's `option`.
    """
    wanted, path = module.state_dict(), first.path
    chosen = select(flatten(first.content), wanted)
    if not chosen:
        raise RequestError(f"{option} {path} contains no tensors", hint="pass a file of weights")
    original = chosen[0].tensors
    tensors = _renamed(module, original)
    for name in wanted:
        if name.endswith(COUNTERS):
            tensors.setdefault(name, wanted[name])
    heads = [name for name in wanted if name.startswith(_heads(module))]
    kept = _fit_head(tensors, wanted, heads, classes, _stated_folders(first.content))
    missing = [name for name in wanted if name not in tensors and name not in heads]
    shapes = [name for name in wanted if name in tensors and tensors[name].shape != wanted[name].shape]
    if missing or shapes:
        kinds = [("missing", missing), ("of another shape", shapes)]
        listed = "; ".join(f"{kind}: {several(names, SHOWN)}" for kind, names in kinds if names)
        raise RequestError(
            f"{option} {path} does not fit {type(module).__name__}: {listed}",
            hint="pass the architecture it was trained with: --model, --model-arguments; or --weights random",
        )
    for note in _notes(original, tensors, wanted, first.title):
        tell(note)
    tell(f"note: the head {'keeps the rows of its classes' if kept else 'starts afresh'}")
    module.load_state_dict({**wanted, **{name: value for name, value in tensors.items() if name in wanted}})
    return kept


def _stated_folders(content: dict[str, Any]) -> list[str] | None:
    """Return the class folders that a file of this command was trained on."""
    text = content.get("__metadata__", {}).get(FOLDERS)
    return None if text is None else list(json.loads(text))


def _notes(original: dict[str, Tensor], tensors: dict[str, Tensor], wanted: dict[str, Tensor], title: str) -> list[str]:
    """Return what is said of tensors that are resampled, and of blocks that are left out."""
    notes = []
    for name in ("pos_embed", "patch_embed.proj.weight"):
        if name in original and name in tensors and original[name].shape != tensors[name].shape:
            sizes = f"{tuple(original[name].shape)} to {tuple(tensors[name].shape)}"
            notes.append(f"note: {name} is resampled from {sizes}")
    deeper = {name.split(".")[1] for name in tensors if name not in wanted and name.startswith("blocks.")}
    if deeper:
        notes.append(f"note: blocks {', '.join(sorted(deeper, key=int))} of {title} are left out")
    return notes


def _heads(module: nn.Module) -> tuple[str, ...]:
    """Return the beginnings of the names of a model's heads; a distilled one has two."""
    config: Any = module.pretrained_cfg
    names = config["classifier"]
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def _renamed(module: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors as timm's filter for the family has them: its names, resampled to the model's sizes."""
    translate: Callable[..., Any] | None = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    return dict(tensors) if translate is None else dict(translate(dict(tensors), module))


def _fit_head(
    tensors: dict[str, Tensor],
    wanted: dict[str, Tensor],
    heads: Sequence[str],
    classes: Sequence[str],
    stated: list[str] | None,
) -> bool:
    """Fit the head's tensors, or drop them; return whether anything of them is kept.

    A head of as many classes is kept unless the file states that they are others.
    """
    if stated in (None, list(classes)) and all(
        name in tensors and tensors[name].shape == wanted[name].shape for name in heads
    ):
        return True
    synsets = imagenet_synsets(1000) or ()
    rows = [synsets.index(name) for name in classes if name in synsets]
    keeps = len(rows) == len(classes) and all(name in tensors and len(tensors[name]) == 1000 for name in heads)
    for name in heads:
        if keeps:
            tensors[name] = tensors[name][rows]
        else:
            tensors.pop(name, None)
    return keeps
