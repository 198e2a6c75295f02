"""Which of a folder's files are the model's: the configuration, the weights whole or in parts, the preprocessing."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.core.console import several
from export.core.errors import RequestError
from export.data.signatures import read_head, recognise
from export.models.folder.config import Config

CONFIG, CARD = "config.json", "README.md"
PROCESSORS = ("preprocessor_config.json", "processor_config.json")  # the second nests what the first holds
# Weights in order of preference, as transformers has it: whole, or in parts that an index lists.
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
INDEX = ".index.json"
PART = re.compile(r"(.+)-\d{5}-of-(\d{5})(\.\w+)")
ADAPTER = "adapter_config.json"
# Files of weights that other libraries read, with what can be done.
FROM_PYTORCH = (
    "save them again from PyTorch: AutoModelForImageClassification.from_pretrained(FOLDER, {}).save_pretrained(FOLDER)"
)
OTHERS = {
    "tf_model.h5": ("TensorFlow", FROM_PYTORCH.format("from_tf=True")),
    "flax_model.msgpack": ("Flax", FROM_PYTORCH.format("from_flax=True")),
    "model.onnx": ("ONNX", "pass the folder of the PyTorch model that it was exported from"),
}


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder with `config.json`: its `weights` are files in order, `processor` is how images are prepared, if said.

    `repository` is its name on the hub, or "" for a folder of one's own; `read` are all files that decide the model.
    """

    path: Path
    config: Config
    processor: Config | None
    weights: tuple[Path, ...]
    repository: str = ""

    @property
    def read(self) -> tuple[Path, ...]:
        """The files that are read, by which the model's artifact is known."""
        found = [self.path / name for name in (CONFIG, CARD, *PROCESSORS)]
        return (*(path for path in found if path.is_file()), *self.weights)


def read_folder(path: Path, weights: Path | None = None, repository: str = "") -> ModelFolder:
    """Find out what a folder holds; `weights` is a file to read in place of the folder's own.

    Raises `RequestError` for a folder without configuration or weights, and for a missing part.
    """
    if not (path / CONFIG).is_file():
        raise _without_config(path)
    config = Config.read(path / CONFIG)
    if (path / ADAPTER).is_file():  # transformers would load and apply it
        raise adapter_error(f"{path} has an adapter that is not merged into the weights ({ADAPTER})")
    return ModelFolder(
        path=path,
        config=config,
        processor=_processor(path),
        weights=(weights,) if weights else find_weights(path),
        repository=repository,
    )


def adapter_error(message: str) -> RequestError:
    """Return the refusal of an adapter, which changes what a model computes and is not applied here."""
    return RequestError(message, hint="merge it first: model.merge_and_unload().save_pretrained(FOLDER) in peft")


def _without_config(path: Path) -> RequestError:
    names = sorted(one.name for one in path.iterdir())
    inner = sorted((one.parent for one in path.glob(f"*/{CONFIG}")), key=_natural)
    if ADAPTER in names:
        return adapter_error(f"{path} is a LoRA adapter without its model")
    if inner:
        hint = f"pass the folder with the model: {inner[-1]}"
        return RequestError(
            f"{path} is a folder without {CONFIG}; in it, {several([one.name for one in inner])} have one", hint=hint
        )
    hint = f"pass the folder that save_pretrained wrote, with its {CONFIG}"
    if weights := [name for name in names if name.endswith((".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".tar"))]:
        hint = f"{hint}; or one file of weights and its architecture: --model NAME --checkpoint {path / weights[0]}"
    holds = f"; it holds {several(names, 5)}" if names else "; it is empty"
    return RequestError(f"{path} is a folder without {CONFIG}, which says what the model is{holds}", hint=hint)


def _natural(path: Path) -> list[Any]:
    """Return a key by which checkpoint-1000 comes after checkpoint-500."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _processor(path: Path) -> Config | None:
    for name in PROCESSORS:
        if (path / name).is_file():
            config = Config.read(path / name)
            inner = config.get("image_processor")
            return Config(config.path, inner) if isinstance(inner, dict) else config
    return None


def find_weights(path: Path) -> tuple[Path, ...]:
    """Return the files of a folder's weights; raises `RequestError` when there are none, or not all parts."""
    for name in WEIGHTS:
        if (path / name).is_file():
            return tuple(_whole(path / part) for part in listed(path / name))
    names = sorted(one.name for one in path.iterdir() if one.is_file())
    single = [name for name in names if name.endswith(".safetensors") and not PART.fullmatch(name)]
    if len(single) == 1:
        return (_whole(path / single[0]),)
    raise _without_weights(path, names)


def listed(path: Path) -> list[str]:
    """Return the names of the files that hold the weights: those that an index lists, or the one itself."""
    _whole(path)
    if not path.name.endswith(INDEX):
        return [path.name]
    places = Config.read(path).get("weight_map")
    names = sorted({str(name) for name in places.values()}) if isinstance(places, dict) else []
    if not names or any("/" in name or "\\" in name for name in names):
        raise RequestError(f"{path} lists no files of weights", hint="copy or download it again")
    missing = [name for name in names if not (path.parent / name).is_file()]
    if missing:
        raise RequestError(
            f"{path.parent} lacks {len(missing)} of {len(names)} parts that {path.name} lists: {several(missing)}",
            hint="copy or download the missing parts into the folder",
        )
    return names


def _whole(path: Path) -> Path:
    kind = recognise(read_head(path))
    if kind is not None:
        raise RequestError(f"{path} is {kind.title}", hint=kind.hint)
    return path


def _without_weights(path: Path, names: Iterable[str]) -> RequestError:
    listed_names = list(names)
    parts = [name for name in listed_names if PART.fullmatch(name)]
    if parts:
        hint = "copy or download it too: it says which part has which weights"
        return RequestError(f"{path} has weights in parts ({several(parts)}) without their *{INDEX}", hint=hint)
    for name, (library, hint) in OTHERS.items():
        if name in listed_names or (path / "onnx" / name).is_file():
            return RequestError(f"{path} has weights for {library} alone ({name})", hint=hint)
    several_files = [name for name in listed_names if name.endswith(".safetensors")]
    if several_files:
        hint = f"say which with --checkpoint: {several([str(path / name) for name in several_files])}"
        return RequestError(f"{path} has several files of weights, none of a usual name", hint=hint)
    return RequestError(
        f"{path} has no weights: neither {WEIGHTS[0]} nor {WEIGHTS[2]}, whole or in parts",
        hint="save the model with model.save_pretrained(FOLDER)",
    )
