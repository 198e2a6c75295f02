"""A model of transformers, loaded into its twin in timm: every tensor is used, and every decision is said."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from export.core.console import several
from export.core.errors import RequestError
from export.core.records import Preprocess
from export.models.architecture import create
from export.models.checkpoint.fit import SHOWN, compare_tensors, load_whole
from export.models.checkpoint.load import COUNTERS, Loaded
from export.models.checkpoint.shapes import grey_to_colour, input_channels
from export.models.checkpoint.tensors import belongs_to_training, flatten
from export.models.folder.files import ModelFolder, adapter_error
from export.models.folder.tensors import read_parts
from export.models.transformers.families import Head
from export.models.transformers.fields import check_windows
from export.models.transformers.processor import read_processor
from export.models.transformers.tensors import interpolate_positions, move_class_position, rename, split_head
from export.models.transformers.twin import Twin, find_twin, tell_unknown
from export.models.weights.undrawn import UndrawnWeights

Tell = Callable[[str], None]
MULTI_LABEL = "multi_label_classification"
FIRST = {"resnet": "conv1"}  # names of the first convolution where they are not those of patches
NO_CLASSES = (
    "note: {} has no classifier: the model gives an embedding, no classes. To name classes it needs a head, trained on "
    "pictures of them: python -m export.train --data FOLDER --model timm/{} --checkpoint {}"
)


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked for beside the folder: the image size, if any, and whether labels are given."""

    image_size: int | None
    has_labels: bool
    tell: Tell


def load_transformers(folder: ModelFolder, image_size: int | None, has_labels: bool, tell: Tell) -> Loaded:
    """Load a folder that transformers saved.

    `image_size` is that requested, to which positions are interpolated; with `has_labels` those of the configuration do
    not matter. Raises `RequestError` for weights that are damaged or do not fit, and for what timm's twin cannot do.
    """
    request = _Request(image_size, has_labels, tell)
    twin = find_twin(folder.config)
    tell_unknown(folder.config, twin.family, tell)
    tensors = _read_tensors(folder, twin, tell)
    twin = twin.with_head(_head(folder, twin, tensors))
    preprocess = _preprocess(folder, twin, request)
    arguments = dict(twin.arguments)
    if "img_size" in arguments:
        arguments["img_size"] = image_size or preprocess.size
        _check_patch(folder, arguments)
    if "window_size" in arguments:
        check_windows(folder.config, arguments)
    classes = 0 if twin.head == "none" else _check_classes(folder, twin, tensors, request)
    positions_from = _fit_twin(folder, twin, arguments, tensors, tell)
    grey = _turn_grey(folder, twin, tensors, tell)
    arguments["num_classes"] = classes
    module = _create(folder, twin, arguments)
    _load(folder, module, tensors)
    labels = ("id2label", twin.labels) if twin.labels and classes else None
    return Loaded(
        module=module,
        arguments=arguments,
        classes=labels,
        grey=grey,
        multi_label=folder.config.get("problem_type") == MULTI_LABEL,
        preprocess=preprocess,
        timm_name=twin.timm_name,
        positions_from=positions_from,
    )


def _read_tensors(folder: ModelFolder, twin: Twin, tell: Tell) -> dict[str, Tensor]:
    """Return the model's tensors under timm's names; raises `RequestError` for unknown ones."""
    renamed = rename(flatten(read_parts(folder.weights)), twin.family.names)
    dropped = [name for name in renamed.unknown if belongs_to_training(name)]
    unknown = [name for name in renamed.unknown if name not in dropped]
    if any("lora_" in name for name in unknown):
        raise adapter_error(f"{folder.weights[0]} has tensors of a LoRA adapter: {several(unknown, SHOWN)}")
    if not renamed.tensors or unknown:
        what = several(unknown, SHOWN) if unknown else "no tensors"
        raise RequestError(
            f"{folder.weights[0]} has no tensors of {twin.family.title}, which {folder.config.path} says it is: {what}",
            hint="pass the folder that save_pretrained wrote; weights of timm: --model timm/NAME --checkpoint FILE",
        )
    if renamed.prefix:
        tell(f"note: using the weights under {renamed.prefix.rstrip('.')!r} in {folder.weights[0].name}")
    if dropped:
        tell(f"note: dropped, as they belong to training: {several(dropped)}")
    if renamed.dropped:
        tell(f"note: not used, as no output of the model depends on them: {several(renamed.dropped)}")
    return renamed.tensors


def _head(folder: ModelFolder, twin: Twin, tensors: dict[str, Tensor]) -> Head:
    """Return the head that the configuration says, or where it says none, the one that the tensors have."""
    has_head = f"{twin.family.classifier}.weight" in tensors
    if twin.head is None:
        kinds = twin.family.heads.values()
        if "head_dist.weight" in tensors:
            return "distilled"
        return next(iter(kinds)) if has_head else "none"
    if twin.head == "none" and not has_head:
        return "none"
    if twin.head == "none":
        raise RequestError(
            f"{folder.weights[0]} has a classifier, but architectures in {folder.config.path} is of none",
            hint=f"correct architectures: one of {', '.join(twin.family.heads)}",
        )
    if not has_head:
        raise RequestError(
            f"{folder.weights[0]} has no classifier, but architectures in {folder.config.path} is of one",
            hint="the weights are those before fine-tuning: save the fine-tuned model with save_pretrained",
        )
    return twin.head


