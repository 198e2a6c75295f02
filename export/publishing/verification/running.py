"""Whether a variant computes what the manifest says: it is run on the page's own reference images.

A variant of few bits lies off the float model; the build has measured how far. As in the page, it passes within twice
that and 2 % of the outputs' range, with the same largest output on half of the images on which the build had it.
"""

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from export.core.errors import ArtifactError, VerificationError
from export.core.figures.units import format_difference
from export.core.records import SelfTest
from export.data.preprocess import preprocess
from export.page.content.manifest import SiteModel, SiteVariant
from export.pipeline.formats import FORMATS
from export.pipeline.reference_images import Reference, read_reference
from export.pipeline.stage import Tools

if TYPE_CHECKING:
    from export.conversion.converter_process import ConverterProcess
    from export.pipeline.stage import RunnerModule

OWN_ERROR_FACTOR, RANGE_TOLERANCE, AGREEMENT_FACTOR = 2, 0.02, 0.5
# What running a format takes beside the base: modules, and programs.
MODULES = {"vit": ("wasmtime",), "tfjs": (), "tflite": ("ai_edge_litert", "tensorflow"), "qdq": ("onnxruntime",)}
PROGRAMS = {"tfjs": ("node",)}


@contextmanager
def converter(log: Path) -> Iterator[Tools]:
    """Yield a function that returns the converter process, started when it is first called."""
    with ExitStack() as stack:
        started: list[ConverterProcess] = []

        def get() -> "ConverterProcess":
            from export.conversion.converter_process import ConverterProcess

            if not started:
                started.append(stack.enter_context(ConverterProcess(log)))
            return started[0]

        yield get


def lacking(format: str) -> str:
    """Return what is not installed that running a format takes, or nothing."""
    family = format.removesuffix("_stock")
    if family not in MODULES:
        return f"a version that knows {format}"
    missing = [name for name in MODULES[family] if find_spec(name) is None]
    return ", ".join([*missing, *(name for name in PROGRAMS.get(family, ()) if shutil.which(name) is None)])


def reference_of(folder: Path, model: SiteModel) -> Reference:
    """Read the page's reference images; raises `ArtifactError` for a file that is none of this model's."""
    try:
        reference = read_reference(folder / model.selftest.path)
    except Exception as error:  # as readers of files do
        raise ArtifactError(f"its reference images cannot be read: {error}") from error
    fits = reference.images.ndim == 4 and reference.logits.shape == (len(reference.images), len(reference.outputs))
    if not fits or not np.isfinite(reference.logits).all() or reference.outputs.max() >= model.outputs:
        raise ArtifactError("its reference images are not those of a model with these outputs")
    return reference


def inputs_of(reference: Reference, model: SiteModel) -> NDArray[np.float32]:
    """Return the reference images as the model takes them, `[8, 3, H, W]`."""
    return np.stack([preprocess(image, model.preprocess) for image in reference.images])


def run_variant(
    folder: Path, variant: SiteVariant, inputs: NDArray[np.float32], tools: Tools, log: Path
) -> NDArray[np.float32]:
    """Run a variant's files in its format's runtime: `[n, 3, H, W]` → `[n, K]`."""
    runner = cast("RunnerModule", import_module(FORMATS[variant.format].runner))
    return runner.run(folder, inputs, tools, log)


def judge(reference: Reference, outputs: NDArray[np.float32], expected: SelfTest) -> str:
    """Return how a variant's outputs compare with the reference; raises `VerificationError` for those too far off."""
    if not np.isfinite(outputs).all():
        raise VerificationError("its outputs are not finite")
    found = reference.compare(outputs)
    extent = float(reference.logits.max() - reference.logits.min())
    allowed = OWN_ERROR_FACTOR * expected.max_abs_diff + RANGE_TOLERANCE * extent
    text = (
        f"max abs difference {format_difference(found.max_abs_diff)} (in the build "
        f"{format_difference(expected.max_abs_diff)}, allowed {format_difference(allowed)}); same top-1 on "
        f"{sum(found.agrees)} of {len(found.agrees)} reference images"
    )
    if found.max_abs_diff > allowed or sum(found.agrees) < AGREEMENT_FACTOR * sum(expected.agrees):
        raise VerificationError(text)
    return text
