"""Fashion-MNIST: the full files for training, the compact embedded ones for calibration and evaluation."""

import gzip
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.core.errors import ExportError, RequestError
from export.core.paths import ASSETS
from export.core.records import Preprocess

DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
LABELS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
MEAN, STD = 0.2860, 0.3530  # of the 60,000 training images, in every channel
PREPROCESS = Preprocess(
    size=28, crop_pct=1.0, crop_mode="center", interpolation="bicubic", mean=(MEAN,) * 3, std=(STD,) * 3
)
CALIBRATION_SEED = 0


@dataclass(frozen=True)
class LabelledImages:
    """The `images` `uint8 [n, 28, 28]` with the class indices `labels` `uint8 [n]`."""

    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.labels)

    def rgb(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return images start..stop as `uint8 [n, 28, 28, 3]`, the grey value in every channel."""
        return np.repeat(self.images[start:stop, :, :, None], 3, axis=3)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes (`.gz` or plain); raises `RequestError` when it is not one."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise RequestError(
            f"{path} is not an IDX file of unsigned bytes",
            hint="pass the folder with the four files of Fashion-MNIST, or leave out --data",
        )
    dims = raw[3]
    shape = struct.unpack(f">{dims}I", raw[4 : 4 + 4 * dims])
    values = np.frombuffer(raw, np.uint8, offset=4 + 4 * dims)
    if values.size != int(np.prod(shape)):
        raise RequestError(
            f"{path} is truncated: its header declares {shape}, but it has {values.size} bytes",
            hint="copy or download it again",
        )
    return values.reshape(shape)


def read_full(split: str, folder: Path | None, cache: Path) -> LabelledImages:
    """Read all of `train` or `t10k`: from `folder`, else Debian's package, else torchvision's download.

    Raises `RequestError` when `folder` lacks the files and `ExportError` when the download fails.
    """
    source = folder or DEBIAN_FOLDER
    if not source.is_dir():
        if folder is not None:
            raise RequestError(
                f"--data {folder} is not a folder",
                hint="pass the folder with the four files of Fashion-MNIST, or leave out --data",
            )
        source = _download(cache)
    arrays = []
    for kind in ("images-idx3", "labels-idx1"):
        candidates = [source / f"{split}-{kind}-ubyte{suffix}" for suffix in (".gz", "")]
        found = next((path for path in candidates if path.is_file()), None)
        if found is None:
            raise RequestError(
                f"{source} contains neither {candidates[0].name} nor {candidates[1].name}",
                hint="on Debian: apt-get install dataset-fashion-mnist",
            )
        arrays.append(read_idx(found))
    return LabelledImages(arrays[0], arrays[1])


def _download(cache: Path) -> Path:
    from torchvision.datasets import FashionMNIST

    try:
        FashionMNIST(str(cache), download=True)
    except Exception as error:
        raise ExportError(
            f"Fashion-MNIST is not on this machine and could not be downloaded: {error}",
            hint="on Debian: apt-get install dataset-fashion-mnist; elsewhere --data FOLDER with the four .gz files",
        ) from error
    return cache / "FashionMNIST" / "raw"


def read_embedded(split: str) -> LabelledImages:
    """Read the committed `test` (10,000) or `calibration` (512) images."""
    with np.load(ASSETS / f"fashion_{split}.npz") as arrays:
        return LabelledImages(arrays["images"], arrays["labels"])


def write_embedded(train: LabelledImages, test: LabelledImages, folder: Path) -> None:
    """Write the compact test and calibration sets; calibration draws 512 training images, seed 0."""
    chosen = np.sort(np.random.default_rng(CALIBRATION_SEED).choice(len(train), 512, replace=False))
    calibration = LabelledImages(train.images[chosen], train.labels[chosen])
    for split, data in (("test", test), ("calibration", calibration)):
        path = folder / f"fashion_{split}.npz"
        # LZMA inside an ordinary .npz: np.load reads it, and it is smaller than deflate.
        with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
            for name, array in (("images", data.images), ("labels", data.labels)):
                info = zipfile.ZipInfo(f"{name}.npy")  # a fixed date keeps the bytes reproducible
                info.compress_type = zipfile.ZIP_LZMA
                with archive.open(info, "w") as stream:
                    np.lib.format.write_array(stream, array, allow_pickle=False)  # type: ignore[no-untyped-call]