def _preprocess(folder: ModelFolder, twin: Twin, request: _Request) -> Preprocess:
    """Return how images are prepared; raises `RequestError` where that is another size than the model's."""
    family, own = twin.family, twin.arguments.get("img_size")
    preprocess = read_processor(folder.processor, family.processor, request.image_size or own, request.tell)
    free = family.any_size or not family.positions
    if own is None or free or request.image_size or preprocess.size == own:
        return preprocess
    raise RequestError(
        f"{folder.config.path} says image_size {own}, but images are prepared at {preprocess.size}, and "
        f"{family.title} takes one size",
        hint=f"to interpolate its positions: --image-size {preprocess.size}; else correct preprocessor_config.json",
    )


def _check_patch(folder: ModelFolder, arguments: dict[str, Any]) -> None:
    size, patch = arguments["img_size"], arguments["patch_size"]
    if size < patch:
        raise RequestError(
            f"{folder.config.path}: patches of {patch}×{patch} do not fit into images of {size}×{size}",
            hint=f"pass --image-size with a multiple of {patch}, or correct patch_size",
        )


def _create(folder: ModelFolder, twin: Twin, arguments: dict[str, Any]) -> nn.Module:
    """Return the twin, all of whose weights are to be loaded."""
    try:
        with UndrawnWeights():
            return create(twin.timm_name, arguments)
    except (RuntimeError, MemoryError) as error:  # of sizes that no memory holds
        raise RequestError(
            f"{folder.config.path}: a model of these sizes cannot be created: {' '.join(str(error).split())[:200]}",
            hint="config.json and weights are of different models: copy both from the same place",
        ) from error


def _check_classes(folder: ModelFolder, twin: Twin, tensors: dict[str, Tensor], request: _Request) -> int:
    """Return how many outputs the classifier has; raises `RequestError` when the labels are not as many."""
    count = int(tensors[f"{twin.family.classifier}.weight"].shape[0])
    if count != twin.classes and not request.has_labels:
        named = "id2label names" if folder.config.get("id2label") else "num_labels is"
        raise RequestError(
            f"{folder.config.path}: {named} {twin.classes} classes, but the classifier has {count} outputs",
            hint=f"correct it, or pass --labels FILE with {count} names",
        )
    return count


def _fit_twin(
    folder: ModelFolder, twin: Twin, arguments: dict[str, Any], tensors: dict[str, Tensor], tell: Tell
) -> int | None:
    """Bring tensors to the twin's form: positions to its size, tokens to its names, the head to its layers.

    Returns the image size that positions are interpolated from, if they are.
    """
    positions_from = _fit_positions(twin, arguments, tensors, tell)
    if arguments.get("no_embed_class") and {"pos_embed", "cls_token"} <= tensors.keys():
        move_class_position(tensors)
    if twin.head != "distilled" and "dist_token" in tensors:
        tensors["reg_token"] = tensors.pop("dist_token")
    if twin.head == "class_and_mean":
        split_head(tensors, arguments["embed_dim"])
    if twin.head == "none":
        tell(NO_CLASSES.format(folder.path.name, twin.timm_name, folder.path))
    return positions_from


def _fit_positions(twin: Twin, arguments: dict[str, Any], tensors: dict[str, Tensor], tell: Tell) -> int | None:
    if not twin.family.positions or "pos_embed" not in tensors:
        return None
    size, own = arguments["img_size"], int(twin.arguments["img_size"])
    before, prefix = tensors["pos_embed"], 1 + ("dist_token" in tensors)
    side = size // arguments["patch_size"]
    tensors["pos_embed"] = interpolate_positions(before, prefix, side, antialias=twin.family.antialias)
    if tensors["pos_embed"] is before:
        return None
    tell(
        f"note: position embeddings are interpolated from images of {own}×{own} to {size}×{size}, "
        "as transformers does it"
    )
    return own


def _turn_grey(folder: ModelFolder, twin: Twin, tensors: dict[str, Tensor], tell: Tell) -> bool:
    """Let a model of grey images take colours; raises `RequestError` for other numbers of channels."""
    first = FIRST.get(str(folder.config.get("model_type")), "patch_embed.proj")
    channels, stated = input_channels(tensors, first), folder.config.get("num_channels", 3)
    if stated not in (1, 3) or channels not in (None, stated):
        raise folder.config.fault("num_channels", "3, or 1 for grey images, as the weights have it")
    if channels != 1:
        return False
    tensors[f"{first}.weight"] = grey_to_colour(tensors[f"{first}.weight"])
    tell(f"note: {folder.path.name} takes grey images: pictures are turned grey before it sees them")
    return True


def _load(folder: ModelFolder, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    for name, value in module.state_dict().items():
        if name.endswith(COUNTERS):
            tensors.setdefault(name, value)
    misfit = compare_tensors(module, tensors)
    if misfit:
        raise RequestError(
            f"{folder.weights[0]} does not fit {folder.config.path} (names as timm has them)"
            + "".join(f"\n    {line}" for line in misfit.lines()),
            hint="config.json and weights are of different models: copy both from the same place",
        )
    load_whole(module, tensors, folder.weights[0])
