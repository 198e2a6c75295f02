"""What a file of weights contains, judged by its bytes and not by its name; no code in it is run."""

import argparse
import collections
import datetime
import decimal
import pathlib
import re
import tarfile
import uuid
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from export.core.console import several
from export.core.errors import RequestError
from export.data.signatures import AGAIN, HEAD_BYTES, read_head, recognise

SAVE = "in the program that made it, save model.state_dict() with safetensors.torch.save_file"
PICKLE, ZIP = b"\x80", b"PK\x03\x04"
TORCH = (0x1950A86A20F9469CFC6C).to_bytes(10, "little")  # by which torch.save begins what is no zip archive
UNSAFE = re.compile(r"Unsupported (?:global: GLOBAL|class) (\S+)")

# What else people have in place of weights, by its first bytes.
NOT_WEIGHTS = tuple(
    (title, re.compile(pattern, re.DOTALL), hint)
    for title, pattern, hint in (
        ("a gzip-compressed file", rb"\x1f\x8b", "unpack it: gunzip, and pass the file in it"),
        ("a bzip2-compressed file", rb"BZh", "unpack it: bunzip2, and pass the file in it"),
        ("an xz-compressed file", rb"\xfd7zXZ", "unpack it: unxz, and pass the file in it"),
        ("an ONNX model", rb"\x08[\x01-\x20]\x12.{1,40}\x1a", SAVE),
        ("a TFLite model", rb"....TFL3", "save it from PyTorch instead"),
        ("an image", rb"\x89PNG|\xff\xd8\xff|GIF8", "pass the file of weights"),
        ("a pointer of DVC", rb"\s*(outs|md5|wdir|deps):", "fetch the file: dvc pull, and pass it without .dvc"),
        ("a pointer of git-annex", rb"\S{0,200}/annex/objects/", "fetch the file: git annex get"),
    )
)


