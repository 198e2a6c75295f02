"""Which tensors of a checkpoint are the model's: below which prefix, and what else the file holds."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

DEPTH = 4
STATE = re.compile(r"optim|sched|scaler|callback|loops|rng|random|hparams|hyper_param|trainer|history", re.IGNORECASE)
WRAPPERS = re.compile(r"(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")  # anywhere in a name
# Averaged weights (EMA, SWA) come first, as timm reads its own checkpoints; a teacher where it is an entry of its own.
AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?|shadow)([._]|$)|^teacher[._]", re.IGNORECASE)
# Names that belong to training: they are dropped, and said to be.
TRAINING = re.compile(
    r"(^|\.)("
    r"criterion|(\w+_)?loss(es)?(_\w+)?|(\w+_)?metrics?|(train|val|valid|test)_\w+|(\w+_)?acc(uracy)?"
    r"|n_averaged|num_updates|global_step|step|initted|optimizer\w*|(\w+_)?scheduler\w*|(\w+_)?ema(_\w+)?|swa_\w+"
    r"|best_\w+|class_weights?|pos_weight|history|(\w+_)?teacher|queue\w*|mixup\w*|\w*rng\w*|decoder_\w+|mask_token"
    r")(\.|$)"
)
# Values beside the weights that have the same names, and earlier ones: never taken where there are others.
BESIDE = re.compile(
    r"(^|[._])(grads?|gradients?|exp_avg(_sq)?|momentum\w*|velocity|fisher|importance|masks?"
    r"|last|old|prev(ious)?|initial|backup|pretrained)([._]|$)",
    re.IGNORECASE,
)
MEAN, STD = (re.compile(rf"(^|\.)((pixel|image|img|norm)_)?{name}$") for name in ("mean", "std"))
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
    """Return all tensors in nested dicts, their names joined by dots; NumPy's where there are no others.

    What a trainer keeps of its own state is no part of it.
    """
    parts = {
        name: value
        for name, value in content.items()
        if not (isinstance(value, Mapping) and isinstance(name, str) and STATE.search(name))
    }
    found = {WRAPPERS.sub("", name): value for name, value in _flat(parts, "", DEPTH)}
    tensors = {
        name: value if value.layout == torch.strided else value.to_dense()
        for name, value in found.items()
        if isinstance(value, Tensor)
    }
    return tensors or {
        name: torch.from_numpy(np.ascontiguousarray(value))
        for name, value in found.items()
        if value.dtype.kind in "fiu"
    }


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
            not AVERAGED.search(prefix),
            belongs_to_training(prefix),
            -coverage[prefix],
            len(prefix),
        )
    )
    return [_selection(tensors, prefix, prefixes) for prefix in prefixes]


def _tails(name: str) -> Iterator[str]:
    yield name
    for dot in re.finditer(r"\.", name):
        yield name[dot.end() :]


def _common_prefix(tensors: Mapping[str, Tensor]) -> str:
    """Return the dotted prefix that most tensors share, as far as the first parts go."""
    first = Counter(name.partition(".")[0] for name in tensors)
    name, count = first.most_common(1)[0] if first else ("", 0)
    return f"{name}." if count == len(tensors) and all("." in other for other in tensors) else ""


def _selection(tensors: Mapping[str, Tensor], prefix: str, prefixes: list[str]) -> Selection:
    copies = tuple(one for one in prefixes if one != prefix and not prefix.startswith(one))
    inner = {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix) and not any(name.startswith(copy) for copy in copies)
    }
    others = {
        name: value
        for name, value in tensors.items()
        if not name.startswith(prefix) and not any(name.startswith(copy) for copy in copies)
    }
    return Selection(prefix, unpruned(inner), others, copies)


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


def normalising_tensors(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the names of mean and std where a module that normalises images is saved with the model."""
    found = {}
    for key, pattern in (("mean", MEAN), ("std", STD)):
        names = [name for name, value in tensors.items() if pattern.search(name) and value.numel() in (1, 3)]
        if len(names) == 1:
            found[key] = names[0]
    return found if len(found) == 2 else {}
