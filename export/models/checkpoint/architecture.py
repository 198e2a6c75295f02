"""The architecture that a checkpoint is loaded into: as requested, with the arguments that the file states."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from timm.models import PretrainedCfg
from torch import nn

from export.models.architecture import create
from export.models.weights.undrawn import UndrawnWeights

PLAIN = (bool, int, float, str, list)  # what a file of the model's arguments can hold
Create = Callable[[dict[str, Any]], nn.Module]


@dataclass(frozen=True, slots=True)
class Architecture:
    """How a model is made: `create` takes `arguments`; timm's names of its head and its first convolution.

    What `create` returns has no values yet: all of them are to be loaded.
    `stated` are the names of those arguments that the file states.
    """

    title: str
    create: Create
    arguments: dict[str, Any]
    classifier: str
    first: str
    stated: frozenset[str] = frozenset()


def describe_architecture(model: str, timm_name: str, config: PretrainedCfg, arguments: dict[str, Any]) -> Architecture:
    """Return timm's architecture of that name, for the `model` as requested."""
    classifier, first = (
        one if isinstance(one, str) else next(iter(one or ("",))) for one in (config.classifier, config.first_conv)
    )
    return Architecture(f"{model} ({timm_name})", partial(_undrawn, timm_name), arguments, classifier, first)


def _undrawn(timm_name: str, arguments: dict[str, Any]) -> nn.Module:
    with UndrawnWeights():
        return create(timm_name, arguments)


def stated_architecture(
    architecture: Architecture, own: dict[str, Any] | None, options: dict[str, Any]
) -> tuple[Architecture, nn.Module, list[str]]:
    """Return the architecture with the arguments that a file states, a module of it, and notes on both.

    `own` are those that `export.train` writes, `options` those of other trainers. Shapes tell most of them, but neither
    the width of a Vision Transformer nor the number of its heads. Where it does not take all options together, each is
    tried after the other.
    """
    given = {name: value for name, value in options.items() if isinstance(value, PLAIN)}
    notes = [f"note: {name} in the checkpoint is not understood and not used" for name in options if name not in given]
    arguments = given if own is None else own
    made = _with(architecture, arguments) or (architecture, architecture.create(architecture.arguments))
    for name, value in given.items() if own is None and not made[0].stated else ():
        tried = _with(made[0], {name: value})
        made = tried or made
        if tried is None:
            notes.append(f"note: {name}={value} in the checkpoint is none of {architecture.title} and is not used")
    used = [f"{name}={made[0].arguments[name]}" for name in sorted(made[0].stated)]
    if used and own is None:
        notes.insert(0, f"note: as the checkpoint says: {', '.join(used)}")
    return *made, notes


def _with(architecture: Architecture, arguments: dict[str, Any]) -> tuple[Architecture, nn.Module] | None:
    """Return the architecture with more arguments and a module of it, or None where it does not take them."""
    more = replace(
        architecture, arguments=architecture.arguments | arguments, stated=architecture.stated | arguments.keys()
    )
    try:
        return more, more.create(more.arguments)
    except Exception:  # timm and PyTorch raise many kinds for arguments that do not go together
        return None
