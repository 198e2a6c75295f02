"""CIFAR-10 as its authors publish it, in pickles of arrays, into class folders of PNG files in a zip."""

import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.core.console import LongProgress
from export.core.errors import ExportError
from export.core.files import replacing_file

SIDE = 32
BATCHES = ("data_batch", "test_batch", "batches.meta")
# What pickles of NumPy arrays name; nothing else is run.
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _Unpickler(pickle.Unpickler):
    """Reads arrays, lists and texts, and refuses every other class."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return ALLOWED[module_name.replace("numpy._core", "numpy.core"), global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module_name}.{global_name}") from None


def convert(archive: Path, target: Path) -> None:
    """Write `train/CLASS/….png` and `test/CLASS/….png` into a zip; raises `ExportError` for another archive."""
    try:
        batches = _read(archive)
        classes = [name.decode() for name in batches.pop("batches.meta")[b"label_names"]]
        with replacing_file(target) as partial, zipfile.ZipFile(partial, "w") as packed:
            total = sum(len(batch[b"labels"]) for batch in batches.values())
            with LongProgress("converting", total, "picture") as progress:
                for name, batch in sorted(batches.items()):
                    _write(packed, name, batch, classes, progress)
    except (tarfile.TarError, pickle.UnpicklingError, KeyError, EOFError, ValueError) as error:
        raise ExportError(f"{archive} is not CIFAR-10 as its authors publish it: {error!r}") from error


def _read(archive: Path) -> dict[str, dict[bytes, Any]]:
    found = {}
    with tarfile.open(archive) as packed:
        for member in packed:
            name = member.name.rpartition("/")[2]
            stream = packed.extractfile(member) if name.startswith(BATCHES) else None
            if stream is not None:
                found[name] = _Unpickler(stream, encoding="bytes").load()
    return found


def _write(
    packed: zipfile.ZipFile, name: str, batch: dict[bytes, Any], classes: list[str], progress: LongProgress
) -> None:
    folder = "test" if name == "test_batch" else "train"
    pixels: NDArray[np.uint8] = batch[b"data"].reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1)
    for number, (picture, label) in enumerate(zip(pixels, batch[b"labels"], strict=True)):
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "PNG", compress_level=1)
        info = zipfile.ZipInfo(f"{folder}/{classes[label]}/{name}_{number:05}.png")  # of a fixed date
        packed.writestr(info, stream.getvalue())
        progress.step()
