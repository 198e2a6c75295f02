"""Which tensors of a checkpoint are the model's: below which prefix, and what else the file holds."""

import re
from collections import Counter
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from export.models.checkpoint.options import CLASSES
from export.models.checkpoint.stated import PLACES, normal

DEPTH = 4
STATE = re.compile(r"optim|sched|scaler|callback|loops|rng|random|hparams|hyper_param|trainer|history", re.IGNORECASE)
WRAPPERS = re.compile(r"(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # anywhere in a name
# Averaged weights (EMA, SWA) come first, as timm reads its own checkpoints; a teacher where it is an entry of its own.
AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?|shadow)([._]|$)", re.IGNORECASE)
TEACHER, BEST = re.compile(r"^teacher\."), re.compile(r"(^|[._])best([._]|$)", re.IGNORECASE)
# Names that belong to training: they are dropped, and said to be.
TRAINING = re.compile(
    r"(^|\.)("
    r"criterion|(\w+_)?loss(es)?(_\w+)?|(\w+_)?metrics?|(train|val|valid|test)_\w+|(\w+_)?acc(uracy)?"
    r"|n_averaged|num_updates|global_step|step|initted|optimizer\w*|(\w+_)?scheduler\w*|(\w+_)?ema(_\w+)?|swa_\w+"
    r"|best_\w+|class_weights?|pos_weight|history|(\w+_)?teacher|queue\w*|mixup\w*|\w*rng\w*|decoder_\w+|mask_token"
    r")(\.|$)"
)
# Single numbers that tell how training went; others could be part of the model, as a temperature is.
FIGURES = re.compile(
    r"(^|_)(lr|learning_rate|decay|momentum|score|epoch|iter|auc|f1|top\d?|map|precision|recall|perplexity|time)(_|$)"
)
# Values beside the weights that have the same names, and earlier ones: never taken where there are others.
BESIDE = re.compile(
    r"(^|[._])(grads?|gradients?|exp_avg(_sq)?|momentum\w*|velocity|fisher|importance|masks?"
    r"|last|old|prev(ious)?|init(ial)?|backup|pretrained|frozen|ref(erence)?|teacher_\w+"
    r"|target_(net(work)?|encoder|model)|(momentum_|target_|key_)encoder|encoder_k)([._]|$)",
    re.IGNORECASE,
)
# Mean and std of images, by names that say so; by other ones where the shape is that of channels before rows.
MEAN, STD = (re.compile(rf"(^|[._])((pixel|image|img|norm|preproc)\w*[._])?{name}$") for name in ("mean", "std"))
OF_PIXELS = re.compile(r"(^|[._])(pixel|image|img|norm|preproc)\w*[._](mean|std)$")
OF_OUTPUTS = re.compile(r"(^|[._])(out|output|target|label|y)\w*[._]")
NO_WEIGHTS = {*PLACES, *CLASSES} - {"params"}  # some programs call the weights so
PRUNED = (("_orig", "_mask"),)  # torch.nn.utils.prune: the weight is their product


@dataclass(frozen=True, slots=True)
class Selection:
    """The model's `tensors`, without their `prefix`; `others` are the tensors beside them, by their full names.

    `copies` are other prefixes with tensors of the same names, such as those of averaged weights.
    """

    prefix: str
    tensors: dict[str, Tensor]
    others: dict[str, Tensor]
    copies: tuple[str, ...] = ()

    @property
    def averaged(self) -> bool:
        """Whether the weights are averages over training."""
        return AVERAGED.search(self.prefix) is not None


