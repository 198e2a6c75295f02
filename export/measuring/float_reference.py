"""The float model's outputs as reference, and how far others deviate from them on the very same images."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from export.core.console import say
from export.core.errors import MeasurementError
from export.core.figures.fidelity import capped_sqnr_db, cosines, decisions
from export.core.figures.stats import Figure, proportion, summarise
from export.core.records import ModelSpec
from export.data.datasets import has_test_images, open_dataset
from export.data.preprocess import preprocess, read_image
from export.data.synthetic import synthetic_images
from export.models.weights.float_artifact import read_model, run_model
from export.page.content.kept_accuracy import TOP1
from export.page.reports.measured.measurements import SQNR
from export.page.results_view import AGREEMENT, COSINE

Outputs = NDArray[np.float32]
SYNTHETIC = 50  # images at most
SMALL = 10_000_000  # parameters


@dataclass(frozen=True)
class FloatReference:
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
) -> FloatReference:
    """Run the model stored in `folder` in PyTorch, one image at a time, on up to `limit` images.

    Without `data`, those are the model's own test images; a model that has none gets at most 50 synthetic ones,
    unlabelled. `progress` is told how many images of how many are done. Raises what `open_dataset` does.
    """
    spec, module = read_model(folder)
    labels: list[int | None] = [None]
    if data is None and not has_test_images(spec):
        count = min(limit, SYNTHETIC)
        say(f"  {spec.name} has no test images: it is compared with PyTorch on {count} synthetic ones;")
        say("  to measure its accuracy, pass --data with labelled images")
        images = synthetic_images(spec, count)
    else:
        examples = list(open_dataset(data, spec, limit))
        images, labels = [example.data for example in examples], [example.label for example in examples]
    outputs = []
    with _fitting_threads(spec) as threads:
        for done, image in enumerate(images, start=1):
            outputs.append(run_model(module, preprocess(read_image(image), spec.preprocess)[None])[0])
            progress(done, len(images))
    classes = None if None in labels else np.array(labels, np.int64)
    return FloatReference(spec, images, classes, np.stack(outputs), threads)


@contextmanager
def _fitting_threads(spec: ModelSpec) -> Iterator[int]:
    """Give small models one thread: with one image at a time, several spend longer on synchronisation than on work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1 if spec.parameters < SMALL else before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def compare_outputs(reference: FloatReference, outputs: Outputs) -> list[tuple[str, str, Figure]]:
    """Return (metric, unit, figure) of `outputs [n, K]` against the float model's; raises `MeasurementError` on NaN."""
    broken = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
    if broken.size:
        raise MeasurementError(
            f"{broken.size} of {len(outputs)} images have NaN or infinite outputs, the first is image {broken[0]}"
        )
    figures = [(SQNR, "dB", Figure(capped_sqnr_db(reference.outputs, outputs), len(outputs), None, None))]
    if reference.spec.features:
        return [(COSINE, "1", summarise(cosines(reference.outputs, outputs).tolist())), *figures]
    same = int((decisions(outputs) == decisions(reference.outputs)).sum())
    figures.append((AGREEMENT, "share", proportion(same, len(outputs))))
    if reference.labels is not None:
        figures.append((TOP1, "share", top1(outputs, reference.labels)))
    return figures


def top1(outputs: Outputs, labels: NDArray[np.int64]) -> Figure:
    """Return the share of images whose largest output is their label's."""
    return proportion(int((outputs.argmax(axis=1) == labels).sum()), len(labels))
