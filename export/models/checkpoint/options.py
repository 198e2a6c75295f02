"""What a checkpoint says besides its weights: the architecture and its arguments, the classes, what outputs are."""

import re
from collections.abc import Mapping
from typing import Any

from export.models.checkpoint.pixels import OPTION
from export.models.checkpoint.stated import normal, parsed, plain, stated

ARCHITECTURES = ("arch", "architecture", "model_name", "model")
# Names of classes by output, the surest first, and outputs by name.
CLASSES = (
    *("class_to_idx", "idx_to_class", "id2label", "class_names", "classes", "label_names", "idx2label", "idx_to_label"),
    *("label2id", "label_to_idx", "label_to_id", "class2idx", "class_to_index", "classnames", "idx2class"),
    *("category_names", "label_map", "names", "labels"),
)
BY_NAME = re.compile(r"(class|label)(_to_|2)(id|idx|index)")
SEVERAL = ("multilabel", "ismultilabel")
TASKS = ("problemtype", "task", "tasktype", "classificationtype", "mode")
TRUE = (True, 1, "true", "yes", "on")
# Arguments that shapes cannot tell, by the names that options have for them; and groups of any arguments.
ARGUMENTS = {
    "global_pool": ("global_pool", "gp"),
    "num_heads": ("num_heads", "n_heads", "num_attention_heads"),
    "act_layer": ("act_layer",),
}
GROUPS = ("model_kwargs", "model_args")
OF_FILES = ("pretrained", "checkpoint", "cache")  # beginnings of arguments that are not the architecture's


def read_architecture(content: Mapping[str, Any]) -> str:
    """Return the name of the architecture that a file states, or ""."""
    everything = [one for one in stated(content) if one.placed and isinstance(one.value, str)]
    return next((one.value for name in ARCHITECTURES for one in everything if one.name == name), "")


def read_own_arguments(content: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments that `export.train` writes, none that name files; None for a file of another program."""
    metadata = content.get("__metadata__")
    own = parsed(metadata.get("arguments")) if isinstance(metadata, Mapping) else None
    if not isinstance(own, dict):
        return None
    return {} if any(name.startswith(OF_FILES) for name in own) else own


def read_stated_arguments(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the architecture that a trainer's options state."""
    everything = [one for one in stated(content) if one.placed]
    found: dict[str, Any] = {}
    for argument, names in ARGUMENTS.items():
        values = [one.value for one in everything if one.name in names and one.value and one.value is not True]
        found |= {argument: values[0]} if values else {}
    for one in everything:
        if one.name in GROUPS and isinstance(one.value, Mapping):
            inner = {name: parsed(value) for name, value in one.value.items() if name not in OPTION}
            found |= {name: value for name, value in inner.items() if value is not None}
    return {name: value for name, value in found.items() if not name.startswith(OF_FILES)}


def read_classes(content: Mapping[str, Any], outputs: int) -> tuple[str, Any] | None:
    """Return the names of classes that a file states, with their key; those of as many as the outputs before others."""
    everything = [one for one in stated(content) if one.placed]
    found = [
        (one.title.rpartition(".")[2], _by_output(key, one.value))
        for key in CLASSES
        for one in everything
        if one.name == key and _may_name(one.value)
    ]
    return next((one for one in found if _names(*one, outputs)), found[0] if found else None)


def _names(key: str, value: Any, outputs: int) -> bool:
    """Whether a value may name the outputs: under `labels`, trainers also keep the class of every image."""
    texts = list(map(str, value.values() if isinstance(value, dict) else value))
    return len(texts) == outputs and (normal(key) != "labels" or len(set(texts)) == len(texts))


def _may_name(value: Any) -> bool:
    """Whether a value is of several names; a number, for instance, is how many there are."""
    return bool(value) and (
        isinstance(value, list | dict | set | frozenset) or (isinstance(value, str) and "," in value)
    )


def _by_output(key: str, value: Any) -> Any:
    """Return names as a list, or by output where the file has outputs by name."""
    if isinstance(value, str):
        return [name.strip() for name in value.split(",")]
    if not isinstance(value, Mapping):
        return value
    if BY_NAME.fullmatch(key):
        indices = {str(name): parsed(index) for name, index in value.items()}
        if all(type(index) is int for index in indices.values()) and len(set(indices.values())) == len(indices):
            return {index: name for name, index in indices.items()}
    return {_index(plain(name)): plain(one) for name, one in value.items()}


def _index(key: Any) -> Any:
    return int(key) if isinstance(key, float) and key.is_integer() else key


def states_several_labels(content: Mapping[str, Any]) -> bool:
    """Whether a file's options say that a picture may have several labels."""
    for one in stated(content):
        name = one.name.replace("_", "")
        value = one.value.strip().lower() if isinstance(one.value, str) else one.value
        if one.placed and name in SEVERAL and isinstance(value, bool | int | str) and value in TRUE:
            return True
        if one.placed and name in TASKS and isinstance(value, str) and "multilabel" in normal(value).replace("_", ""):
            return True
    return False
