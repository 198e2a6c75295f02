"""What a file holds beside its weights: every value with the path that leads to it, whoever's trainer wrote it."""

import ast
import json
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

# Where trainers keep their options, the first ones first: timm, DeiT, Lightning, Hydra …
PLACES = (
    *("args", "hyper_parameters", "hparams", "config", "cfg", "opt", "options", "pretrained_cfg", "meta", "metadata"),
    *("hyperparameters", "hyper_params", "params", "conf", "configuration", "settings", "flags", "train_args"),
    *("model_args", "model_kwargs", "model_config", "model_cfg", "data_config", "data_cfg", "default_cfg"),
    *("preprocess", "preprocessing", "preprocessor", "preprocessor_config", "image_processor", "transform"),
    *("transforms", "normalization", "normalisation", "normalize", "datamodule_hyper_parameters"),
)
# What they nest in them, and still is of the model and its images.
INNER = {
    *("data", "dataset", "datasets", "datamodule", "data_module", "dataset_meta", "image", "images", "img"),
    *("input", "inputs", "model", "backbone", "network", "net", "encoder", "vit", "architecture", "task", "common"),
    *("val", "valid", "validation", "test", "eval", "evaluation", "inference", "init_args", "kwargs", "base"),
    *(f"{which}_{what}" for which in ("val", "test", "eval") for what in ("transform", "transforms", "pipeline")),
}
WHERE = INNER | set(PLACES)
STATES = re.compile(r"optim|sched|scaler|callback|loops|(^|_)rng|history|metric|result", re.IGNORECASE)
DEPTH, LISTED, SMALL = 5, 20, 3


@dataclass(frozen=True, slots=True)
class Stated:
    """A value in a file: its names on the way in lower case (`path`), as they are written (`title`), and itself."""

    path: tuple[str, ...]
    title: str
    value: Any

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path[-1]

    @property
    def placed(self) -> bool:
        """Whether it lies where options of the model and of its images are kept."""
        return all(part in WHERE or part.isdecimal() for part in self.path[:-1])


def stated(content: Mapping[Any, Any]) -> list[Stated]:
    """Return what a file states, its own values before those in its options, and outer ones before inner ones."""
    found = list(_walk(content, (), "", DEPTH))
    rank = {name: place for place, name in enumerate(PLACES)}
    return sorted(
        found, key=lambda one: (len(one.path) > 1, rank.get(one.path[0], len(rank)), "train" in one.title.lower())
    )


def normal(name: str) -> str:
    """Return a name as it is compared: `multi-label`, `MULTI_LABEL` and `multi_label` are one."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def plain(value: Any) -> Any:
    """Return plain values for arrays, nodes of OmegaConf and namespaces."""
    if isinstance(value, Mapping) and "_content" in value:
        return plain(value["_content"])
    if isinstance(value, Mapping) and "_val" in value:
        return plain(value["_val"])
    if isinstance(value, Namespace):
        return vars(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray | np.generic | Tensor) and not _is_large(value):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def parsed(value: Any) -> Any:
    """Return plain values, also for the text of a JSON value or a Python literal, as safetensors have them."""
    value = plain(value)
    if not isinstance(value, str) or value.strip()[:1] not in ("[", "{", "(", *"0123456789"):
        return value
    for parse in (json.loads, ast.literal_eval):
        try:
            return plain(parse(value.strip()))
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    return value


def _walk(values: Mapping[Any, Any], path: tuple[str, ...], title: str, depth: int) -> Iterator[Stated]:
    """Give the values, and then those in them; tensors only where they are no weights."""
    weights = any(isinstance(value, Tensor) and _is_large(value) for value in values.values())
    inner = []
    for key, value in values.items():
        tensor = _is_large(value) or (weights and isinstance(value, Tensor))
        if not isinstance(key, str) or tensor or STATES.search(key) or not normal(key):
            continue
        one = Stated((*path, normal(key)), f"{title}{key}", parsed(value))
        yield one
        inner.append(one)
    for one in inner if depth else ():
        for name, found in _inside(one.value):
            yield from _walk(found, (*one.path, *name), ".".join((one.title, *name, "")), depth - 1)


def _is_large(value: Any) -> bool:
    """Whether a value is a tensor or an array of more numbers than images have channels, or one without values."""
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "fiuc" and value.size > SMALL
    return isinstance(value, Tensor) and (value.is_meta or value.numel() > SMALL)


def _inside(value: Any) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    if isinstance(value, Mapping):
        yield (), value
    elif isinstance(value, list) and len(value) <= LISTED:
        for place, item in enumerate(value):
            if isinstance(item, Mapping):
                yield (str(place),), item
