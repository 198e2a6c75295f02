"""The reference images: eight tiny pictures with the float model's outputs, by which a page tests its back ends.

One safetensors file of at most 20,000 bytes: `images` U8 [8, s, s, 3], `logits` F16 [8, M], and, where the model has
more outputs than the file has room for, `outputs` I32 [M]: which of them are kept.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save
from torch import nn

from export.core.errors import VerificationError
from export.core.files import write_atomically
from export.core.records import ModelSpec, SelfTest
from export.data.fashion import LABELS, read_embedded
from export.data.preprocess import preprocess
from export.data.synthetic import pink_noise_image
from export.models.weights.float_artifact import run_model

MOST_BYTES = 20_000
COUNT, SIDE, SEED = 8, 12, 0
MOST_OUTPUTS, KEPT_OUTPUTS = 1000, 750  # all of so many, else so many with their indices
# Grey pictures are put into lights of different colours, so that exchanged channels show.
LIGHTS = ((1.0, 0.8, 0.6), (0.6, 1.0, 0.8), (0.8, 0.6, 1.0), (1.0, 0.6, 0.8))


@dataclass(frozen=True)
class Reference:
    """Images `uint8 [8, s, s, 3]`, and of the float model's outputs those at `outputs [M]`: `logits` [8, M]."""

    images: NDArray[np.uint8]
    logits: NDArray[np.float32]
    outputs: NDArray[np.int64]

    def inputs(self, spec: ModelSpec) -> NDArray[np.float32]:
        """Return the model's inputs `[8, 3, H, W]` for the images."""
        return np.stack([preprocess(image, spec.preprocess) for image in self.images])

    def compare(self, found: NDArray[np.float32]) -> SelfTest:
        """Return how outputs `[8, K]` compare with the float model's."""
        distance = np.abs(found[:, self.outputs].astype(np.float64) - self.logits)
        agrees = found.argmax(1) == self.outputs[self.logits.argmax(1)]
        return SelfTest(max_abs_diff=float(distance.max()), agrees=tuple(map(bool, agrees)))


def reference_images(spec: ModelSpec) -> NDArray[np.uint8]:
    """Return `uint8 [8, s, s, 3]`: one of each of eight classes of Fashion-MNIST for its model, else made from nothing.

    Made ones are of 12×12 pixels and have the colours and the spectrum of photographs.
    """
    if spec.weights == "embedded" and spec.labels == LABELS:
        stored = read_embedded("calibration")
        chosen = [int(np.argmax(stored.labels == label)) for label in range(COUNT)]
        lights = np.array([LIGHTS[index % len(LIGHTS)] for index in range(COUNT)])[:, None, None, :]
        lit: NDArray[np.uint8] = np.rint(stored.images[chosen][..., None] * lights).astype(np.uint8)
        return lit
    random = np.random.default_rng(SEED)
    return np.stack([pink_noise_image(SIDE, random) for _ in range(COUNT)])


def write_reference(spec: ModelSpec, module: nn.Module, path: Path) -> None:
    """Write the file of a float model; raises `VerificationError` for outputs that float16 cannot hold."""
    images = reference_images(spec)
    found = run_model(module, np.stack([preprocess(image, spec.preprocess) for image in images]))
    outputs = _kept(found)
    with np.errstate(over="ignore"):
        logits = found[:, outputs].astype(np.float16)
    if not np.isfinite(logits).all():
        raise VerificationError(
            f"{spec.name} has outputs up to {np.abs(found).max():.3g}, which overflow float16",
            hint="check the model's weights for NaN, infinite or very large values",
        )
    tensors: dict[str, NDArray[np.generic]] = {"images": images, "logits": logits}
    if len(outputs) < found.shape[1]:
        tensors["outputs"] = outputs.astype(np.int32)
    blob = save({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()})  # it takes no heed of strides
    assert len(blob) <= MOST_BYTES
    write_atomically(path, blob)


def _kept(logits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the indices of the outputs to keep: all, or each image's largest and evenly spread others."""
    total = logits.shape[1]
    if total <= MOST_OUTPUTS:
        return np.arange(total)
    largest = np.unique(logits.argmax(1))
    spread = np.linspace(0, total - 1, KEPT_OUTPUTS - len(largest)).astype(np.int64)
    return np.union1d(largest, spread)


def read_reference(path: Path) -> Reference:
    """Read the file back."""
    tensors = load_file(path)
    logits = tensors["logits"].astype(np.float32)
    outputs = tensors.get("outputs", np.arange(logits.shape[1])).astype(np.int64)
    return Reference(tensors["images"], logits, outputs)
