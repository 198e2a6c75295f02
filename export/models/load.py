"""From a request to a float model and its spec: the one place where models are created."""

import dataclasses
import difflib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from msgspec.structs import replace
from timm.models import PretrainedCfg
from torch import nn

from export.core.console import say, several
from export.core.errors import RequestError
from export.core.files import hash_file
from export.core.records import ModelSpec, Preprocess, Probabilities
from export.data.embedded import embedded_model
from export.data.labels.known import imagenet_labels, numbered_labels
from export.data.labels.read import read_labels, stated_labels
from export.models.architecture import create, hash_tensors, ready
from export.models.catalog import HUB, MODELS_HINT, CatalogEntry
from export.models.checkpoint.architecture import describe_architecture
from export.models.checkpoint.load import Loaded, load_checkpoint
from export.models.choice.request import ModelRequest, weights_file
from export.models.choice.source import entry_of
from export.models.confidence import confidence_for
from export.models.from_folder import load_folder
from export.models.hub.weights import fetch_weights
from export.models.preprocessing import choose_preprocess, resize, size_error
from export.models.weights.packed_weights import read_packed_weights
from export.models.weights.randomise import add_outliers, randomise
from export.models.weights.undrawn import UndrawnWeights


def load(request: ModelRequest, tell: Callable[[str], None] = say) -> tuple[ModelSpec, nn.Module]:
    """Return the model's spec and its module, float32, in evaluation mode, on the CPU.

    `tell` is called with a note for every decision that was made by default. `timm.create_model(spec.timm_name,
    pretrained=False, **spec.arguments)` creates the same architecture again. Raises `RequestError` when the model is
    unknown, its weights cannot be obtained or do not fit, or the labels are not its own.
    """
    folder = request.folder()
    if folder is not None and request.outliers:
        raise RequestError(f"--weights outliers does not apply to {request.model}, a saved model", hint="name a ViT")
    entry = entry_of(folder) if folder else request.entry
    config = _timm_config(request, entry)
    if folder is None:
        loaded, weights_sha256 = _make(request, config, tell)
    else:
        loaded, weights_sha256 = load_folder(request, folder, entry, config, tell)
    if request.features:
        loaded = _without_classifier(request.model, loaded)
    module, own = loaded.module, None if folder else embedded_model(entry.name)
    preprocess = choose_preprocess(request, loaded, own.preprocess if own else None, tell)
    arguments, positions_from = resize(request.model, entry.timm_name, config, loaded, preprocess.size, tell)
    features = _classes(module) == 0
    outputs = _outputs(request.model, module, preprocess)
    spec = ModelSpec(
        name=request.name,
        title=request.entry.title + (", features" if request.features else ""),
        timm_name=loaded.timm_name or (entry.timm_name if entry.embedded else _pinned(entry, config)),
        weights=request.kind,
        weights_sha256=weights_sha256,
        preprocess=preprocess,
        labels=_labels(request, 0 if features else outputs, loaded.classes, tell),
        features=features,
        outputs=outputs,
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        licence=entry.licence if folder else _licence(request, config),
        source=entry.source or f"{HUB}/{config.hf_hub_id or 'timm'}",
        arguments=arguments,
        probabilities=_probabilities(request, 0 if features else outputs, loaded.multi_label, tell),
        positions_from=positions_from,
    )
    return replace(spec, confidence=None if request.features else confidence_for(request, spec, tell)), module


def _make(request: ModelRequest, config: PretrainedCfg, tell: Callable[[str], None]) -> tuple[Loaded, str]:
    """Return the module as loaded, and the SHA-256 of its weights (their file's, if any)."""
    arguments = dict(request.entry.arguments)
    if request.kind == "random":
        with UndrawnWeights():
            module = create(request.entry.timm_name, arguments)
        ready(randomise(module, request.seed))
        if request.outliers:
            add_outliers(module, request.seed)
        return Loaded(module, arguments), hash_tensors(module)
    path = weights_file(request) or fetch_weights(request.model, config)
    if request.kind == "pretrained":
        loaded = Loaded(_pretrained(request, path, arguments), arguments)
    elif request.kind == "embedded":
        with UndrawnWeights():
            loaded = Loaded(create(request.entry.timm_name, arguments), arguments)
        loaded.module.load_state_dict(read_packed_weights(path))
    else:
        loaded = load_checkpoint(
            path, describe_architecture(request.model, request.entry.timm_name, config, arguments), tell
        )
    ready(loaded.module)
    return loaded, hash_file(path)


def _without_classifier(model: str, loaded: Loaded) -> Loaded:
    module: Any = loaded.module
    if module.num_classes == 0:
        raise RequestError(
            f"--features: {model} has no classifier; its output is an embedding already", hint="leave --features out"
        )
    module.reset_classifier(0)
    arguments = {**loaded.arguments, "num_classes": 0}
    return dataclasses.replace(loaded, arguments=arguments, classes=None, multi_label=False)


def _classes(module: nn.Module) -> int:
    count: Any = module.num_classes
    return int(count)


