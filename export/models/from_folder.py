"""A folder's model, loaded as its library keeps it: transformers', or timm's own."""

from collections.abc import Callable
from typing import Any

import timm
from timm.models import PretrainedCfg

from export.core.errors import RequestError
from export.core.records import Preprocess
from export.models.architecture import CLASS_AND_MEAN, create, hash_tensors, ready
from export.models.catalog import CatalogEntry
from export.models.checkpoint.architecture import describe_architecture
from export.models.checkpoint.load import Loaded, load_content
from export.models.choice.request import ModelRequest
from export.models.folder import timm_model
from export.models.folder.files import ModelFolder
from export.models.folder.tensors import hash_parts, read_parts
from export.models.preprocessing import of_timm
from export.models.transformers.load import load_transformers
from export.models.transformers.processor import read_processor
from export.models.transformers.twin import find_twin
from export.models.weights.randomise import randomise

Tell = Callable[[str], None]


def load_folder(
    request: ModelRequest, folder: ModelFolder, entry: CatalogEntry, config: PretrainedCfg, tell: Tell
) -> tuple[Loaded, str]:
    """Return the module as loaded, and the SHA-256 of its weights' files; `config` is timm's of the architecture.

    Raises `RequestError` for weights that are damaged or do not fit, and for what timm's twin cannot do.
    """
    is_timm = timm_model.is_timm(folder.config)
    if request.kind == "random":
        loaded = _untrained(request, folder, entry, is_timm, tell)
        return loaded, hash_tensors(loaded.module)
    if is_timm:
        loaded = _load_timm(request, folder, entry, config, tell)
    else:
        loaded = load_transformers(folder, request.preprocess.image_size, request.labels is not None, tell)
    ready(loaded.module)
    return loaded, hash_parts(folder.weights)


def _untrained(request: ModelRequest, folder: ModelFolder, entry: CatalogEntry, is_timm: bool, tell: Tell) -> Loaded:
    arguments = dict(entry.arguments)
    module = ready(randomise(_create(folder, entry.timm_name, arguments), request.seed))
    if is_timm:
        preprocess = timm_model.preprocessing(folder.config, of_timm(request.model, module))
        return Loaded(module, arguments, preprocess=preprocess, classes=timm_model.labels(folder.config))
    twin = find_twin(folder.config)
    preprocess = read_processor(folder.processor, twin.family.processor, arguments.get("img_size"), tell)
    if "img_size" in arguments and preprocess.size != arguments["img_size"]:
        arguments["img_size"] = preprocess.size
        module = ready(randomise(_create(folder, entry.timm_name, arguments), request.seed))
    labels = ("id2label", twin.labels) if twin.labels else None
    return Loaded(module, arguments, preprocess=preprocess, classes=labels, timm_name=entry.timm_name)


def _create(folder: ModelFolder, name: str, arguments: dict[str, Any]) -> Any:
    try:
        return create(name, arguments)
    except Exception as error:  # timm and PyTorch raise many kinds for arguments that do not go together
        reason = " ".join(str(error).split())[:200]
        raise RequestError(
            f"{folder.config.path}: timm {timm.__version__} cannot create {name} as it says: {reason}",
            hint="correct model_args; or pass the file of weights with --model timm/NAME",
        ) from error


def _load_timm(
    request: ModelRequest, folder: ModelFolder, entry: CatalogEntry, config: PretrainedCfg, tell: Tell
) -> Loaded:
    arguments = dict(entry.arguments)
    _create(folder, entry.timm_name, arguments)
    architecture = describe_architecture(folder.path.name, entry.timm_name, config, arguments)
    loaded = load_content(folder.weights[0], read_parts(folder.weights), architecture, tell)
    labels = timm_model.labels(folder.config)
    count = getattr(loaded.module, "num_classes", 0)
    if labels and count and len(labels[1]) != count and not request.labels:
        raise RequestError(
            f"{folder.config.path}: {labels[0]} names {len(labels[1])} classes, but the head has {count} outputs",
            hint=f"correct it, or pass --labels FILE with {count} names",
        )
    problem = folder.config.get("problem_type") == "multi_label_classification"
    return Loaded(
        module=loaded.module,
        arguments=loaded.arguments,
        classes=labels,
        grey=loaded.grey,
        multi_label=loaded.multi_label or problem,
        preprocess=timm_model.preprocessing(folder.config, of_timm(request.model, loaded.module)),
    )


def read_folder_tensors(folder: ModelFolder, tell: Tell) -> tuple[dict[str, Any], Preprocess | None]:
    """Return a folder's tensors under timm's names, and the preprocessing that it states; to be trained further.

    Classifiers that no model of timm's own has are left out. Raises `RequestError` as `load_folder` does.
    """
    if timm_model.is_timm(folder.config):
        return read_parts(folder.weights), None
    loaded = load_transformers(folder, None, True, tell)
    heads = ("head.", "head_mean.") if loaded.timm_name == CLASS_AND_MEAN else ()
    state = loaded.module.state_dict()
    return {name: value for name, value in state.items() if not name.startswith(heads)}, loaded.preprocess
