"""Tensors into a module: all of them and nothing else, or a list of what does not fit and what can be done."""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from torch import Tensor, nn

from export.core.console import several
from export.core.errors import RequestError

SHOWN = 5
SHARD = re.compile(r"-\d{5}-of-\d{5}")
# Values beside a model that may change what it answers, and what can be done about them.
OF_THE_OUTPUTS = (
    (
        re.compile(r"temp|scale|tau$|logit|thresh|bias$", re.IGNORECASE),
        "it may scale or shift the outputs: apply it to the head's weight and bias, or leave it out of the file if not",
    ),
    (
        re.compile(r"(^|[._])(\w*_)?(mean|std|mu|sigma)$", re.IGNORECASE),
        "if they normalise images, leave them out of the file and pass --mean and --std; other ones are not supported",
    ),
)
OTHER_ARCHITECTURE = "pass the architecture it was trained with: --model timm/NAME"


@dataclass(frozen=True, slots=True)
class Misfit:
    """How tensors differ from a module's: names by kind, and shapes as (name, found, the module's)."""

    total: int
    missing: tuple[str, ...]
    unexpected: dict[str, Tensor]
    shapes: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    dtypes: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.shapes or self.dtypes)

    def lines(self) -> list[str]:
        """Return a line for each kind of difference."""
        unexpected = [f"{name} {tuple(value.shape)}" for name, value in self.unexpected.items()]
        shapes = [f"{name} is {found}, the model has {model}" for name, found, model in self.shapes]
        groups: tuple[tuple[str, Iterable[str]], ...] = (
            ("missing", self.missing),
            ("unexpected", unexpected),
            ("of another shape", shapes),
            ("of another kind", self.dtypes),
        )
        listed = [(title, list(names)) for title, names in groups]
        return [f"{title}: {len(names)} of {self.total}: {several(names, SHOWN)}" for title, names in listed if names]


def compare_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> Misfit:
    """Return how the tensors differ from those of a module."""
    wanted = module.state_dict()
    both = [(name, tensors[name], wanted[name]) for name in wanted if name in tensors]
    return Misfit(
        total=len(wanted),
        missing=tuple(name for name in wanted if name not in tensors),
        unexpected={name: value for name, value in tensors.items() if name not in wanted},
        shapes=tuple(
            (name, tuple(found.shape), tuple(model.shape)) for name, found, model in both if found.shape != model.shape
        ),
        dtypes=tuple(
            f"{name} is {found.dtype}, the model has {model.dtype}"
            for name, found, model in both
            if found.is_floating_point() != model.is_floating_point()
        ),
    )


def translated(module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under timm's names, by the family's own filter; unchanged where that would resample one."""
    translate: Callable[..., Any] | None = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    unchanged = dict(tensors)
    if translate is None or any("pre_logits" in name for name in tensors):
        return unchanged
    try:
        renamed: dict[str, Tensor] = dict(translate(dict(tensors), module))
    except Exception:  # made for another code base: the list of misfits says what is wrong
        return unchanged
    resampled = any(name in tensors and tensors[name].shape != value.shape for name, value in renamed.items())
    return unchanged if resampled else renamed


def load_whole(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors that fit; raises `RequestError` naming those without values, or with some that are not finite."""
    hollow = [name for name, value in tensors.items() if value.is_meta]
    if hollow:
        raise RequestError(
            f"{path} has no values for {len(hollow)} tensors, which were on the meta device: {several(hollow, SHOWN)}",
            hint="load the weights into the model before saving it",
        )
    broken = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise RequestError(
            f"{path} has NaN or infinite values in {len(broken)} tensors: {several(broken, SHOWN)}",
            hint="the training that made it has diverged; use an earlier checkpoint",
        )
    module.load_state_dict(tensors)


def misfit_error(path: Path, subject: str, misfit: Misfit, architecture: str, classifier: str) -> RequestError:
    """Return the refusal of a checkpoint: what does not fit, and the one step that helps."""
    said = f"; according to the file, its architecture is {architecture}" if architecture else ""
    return RequestError(
        f"{path} does not fit {subject}{said}" + "".join(f"\n    {line}" for line in misfit.lines()),
        hint=_next_step(path, misfit, architecture, classifier),
    )


def _next_step(path: Path, misfit: Misfit, architecture: str, classifier: str) -> str:
    """Return what helps with a misfit, the surest sign first."""
    head = classifier.partition(".")[0]
    heads = [name for name in misfit.unexpected if re.match(rf"(.*\.)?({head}|fc|classifier|pre_logits)\.", name)]
    widths = [
        (found, model) for name, found, model in misfit.shapes if name in ("pos_embed", "cls_token", "norm.weight")
    ]
    if SHARD.search(path.name):
        return "this is one of several parts: load all of them, and save one state_dict"
    if architecture and timm.is_model(architecture):
        return f"pass --model timm/{architecture}, as the file says"
    if {"dist_token", "head_dist.weight"} & misfit.unexpected.keys():
        return "it was trained by distillation: pass --model timm/deit_…_distilled_patch16_224"
    if heads and not misfit.missing and not misfit.shapes:
        return "a head of one linear layer can be loaded; train one, or leave the head out of the file for an embedding"
    if widths and widths[0][0][-1] != widths[0][1][-1]:
        return f"its width is {widths[0][0][-1]}, not {widths[0][1][-1]}: pass a --model timm/NAME of that width"
    if misfit.dtypes and not (misfit.missing or misfit.unexpected or misfit.shapes):
        return "save the weights in floating point: float32, float16 or bfloat16"
    if misfit.missing and not misfit.unexpected and not misfit.shapes and len(misfit.missing) <= misfit.total // 2:
        return (
            "these parts are not in the file: save the whole state_dict; if the model was made without them, add what "
            "changes nothing, a bias of zeros for instance; or pass another architecture: --model timm/NAME"
        )
    for names, hint in OF_THE_OUTPUTS if not misfit.missing and not misfit.shapes else ():
        if any(names.search(name) for name in misfit.unexpected):
            return hint
    if misfit.unexpected and not misfit.missing and not misfit.shapes:
        return "if these tensors belong to training alone, leave them out of the file"
    if [name for name, _, _ in misfit.shapes] == ["pos_embed"] and not misfit.missing and not misfit.unexpected:
        return "only square images are supported"
    return OTHER_ARCHITECTURE