def _timm_config(request: ModelRequest, entry: CatalogEntry) -> PretrainedCfg:
    name = entry.timm_name
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # the architecture is known, the tag is not
        config = None
    if config is not None and timm.is_model(name):
        _check_input(request.model, config)
        _check_labels(request, entry, config)
        return config
    names = [*timm.list_models(), *timm.list_pretrained()]
    nearest = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    raise RequestError(
        f"--model {request.model!r}: timm {timm.__version__} has no model {name!r}"
        + (f"; the nearest names are {', '.join(f'timm/{near}' for near in nearest)}" if nearest else ""),
        hint=MODELS_HINT,
    )


def _check_input(model: str, config: PretrainedCfg) -> None:
    channels, height, width = config.test_input_size or config.input_size
    if channels != 3 or height != width:
        raise RequestError(
            f"{model} takes images of {height}×{width} with {channels} channels; only square RGB images are supported",
            hint="choose another model, or another size with --image-size",
        )


def _check_labels(request: ModelRequest, entry: CatalogEntry, config: PretrainedCfg) -> None:
    classes = entry.arguments.get("num_classes", config.num_classes)
    if request.labels and request.kind != "checkpoint" and classes == 0:
        raise RequestError(
            f"--labels {request.labels}: {request.model} has no classes; its output is an embedding",
            hint="leave out --labels",
        )


def _pinned(entry: CatalogEntry, config: PretrainedCfg) -> str:
    """Return the name with its tag, so that another version of timm means the same weights by it."""
    return entry.timm_name if "." in entry.timm_name or not config.tag else f"{entry.timm_name}.{config.tag}"


def _pretrained(request: ModelRequest, path: Path, arguments: dict[str, Any]) -> nn.Module:
    try:
        return create(request.entry.timm_name, arguments, pretrained=True, pretrained_cfg_overlay={"file": str(path)})
    except Exception as error:  # timm and safetensors raise a dozen kinds for a file that is not what it should be
        raise RequestError(
            f"{request.model}: the weights in {path} cannot be loaded: {str(error).strip()[:1000]}",
            hint="delete that file and run the command again; or use --checkpoint FILE",
        ) from error


@torch.inference_mode()
def _outputs(model: str, module: nn.Module, preprocess: Preprocess) -> int:
    """Return K of the output `[1, K]`, measured by a forward pass."""
    try:
        output = module(torch.zeros(1, 3, preprocess.size, preprocess.size))
    except (RuntimeError, AssertionError, ValueError) as error:  # a size that is no multiple of patches, for instance
        raise size_error(model, preprocess.size, error) from error
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise RequestError(f"{model} returns {shape} for an image, not one row of numbers", hint=MODELS_HINT)
    return int(output.shape[1])


def _probabilities(request: ModelRequest, classes: int, stated: bool, tell: Callable[[str], None]) -> Probabilities:
    """Return how outputs become probabilities; `stated` says that the checkpoint is of a model of several labels."""
    if request.multi_label and classes == 0:
        raise RequestError(
            f"--multi-label: {request.model} has no classes; its output is an embedding", hint="leave --multi-label out"
        )
    if classes == 1:
        tell("note: the model has one output: its sigmoid is shown as the probability of its label")
    elif stated and not request.multi_label:
        tell("note: the checkpoint is of a model of several labels: each output is a probability of its own (sigmoid)")
    return "sigmoid" if classes == 1 or stated or request.multi_label else "softmax"


def _labels(
    request: ModelRequest, classes: int, stated: tuple[str, Any] | None, tell: Callable[[str], None]
) -> tuple[str, ...]:
    if request.labels and classes == 0:
        raise RequestError(
            f"--labels {request.labels}: the model has no head, its output is an embedding", hint="leave --labels out"
        )
    if request.labels:
        return read_labels(request.labels, classes, tell)
    if classes == 0:
        return ()
    if stated is not None:
        labels = stated_labels(stated[1], classes)
        twice = [label for label, count in Counter(labels or ()).items() if count > 1]
        if twice and stated[0].lower() == "labels":  # the class of every image, perhaps
            labels = None
        if labels is not None:
            if twice:
                tell(f"note: {stated[0]!r} in the checkpoint repeats labels: {several(twice, 5)}")
            tell(f"note: the classes are named after {stated[0]!r} in the checkpoint; pass --labels FILE for others")
            return labels
        tell(f"note: {stated[0]!r} in the checkpoint does not name the {classes} classes and is not used")
    own = embedded_model(request.entry.name)
    if own is not None and classes == len(own.labels):
        return own.labels
    known = imagenet_labels(classes)
    if known is None:
        names = f"names of the {classes} classes are unknown; they are shown as class 0 … class {classes - 1}"
        tell(f"note: the {names if classes > 1 else 'name of the class is unknown; it is shown as class 0'}")
        return numbered_labels(classes)
    if request.kind == "checkpoint":
        tell(f"note: the {classes} classes are assumed to be ImageNet's; pass --labels FILE for others")
    return known


def _licence(request: ModelRequest, config: PretrainedCfg) -> str:
    if request.kind == "checkpoint":
        return "not stated (own checkpoint)"
    return request.entry.licence or config.license or "not stated"
