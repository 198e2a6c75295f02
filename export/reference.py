"""The float model's outputs as reference, and how far others lie from them on the very same images."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from export.console import say
from export.data.datasets import open_dataset
from export.data.fashion import LABELS
from export.data.golden import photograph_like
from export.data.preprocess import preprocess, read_image
from export.errors import MeasurementError
from export.measurements import SQNR
from export.models.artifact import read_model, run_model
from export.results import AGREEMENT, COSINE, TOP1
from export.spec import ModelSpec
from export.statistics import Figure, proportion, summarise

Outputs = NDArray[np.float32]
SYNTHETIC, SEED = 50, 1
SMALL = 10_000_000  # parameters
EQUAL_DB = 200.0  # stands for "equal bit for bit"; float32 itself resolves about 150 dB


@dataclass(frozen=True)
class Reference:
    """The float model's outputs `[n, K]` on n encoded images; `labels` are class indices, or None without any.

    `threads` is how many PyTorch used.
    """

    spec: ModelSpec
    images: Sequence[bytes]
    labels: NDArray[np.int64] | None
    outputs: Outputs
    threads: int


def float_reference(
    folder: Path, data: Path | None, limit: int, progress: Callable[[int, int], None] = lambda done, total: None
) -> Reference:
    """Run the model stored in `folder` in PyTorch, one image at a time, on up to `limit` images.

    Without `data`, those are the model's own test images; a model that has none gets at most 50 synthetic ones,
    unlabelled. `progress` is told how many images of how many are done. Raises what `open_dataset` does.
    """
    spec, module = read_model(folder)
    labels: list[int | None] = [None]
    if data is None and spec.labels != LABELS:
        count = min(limit, SYNTHETIC)
        say(f"  {spec.name} has no test images here: it is compared with PyTorch on {count} synthetic ones,")
        say("  which says nothing of its accuracy; for that pass --data with labelled images")
        images = synthetic_images(spec, count)
    else:
        examples = list(open_dataset(data, spec, limit))
        images, labels = [example.data for example in examples], [example.label for example in examples]
    outputs = []
    with _fitting_threads(spec) as threads:
        for done, image in enumerate(images, start=1):
            outputs.append(run_model(module, preprocess(read_image(image), spec.preprocess)[None])[0])
            progress(done, len(images))
    known = None if None in labels else np.array(labels, np.int64)
    return Reference(spec, images, known, np.stack(outputs), threads)


@contextmanager
def _fitting_threads(spec: ModelSpec) -> Iterator[int]:
    """Give small models one thread: one image at a time, several wait for each other longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if spec.parameters < SMALL else before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def synthetic_images(spec: ModelSpec, count: int) -> list[bytes]:
    """Return natural-looking square images as PNG files, larger than the model's input so that they are resized."""
    random = np.random.default_rng(SEED)
    files = []
    for _ in range(count):
        stream = io.BytesIO()
        Image.fromarray(photograph_like(2 * spec.preprocess.size, random)).save(stream, "PNG")
        files.append(stream.getvalue())
    return files


def compare_outputs(reference: Reference, outputs: Outputs) -> list[tuple[str, str, Figure]]:
    """Return (metric, unit, figure) of `outputs [n, K]` against the float model's; raises `MeasurementError` on NaN."""
    broken = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if broken.size:
        raise MeasurementError(
            f"{broken.size} of {len(outputs)} outputs are not numbers, the first for image {broken[0]}"
        )
    found = [(SQNR, "dB", Figure(sqnr_db(reference.outputs, outputs), len(outputs), None, None))]
    if reference.spec.features:
        return [(COSINE, "1", summarise(cosines(reference.outputs, outputs).tolist())), *found]
    same = int((outputs.argmax(axis=1) == reference.outputs.argmax(axis=1)).sum())
    found.append((AGREEMENT, "share", proportion(same, len(outputs))))
    if reference.labels is not None:
        found.append((TOP1, "share", top1(outputs, reference.labels)))
    return found


def top1(outputs: Outputs, labels: NDArray[np.int64]) -> Figure:
    """Return the share of images whose largest output is their label's."""
    return proportion(int((outputs.argmax(axis=1) == labels).sum()), len(labels))


def sqnr_db(reference: Outputs, outputs: Outputs) -> float:
    """Return 10·log10(Σ reference² / Σ (reference − outputs)²), at most `EQUAL_DB`."""
    expected, found = reference.astype(np.float64), outputs.astype(np.float64)
    noise = float(((expected - found) ** 2).sum())
    signal = float((expected**2).sum())
    return EQUAL_DB if noise == 0 else min(EQUAL_DB, 10 * float(np.log10(signal / noise)))


def cosines(reference: Outputs, outputs: Outputs) -> NDArray[np.float64]:
    """Return the cosine of the angle between each pair of rows of two `[n, K]` arrays."""
    expected, found = reference.astype(np.float64), outputs.astype(np.float64)
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    return np.asarray((expected * found).sum(axis=1) / lengths, np.float64)
