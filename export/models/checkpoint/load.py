"""A checkpoint into a model: the architecture's arguments follow the file, and every decision is said."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from export.core.console import several
from export.core.errors import RequestError
from export.core.records import Preprocess
from export.models.checkpoint.architecture import Architecture, stated_architecture
from export.models.checkpoint.content import SAVE, read_content
from export.models.checkpoint.fit import compare_tensors, load_whole, misfit_error, translated
from export.models.checkpoint.foreign import find_foreign
from export.models.checkpoint.options import (
    read_architecture,
    read_classes,
    read_own_arguments,
    read_stated_arguments,
    states_several_labels,
)
from export.models.checkpoint.pixels import OPTION, read_options, unread_options
from export.models.checkpoint.shapes import differing_arguments, grey_to_colour, input_channels
from export.models.checkpoint.stated import stated
from export.models.checkpoint.tensors import (
    Selection,
    belongs_to_training,
    flatten,
    is_figure,
    normalising_tensors,
    select,
)

COUNTERS = "num_batches_tracked"  # of BatchNorm: used in training alone, and not in every file


@dataclass(frozen=True, slots=True)
class Loaded:
    """A `module` with a checkpoint's weights and the `arguments` that create it again.

    `options` are the preprocessing that the file states, `unread` what it states of it that is not used, `normalising`
    mean and std of a module that normalises images; `classes` are its names of classes with the key that they are
    under; `grey` tells that the model takes grey images, `multi_label` that the file states several labels a picture.
    `preprocess` is the whole preprocessing, and `timm_name` the architecture, where those assumed do not hold.
    `positions_from` is the image size that position embeddings are interpolated from, if they are.
    """

    module: nn.Module
    arguments: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    normalising: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, Any] | None = None
    grey: bool = False
    multi_label: bool = False
    preprocess: Preprocess | None = None
    timm_name: str = ""
    positions_from: int | None = None


@dataclass(slots=True)
class _Fitting:
    """Tensors on their way into a module, with what was decided: `changes` of the arguments, `notes`, what was
    `dropped`, and mean and std (`normalising`) that were among them.
    """

    tensors: dict[str, Tensor]
    grey: bool = False
    changes: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    normalising: dict[str, Any] = field(default_factory=dict)


def load_checkpoint(path: Path, architecture: Architecture, tell: Callable[[str], None]) -> Loaded:
    """Load a file of weights; raises `RequestError` when it is none or does not fit.

    `tell` is called with a note on which of the file's tensors are used, and how they differ from the architecture.
    """
    return load_content(path, read_content(path), architecture, tell)


def load_content(
    path: Path, content: Mapping[str, Any], architecture: Architecture, tell: Callable[[str], None]
) -> Loaded:
    """Load what was read from a file of weights, or from all parts of which `path` is the first."""
    tensors = _weights(content)
    if not tensors:
        others = [f"{name} ({type(value).__name__})" for name, value in content.items()]
        raise RequestError(f"{path} is not a state_dict: it contains {several(others, 5)}", hint=SAVE)
    own = read_own_arguments(content)
    architecture, default, notes = stated_architecture(architecture, own, read_stated_arguments(content))
    refusals: list[tuple[Selection, RequestError]] = []
    for selection in select(tensors, default.state_dict()):
        try:
            module, fitting = _fit(path, selection, architecture, default, read_architecture(content))
        except RequestError as error:
            refusals.append((selection, error))
            continue
        fitting.notes += notes
        _tell_choice(path, selection, [one for one, _ in refusals], fitting, tell)
        return Loaded(
            module=module,
            arguments=architecture.arguments | fitting.changes,
            options=fitting.normalising | read_options(content),
            unread=tuple(unread_options(content)),
            normalising=fitting.normalising,
            classes=read_classes(content, getattr(module, "num_classes", 0)),
            grey=fitting.grey,
            multi_label=states_several_labels(content),
        )
    foreign = find_foreign(tensors)
    if foreign is not None:
        raise RequestError(f"{path} {foreign.title}, which cannot be loaded", hint=foreign.hint)
    raise next((error for selection, error in refusals if not selection.averaged), refusals[0][1])


def _weights(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors of a file, without those that state the preprocessing."""
    options = {one.title for one in stated(content) if one.placed and one.name in OPTION}
    return {name: value for name, value in flatten(content).items() if name not in options}