class Inert(dict[Any, Any]):
    """What stands for an object of a configuration's or a trainer's class: its values, without its code."""

    def __init__(self, *values: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        self.update(state if isinstance(state, dict) else {})

    __hash__ = object.__hash__  # type: ignore[assignment]


def _plain_dict(*values: Any) -> dict[Any, Any]:
    return collections.OrderedDict()  # which torch allows to be filled, as it does not subclasses


def _plain_list(*values: Any) -> list[Any]:
    return []


# What trainers save beside tensors and may be made: plain values.
PLAIN: dict[str, Any] = {
    "argparse.Namespace": argparse.Namespace,
    "types.SimpleNamespace": argparse.Namespace,
    "collections.defaultdict": _plain_dict,
    "collections.deque": _plain_list,
    "uuid.UUID": uuid.UUID,
    "decimal.Decimal": decimal.Decimal,
    "builtins.Ellipsis": ...,
    "torch.torch_version.TorchVersion": str,
    "torchvision.transforms.functional.InterpolationMode": str,
    **{f"builtins.{kind.__name__}": kind for kind in (dict, list, tuple, frozenset, int, float, bool, str, slice)},
    **{
        f"datetime.{kind.__name__}": kind
        for kind in (datetime.datetime, datetime.date, datetime.time, datetime.timedelta, datetime.timezone)
    },
    **{
        f"{module}.{kind}": getattr(pathlib, f"Pure{kind.removeprefix('Pure')}")
        for module in ("pathlib", "pathlib._local")
        for kind in ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
    },
    **{
        f"{module}.multiarray.{name}": getattr(np._core.multiarray, name)  # type: ignore[attr-defined]
        for module in ("numpy.core", "numpy._core")
        for name in ("scalar", "_reconstruct")
    },
    "numpy.dtype": np.dtype,
    "numpy.ndarray": np.ndarray,
    **{f"numpy.dtypes.{name}": getattr(np.dtypes, name) for name in np.dtypes.__all__},
}
LIGHTNING = ("pytorch_lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric")
# Dicts of configuration libraries: read as plain ones.
DICTS = (
    "yacs.config.CfgNode",
    "fvcore.common.config.CfgNode",
    "detectron2.config.config.CfgNode",
    "easydict.EasyDict",
    "addict.addict.Dict",
    "munch.Munch",
    "mmengine.config.config.ConfigDict",
    *(f"{package}.utilities.{name}.AttributeDict" for package in LIGHTNING for name in ("parsing", "data")),
)
# Other classes whose objects are read as `Inert`: options, and what a trainer keeps of its own state.
INERT = (
    *(
        f"omegaconf.{name}"
        for name in (
            *("dictconfig.DictConfig", "listconfig.ListConfig", "base.ContainerMetadata", "base.Metadata"),
            *(
                f"nodes.{kind}Node"
                for kind in ("Any", "String", "Integer", "Float", "Boolean", "Bytes", "Path", "Enum")
            ),
        )
    ),
    "typing.Any",
    "ml_collections.config_dict.config_dict.ConfigDict",
    "mmengine.logging.history_buffer.HistoryBuffer",
    *(
        f"{package}.{name}"
        for package in LIGHTNING
        for name in (
            "callbacks.model_checkpoint.ModelCheckpoint",
            "callbacks.early_stopping.EarlyStopping",
            "callbacks.lr_monitor.LearningRateMonitor",
            "trainer.states.TrainerFn",
        )
    ),
    *("builtins.range", "fractions.Fraction"),  # which can take all memory to make, or to list
    "functools.partial",
    *(f"torch.nn.modules.{name}" for name in ("normalization.LayerNorm", "activation.GELU", "activation.ReLU")),
    *(f"numpy.random._pickle.{name}" for name in ("__generator_ctor", "__bit_generator_ctor", "__randomstate_ctor")),
    *(f"numpy.random.bit_generator.{name}" for name in ("SeedSequence", "__pyx_unpickle_SeedSequence")),
    *(f"numpy.random.{module}" for module in ("_pcg64.PCG64", "_mt19937.MT19937", "_philox.Philox")),
    "transformers.training_args.TrainingArguments",
    "transformers.trainer_utils.IntervalStrategy",
    "transformers.trainer_utils.SchedulerType",
)
READ: dict[str, Any] = PLAIN | dict.fromkeys(DICTS, collections.OrderedDict) | dict.fromkeys(INERT, Inert)


def read_content(path: Path) -> dict[str, Any]:
    """Return what a file of weights contains, by name; raises `RequestError` when it is no such file."""
    head = read_head(path)
    if not head:
        raise RequestError(f"{path} is empty (0 bytes)", hint=AGAIN)
    if _is_safetensors(head):
        content: Any = _read_safetensors(path)
    elif head.startswith((PICKLE, ZIP)):
        content = _read_pickle(path)
    else:
        raise _no_weights(path, head)
    if not isinstance(content, dict) or not content:
        raise RequestError(
            f"{path} contains a {type(content).__name__}, not a state_dict of tensors by name", hint=SAVE
        )
    return content


def _is_safetensors(head: bytes) -> bool:
    """Whether a file begins with the length of a header and the header's brace."""
    return len(head) > 8 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 30


def _read_safetensors(path: Path) -> dict[str, Any]:
    """Return the tensors, and under `__metadata__` the texts beside them."""
    try:
        with safe_open(path, "pt") as file:
            metadata = dict(file.metadata() or {})
        tensors: dict[str, Any] = dict(load_file(path))
    except (SafetensorError, ValueError, OSError) as error:
        raise RequestError(f"{path} is a safetensors file, but truncated or damaged: {error}", hint=AGAIN) from error
    return tensors | ({"__metadata__": metadata} if metadata else {})


def _read_pickle(path: Path) -> Any:
    safe: list[Any] = [(kind, name) for name, kind in READ.items()]
    try:
        with (
            torch.serialization.safe_globals(safe),
            path.open("rb") as stream,  # of a path, torch judges the suffix
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")  # how long sparse tensors take, for instance
            return torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises some eight kinds for what is not a checkpoint
        code = _code_in(path, error)
        if code:
            raise RequestError(
                f"{path} contains more than tensors, and reading it would execute code: {several(code, 20)}", hint=SAVE
            ) from error
        fault = _archive_fault(path)
        if fault is not None:
            raise fault from error
        head = read_head(path)
        if head.startswith(PICKLE) and TORCH not in head[:16]:
            raise RequestError(f"{path} is a pickle that torch.save did not write", hint=SAVE) from error
        first = str(error).strip().splitlines()[:1]
        raise RequestError(
            f"{path} is not a PyTorch checkpoint, or it is truncated: {type(error).__name__}: {''.join(first)}",
            hint=AGAIN,
        ) from error


def _code_in(path: Path, error: Exception) -> list[str]:
    """Return the names of what a checkpoint would call and may not."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
    except Exception:  # only whole zip archives can be searched; of others, the error names the first
        found = UNSAFE.findall(str(error))
    return sorted(set(found) - READ.keys())


def _archive_fault(path: Path) -> RequestError | None:
    """Return what is wrong with a zip archive that is no checkpoint, or None for any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, RuntimeError):  # the latter: a feature that Python lacks
        return None
    if any(name.endswith("/constants.pkl") for name in names):
        return RequestError(f"{path} is a TorchScript program, not a checkpoint", hint=SAVE)
    if any(name.endswith(".npy") for name in names):
        hint = "load it with timm.create_model(NAME, checkpoint_path=FILE), and save model.state_dict()"
        return RequestError(f"{path} is a NumPy archive, as JAX models have it", hint=hint)
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return None
    return RequestError(f"{path} is a zip archive of {several(names)}", hint="unpack it, and pass the file of weights")


def _no_weights(path: Path, head: bytes) -> RequestError:
    kind = recognise(head)
    if kind is not None:
        return RequestError(f"{path} is {kind.title}; weights are a safetensors file or a .pth", hint=kind.hint)
    if not any(head):
        return RequestError(f"{path} begins with zeros alone: it was not written to its end", hint=AGAIN)
    if tarfile.is_tarfile(path):
        return RequestError(f"{path} is a tar archive", hint="unpack it, and pass the file of weights in it")
    other = next(((title, hint) for title, pattern, hint in NOT_WEIGHTS if pattern.match(head)), None)
    if other is not None:
        return RequestError(f"{path} is {other[0]}, not weights", hint=other[1])
    if head.lstrip().startswith(b"{"):
        hint = "pass the .safetensors or .bin file beside it; of several, load all and save one state_dict"
        return RequestError(f"{path} is text (JSON), not weights", hint=hint)
    cut = " (it is very short)" if len(head) < min(16, HEAD_BYTES) else ""
    return RequestError(
        f"{path} is not a PyTorch checkpoint and not a safetensors file, or it is truncated{cut}", hint=AGAIN
    )