def flatten(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Return all tensors in nested dicts, their names joined by dots; NumPy's too where most are.

    What a trainer keeps of its own state, and its options, are no part of it, unless there is nothing else.
    """
    parts = {
        name: value
        for name, value in content.items()
        if not (isinstance(name, str) and isinstance(value, Mapping) and normal(name) in NO_WEIGHTS)
    }
    own = {name: value for name, value in parts.items() if not (isinstance(value, Mapping) and STATE.search(str(name)))}
    found = _tensors(own)
    for wider in (parts, content):
        if not any(value.ndim > 1 for value in found.values()):
            found = _tensors(wider) or found
    return found


def _tensors(parts: Mapping[Any, Any]) -> dict[str, Tensor]:
    found = {WRAPPERS.sub("", name): value for name, value in _flat(parts, "", DEPTH)}
    tensors = {
        name: value if value.layout == torch.strided else value.to_dense()
        for name, value in found.items()
        if isinstance(value, Tensor)
    }
    arrays = {
        name: torch.from_numpy(value.astype(value.dtype.newbyteorder("="), order="C"))
        for name, value in found.items()
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiu"
    }
    return tensors | arrays if len(arrays) > len(tensors) else tensors


def _flat(content: Mapping[Any, Any], prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(name, str) and isinstance(value, Tensor | np.ndarray):
            yield f"{prefix}{name}", value
        elif isinstance(name, str) and isinstance(value, Mapping) and depth:
            yield from _flat(value, f"{prefix}{name}.", depth - 1)


def select(tensors: Mapping[str, Tensor], wanted: Mapping[str, Any]) -> list[Selection]:
    """Return the selections to try, the best first: tensors whose names without a prefix are the model's.

    Averaged weights come before others, gradients and earlier weights last. Where no name is the model's, the tensors
    of each dict are tried as they are.
    """
    coverage = Counter(name[: len(name) - len(tail)] for name in tensors for tail in _tails(name) if tail in wanted)
    most = max(coverage.values(), default=0)
    prefixes = [prefix for prefix, count in coverage.items() if 2 * count >= most]
    prefixes = prefixes or [_common_prefix(tensors)]
    prefixes.sort(
        key=lambda prefix: (
            bool(BESIDE.search(prefix)),
            not (AVERAGED.search(prefix) or TEACHER.search(prefix)),
            not BEST.search(prefix),
            belongs_to_training(prefix),
            -coverage[prefix],
            len(prefix),
        )
    )
    return [_selection(tensors, prefix, prefixes, wanted) for prefix in prefixes]


def _tails(name: str) -> Iterator[str]:
    yield name
    for dot in re.finditer(r"\.", name):
        yield name[dot.end() :]


def _common_prefix(tensors: Mapping[str, Tensor]) -> str:
    """Return the dotted prefix that most tensors share, as far as the first parts go."""
    first = Counter(name.partition(".")[0] for name in tensors)
    name, count = first.most_common(1)[0] if first else ("", 0)
    return f"{name}." if count == len(tensors) and all("." in other for other in tensors) else ""


def _selection(tensors: Mapping[str, Tensor], prefix: str, prefixes: list[str], wanted: Container[str]) -> Selection:
    """Return the tensors below a prefix, and those that are neither below it nor part of a copy of the model."""
    inner, others = {}, {}
    for name, value in tensors.items():
        owner = max((one for one in prefixes if name.startswith(one)), key=len, default=None)
        if owner == prefix:
            inner[name.removeprefix(prefix)] = value
        elif owner is None or (prefix.startswith(owner) and name.removeprefix(owner) not in wanted):
            others[name] = value
    return Selection(prefix, unpruned(inner), others, tuple(one for one in prefixes if one != prefix))


def unpruned(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors with those that were pruned, and their masks, multiplied."""
    found = dict(tensors)
    for original, mask in PRUNED:
        for name in tensors:
            stem = name.removesuffix(original)
            if name.endswith(original) and f"{stem}{mask}" in tensors:
                found[stem] = found.pop(name) * found.pop(f"{stem}{mask}")
    return found


def belongs_to_training(name: str) -> bool:
    """Whether a tensor of that name is used in training alone."""
    return TRAINING.search(name) is not None


def is_figure(name: str, value: Tensor) -> bool:
    """Whether a tensor that is not of the model is a counter, or a figure of training."""
    return "." not in name and value.ndim == 0 and (not value.is_floating_point() or FIGURES.search(name) is not None)


def normalising_tensors(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the names of mean and std where a module that normalises images is saved with the model."""
    found = {}
    for key, pattern in (("mean", MEAN), ("std", STD)):
        names = [name for name, value in tensors.items() if pattern.search(name) and _of_channels(name, value)]
        if len(names) == 1:
            found[key] = names[0]
    return found if len(found) == 2 else {}


def _of_channels(name: str, value: Tensor) -> bool:
    """Whether a tensor has a value for each channel of images, and not for each output, for instance."""
    by_shape = value.ndim >= 3 and tuple(value.shape[-2:]) == (1, 1)
    named = OF_PIXELS.search(name) is not None and not OF_OUTPUTS.search(name)
    return value.numel() in (1, 3) and (by_shape or named)