def _tell_choice(
    path: Path, selection: Selection, refused: list[Selection], fitting: _Fitting, tell: Callable[[str], None]
) -> None:
    if selection.prefix:
        tell(f"note: using the weights under {selection.prefix.rstrip('.')!r} in {path.name}")
    unused = [copy for copy in selection.copies if copy not in {one.prefix for one in refused}]
    if unused and not selection.averaged:
        names = ", ".join(repr(copy.rstrip(".")) for copy in unused)
        tell(f"note: weights of the same names under {names} are not used")
    for one in refused:
        tell(f"note: the weights under {one.prefix.rstrip('.')!r} do not fit and are passed over")
    if fitting.dropped:
        tell(f"note: dropped, as they belong to training: {several(fitting.dropped)}")
    for note in fitting.notes:
        tell(note)


def _fit(
    path: Path, selection: Selection, architecture: Architecture, default: nn.Module, stated: str
) -> tuple[nn.Module, _Fitting]:
    """Return a module with the selected tensors, or raise `RequestError`."""
    fitting = _Fitting(_joined(path, selection))
    module = _shaped(architecture, default, fitting)
    if compare_tensors(module, fitting.tensors):
        fitting.tensors = translated(module, fitting.tensors)
        module = _shaped(architecture, default, fitting)
    _drop(fitting, module)
    _note_beside(fitting, module, selection)
    _find_head(path, architecture, module, fitting)
    _turn_grey(path, architecture, fitting)
    module = _shaped(architecture, default, fitting)
    for name, value in module.state_dict().items():
        if name.endswith(COUNTERS):
            fitting.tensors.setdefault(name, value)
    misfit = compare_tensors(module, fitting.tensors)
    if misfit:
        raise misfit_error(path, architecture.title, misfit, stated, architecture.classifier)
    load_whole(module, fitting.tensors, path)
    others = [f"{name}={value}" for name, value in fitting.changes.items() if name != "num_classes"]
    if others:
        fitting.notes.insert(0, f"note: {path.name} differs from {architecture.title}: {', '.join(others)}")
    return module, fitting


def _joined(path: Path, selection: Selection) -> dict[str, Tensor]:
    """Return the model's tensors and those beside it; raises `RequestError` for two of one name that differ."""
    twice = [
        name
        for name, value in selection.others.items()
        if name in selection.tensors and not _equal(value, selection.tensors[name])
    ]
    if twice:
        inside = selection.prefix.rstrip(".")
        raise RequestError(
            f"{path} has other values beside {inside!r} than in it: {several(twice, 5)}; it cannot be told what the "
            "model does with them",
            hint=f"save the timm model alone: the state_dict of {inside!r}, with its head",
        )
    return selection.others | selection.tensors


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and not one.is_meta and not other.is_meta and bool((one == other).all())


def _shaped(architecture: Architecture, default: nn.Module, fitting: _Fitting) -> nn.Module:
    """Return a module with the arguments that the tensors tell of; the default one where they tell of none."""
    changes = differing_arguments(fitting.tensors, default.state_dict(), architecture.classifier)
    changes = {name: value for name, value in changes.items() if architecture.arguments.get(name) != value}
    if "global_pool" in architecture.stated and "global_pool" in changes:
        del changes["global_pool"]  # of pooling, shapes tell no more than which normalisation there is
        changes["fc_norm"] = "fc_norm.weight" in fitting.tensors
    if changes.get("num_classes") == getattr(default, "num_classes", None):
        del changes["num_classes"]
    if not changes:
        fitting.changes = {}
        return default
    for tried in (changes, {name: value for name, value in changes.items() if name == "num_classes"}):
        try:
            module = architecture.create(architecture.arguments | tried)
        except Exception:  # shapes that no member of the family has: the list of misfits says what is wrong
            continue
        fitting.changes = tried
        return module
    return default


