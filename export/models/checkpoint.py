"""A person's file of weights: read without running code in it, and loaded into a model or rejected with a reason."""

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from export.core.errors import RequestError

# Keys under which training scripts store the weights, the averaged ones (EMA) first, as timm reads its own checkpoints.
STATE_DICT_KEYS = ("state_dict_ema", "model_ema", "state_dict", "model")
WRAPPERS = ("module.", "_orig_mod.", "model.")  # prefixes left by DataParallel, torch.compile and Lightning
HEADS = ("head.fc.weight", "head.weight", "fc.weight", "classifier.weight", "head.fc3.weight")
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The `tensors` of the file `path`: `key` is the entry they are in, `architecture` the one that the file names."""

    path: Path
    tensors: dict[str, Tensor]
    key: str = ""
    architecture: str = ""


def read_checkpoint(path: Path) -> Checkpoint:
    """Read `.safetensors`, or `.pth`, `.pt`, `.bin` of tensors only; raises `RequestError` when it is not one."""
    if path.stat().st_size == 0:
        raise RequestError(f"{path} is empty (0 bytes)", hint="copy or download it again")
    content = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_pickle(path)
    if not isinstance(content, dict) or not content:
        raise RequestError(f"{path} contains a {type(content).__name__}, not a state_dict of tensors by name")
    key = next((key for key in STATE_DICT_KEYS if isinstance(content.get(key), dict)), "")
    tensors = content[key] if key else content
    others = [f"{name} ({type(value).__name__})" for name, value in tensors.items() if not isinstance(value, Tensor)]
    if others or not tensors:
        raise RequestError(
            f"{path} is not a state_dict: besides tensors it contains {_abridged(others)}",
            hint=f"save only model.state_dict(), or save it under one of the keys {', '.join(STATE_DICT_KEYS)}",
        )
    architecture = content.get("arch", "")
    return Checkpoint(path, _unwrap(tensors), key, architecture if isinstance(architecture, str) else "")


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        return dict(load_file(path))
    except (SafetensorError, ValueError, OSError) as error:
        raise RequestError(
            f"{path} is not a safetensors file, or it is truncated: {error}", hint="copy or download it again"
        ) from error


def _read_pickle(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # timm's checkpoints carry their options so
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises some eight kinds for what is not a checkpoint
        code = _code_in(path)
        if code:
            raise RequestError(
                f"{path} contains more than tensors, and reading it would execute code: {', '.join(code)}",
                hint="in the program that made it, save model.state_dict() with safetensors.torch.save_file",
            ) from error
        first = str(error).strip().splitlines()[:1]
        raise RequestError(
            f"{path} is not a PyTorch checkpoint, or it is truncated: {type(error).__name__}: {''.join(first)}",
            hint="copy or download it again; a safetensors file needs the suffix .safetensors",
        ) from error


def _code_in(path: Path) -> list[str]:
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(str(path)))
    except Exception:  # only zip archives that are whole can be searched; the first error says what is wrong
        return []


def _unwrap(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in WRAPPERS * 2:  # wrapped twice, in either order
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def class_count(checkpoint: Checkpoint, classifier: str | None) -> int | None:
    """Return the number of classes of the file's head, or None when it has none; `classifier` is timm's name of it."""
    for name in (f"{classifier}.weight", *HEADS):
        if name in checkpoint.tensors and checkpoint.tensors[name].ndim >= 2:
            return int(checkpoint.tensors[name].shape[0])
    return None


def load_tensors(module: nn.Module, checkpoint: Checkpoint, subject: str) -> None:
    """Load the tensors into the module, all of them and nothing else.

    Names of other code bases are translated by the family's own filter in timm where it has one. Raises
    `RequestError` naming missing, unexpected and mis-shaped tensors, and values that are not finite.
    """
    tensors = checkpoint.tensors
    if _mismatches(module, tensors):
        tensors = _translated(module, tensors)
    mismatches = _mismatches(module, tensors)
    if mismatches:
        said = (
            f"; according to the file, its architecture is {checkpoint.architecture}" if checkpoint.architecture else ""
        )
        raise RequestError(
            f"{checkpoint.path} does not fit {subject}{said}" + "".join(f"\n    {line}" for line in mismatches),
            hint="pass the architecture it was trained with: --model timm/NAME",
        )
    broken = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise RequestError(
            f"{checkpoint.path} has NaN or infinite values in {len(broken)} tensors: {_abridged(broken)}"
        )
    module.load_state_dict(tensors)


def _mismatches(module: nn.Module, tensors: dict[str, Tensor]) -> list[str]:
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in tensors]
    unexpected = [f"{name} {tuple(value.shape)}" for name, value in tensors.items() if name not in wanted]
    both = [(name, tensors[name], wanted[name]) for name in wanted if name in tensors]
    shapes = [
        f"{name} is {tuple(found.shape)}, the model has {tuple(model.shape)}"
        for name, found, model in both
        if found.shape != model.shape
    ]
    dtypes = [
        f"{name} is {found.dtype}, the model has {model.dtype}"
        for name, found, model in both
        if found.is_floating_point() != model.is_floating_point()
    ]
    groups = (
        ("missing", missing),
        ("unexpected", unexpected),
        ("of another shape", shapes),
        ("of another kind", dtypes),
    )
    return [f"{title}: {len(names)} of {len(wanted)}: {_abridged(names)}" for title, names in groups if names]


def _translated(module: nn.Module, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under timm's names; unchanged where that would resample one, which nobody asked for."""
    translate: Callable[..., Any] | None = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    if translate is None:
        return tensors
    try:
        renamed: dict[str, Tensor] = dict(translate(dict(tensors), module))
    except Exception:  # made for another code base: the list of misfits says what is wrong
        return tensors
    resampled = any(name in tensors and tensors[name].shape != value.shape for name, value in renamed.items())
    return tensors if resampled else renamed


def _abridged(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (f" … and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")
