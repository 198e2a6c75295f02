"""Synthetic images: the golden inputs, and images for models that have none of their own here."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from export.core.records import ModelSpec
from export.data.embedded import embedded_for
from export.data.preprocess import normalise, preprocess

COUNT = 8
SEED, SYNTHETIC_SEED = 0, 1


def golden_inputs(spec: ModelSpec) -> NDArray[np.float32]:
    """Return `float32 [8, 3, size, size]`: real images for the embedded model, `pink_noise_image` for others."""
    own = embedded_for(spec.labels) if spec.weights == "embedded" else None
    if own is not None:
        return np.stack([preprocess(image, spec.preprocess) for image in own.calibration().images[:COUNT]])
    random = np.random.default_rng(SEED)
    return np.stack([normalise(pink_noise_image(spec.preprocess.size, random), spec.preprocess) for _ in range(COUNT)])


def pink_noise_image(size: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """Return `uint8 [size, size, 3]`, `size` even: noise with the 1/f amplitude spectrum of photographs.

    (Field 1987, "Relations between the statistics of natural images".) Channels are correlated, as in photographs.
    """
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = np.inf
    phases = np.exp(2j * np.pi * random.random((3, size, size // 2 + 1)))
    channels = np.fft.irfft2(phases / frequency, s=(size, size))
    channels /= channels.std(axis=(1, 2), keepdims=True)
    mixed = 0.85 * channels[:1] + 0.5 * channels  # colours of photographs vary together
    intensities = 127.5 + 50 * mixed + random.uniform(-30, 30, (3, 1, 1))
    pixels: NDArray[np.uint8] = np.clip(np.rint(intensities), 0, 255).astype(np.uint8)
    return pixels.transpose(1, 2, 0)


def synthetic_images(spec: ModelSpec, count: int) -> list[bytes]:
    """Return square `pink_noise_image`s as PNG files, larger than the model's input so that they are resized."""
    random = np.random.default_rng(SYNTHETIC_SEED)
    files = []
    for _ in range(count):
        stream = io.BytesIO()
        Image.fromarray(pink_noise_image(2 * spec.preprocess.size, random)).save(stream, "PNG")
        files.append(stream.getvalue())
    return files