def _drop(fitting: _Fitting, module: nn.Module) -> None:
    """Take out what belongs to training, and what normalises images, which is read as preprocessing."""
    wanted = module.state_dict()
    unexpected = {name: value for name, value in fitting.tensors.items() if name not in wanted}
    normalising = normalising_tensors(unexpected)
    for name in unexpected:
        if belongs_to_training(name) or is_figure(name, unexpected[name]):
            fitting.dropped.append(name)
            del fitting.tensors[name]
        elif name in normalising.values():
            del fitting.tensors[name]
    fitting.normalising = {key: tuple(unexpected[name].flatten().tolist()) for key, name in normalising.items()}


def _note_beside(fitting: _Fitting, module: nn.Module, selection: Selection) -> None:
    """Note which tensors of the model's lie beside it, as a head often does."""
    wanted = module.state_dict()
    taken = [name for name in selection.others if name in wanted and name not in selection.tensors]
    if taken:
        inside = selection.prefix.rstrip(".")
        fitting.notes.append(f"note: beside {inside!r}, and taken as the model's: {several(taken)}")


def _find_head(path: Path, architecture: Architecture, module: nn.Module, fitting: _Fitting) -> None:
    """Take a lone linear layer beside the model as its head, and note when there is none at all."""
    head = architecture.classifier
    if f"{head}.weight" in fitting.tensors:
        return
    misfit = compare_tensors(module, fitting.tensors)
    unexpected = misfit.unexpected
    stem = _lone_linear(unexpected, getattr(module, "head_hidden_size", None))
    whole = all(name.startswith(f"{head}.") or name.endswith(COUNTERS) for name in misfit.missing)
    if stem is not None and whole:
        weight = fitting.tensors.pop(f"{stem}.weight")
        bias = fitting.tensors.pop(f"{stem}.bias", weight.new_zeros(len(weight)))
        fitting.tensors |= {f"{head}.weight": weight, f"{head}.bias": bias}
        fitting.notes.append(f"note: {stem!r} in {path.name} is taken as the head of {len(weight)} outputs")
    elif not unexpected and fitting.changes.get("num_classes") == 0:
        fitting.notes.append(f"note: {path.name} has no head: the model gives an embedding, no classes")


def _lone_linear(tensors: Mapping[str, Tensor], width: int | None) -> str | None:
    """Return the name of the only layer among the tensors, if it is a linear one of that width."""
    stems = {name.rpartition(".")[0] for name in tensors}
    if len(stems) != 1:
        return None
    stem = stems.pop()
    weight, others = tensors.get(f"{stem}.weight"), tensors.keys() - {f"{stem}.weight", f"{stem}.bias"}
    return stem if weight is not None and not others and weight.ndim == 2 and weight.shape[1] == width else None


def _turn_grey(path: Path, architecture: Architecture, fitting: _Fitting) -> None:
    """Let a model of grey images take colours, of which it sees the grey; other numbers of channels are refused."""
    channels = input_channels(fitting.tensors, architecture.first)
    if channels in (None, 3):
        return
    if channels != 1:
        raise RequestError(
            f"{path} takes images of {channels} channels", hint="only models of RGB or grey images can be published"
        )
    name = f"{architecture.first}.weight"
    fitting.tensors[name] = grey_to_colour(fitting.tensors[name].float())
    fitting.grey = True
    fitting.notes.append(f"note: {path.name} takes grey images: pictures are turned grey before it sees them")
