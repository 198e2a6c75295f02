"""Temperature and threshold of a model from its logits: when a prediction can be believed, and when it means nothing.

Temperature scaling: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017, arXiv 1706.04599. The energy
score: Liu et al., "Energy-based Out-of-distribution Detection", NeurIPS 2020, arXiv 2010.03759.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from export.core.errors import RequestError
from export.core.figures.stats import proportion
from export.core.records import Confidence, Estimate
from export.data.datasets import SEED, draw
from export.quantization.evaluation.records import to_estimate

FALSE_ALARMS = 0.05  # the share of images of the classes that may be called unknown
ENERGY_TEMPERATURES = 2.0  # of the energy score, relative to that of softmax; docs/publishing.md tells why
BINS, RESAMPLES = 15, 500
COLDEST, HOTTEST = 1e-3, 1e3  # temperatures between which the fit looks

Logits = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Fit:
    """A confidence, and what it is worth on the held-out images."""

    confidence: Confidence
    fitted_on: int
    held_out: NDArray[np.bool_]
    top1: Estimate
    uncalibrated_ece: Estimate
    ece: Estimate


def fit_confidence(logits: Logits, labels: Labels, data: str) -> Fit:
    """Fit temperature and threshold on half of the images, drawn evenly from the classes; measure on the others.

    Raises `RequestError` when there are too few images, or none is classified wrongly.
    """
    if len(labels) < 4 * BINS:
        raise RequestError(
            f"{data}: {len(labels)} images are too few to fit a confidence",
            hint=f"give at least {4 * BINS}; thousands are better",
        )
    held_out = np.ones(len(labels), bool)
    held_out[draw(labels.tolist(), len(labels) // 2, SEED)] = False
    fitted, measured = logits[~held_out], logits[held_out]
    temperature = fit_temperature(fitted, labels[~held_out], data)
    energy_temperature = ENERGY_TEMPERATURES * temperature
    threshold = float(np.quantile(energies(fitted, energy_temperature), FALSE_ALARMS))
    confidence = Confidence(
        temperature=temperature,
        energy_temperature=energy_temperature,
        threshold=threshold,
        false_alarms=share_below(threshold, energies(measured, energy_temperature)),
        data=data,
    )
    right = measured.argmax(1) == labels[held_out]
    return Fit(
        confidence=confidence,
        fitted_on=len(fitted),
        held_out=held_out,
        top1=to_estimate(proportion(int(right.sum()), len(right))),
        uncalibrated_ece=calibration_error(largest_probabilities(measured, 1.0), right),
        ece=calibration_error(largest_probabilities(measured, temperature), right),
    )


def fit_temperature(logits: Logits, labels: Labels, data: str) -> float:
    """Return the temperature with the least negative log-likelihood, by bisection.

    In 1/T that likelihood is convex: its slope, the mean of the expected logit less the true class's, only rises.
    """

    def slope(inverse: float) -> float:
        expected = (softmax(logits * inverse) * logits).sum(1)
        return float(np.mean(expected - logits[np.arange(len(labels)), labels]))

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slope(low) >= 0 or slope(high) <= 0:
        found = "no better than chance" if slope(low) >= 0 else "all classified as labelled"
        raise RequestError(
            f"{data}: no temperature fits these {len(labels)} images, which are {found}",
            hint="give images that the model was not trained on, with their own labels",
        )
    while high / low > 1 + 1e-9:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / math.sqrt(low * high)


def softmax(logits: Logits) -> Logits:
    """Return the probabilities `[n, K]`."""
    powers = np.exp(logits - logits.max(1, keepdims=True))
    shares: Logits = powers / powers.sum(1, keepdims=True)
    return shares


def largest_probabilities(logits: Logits, temperature: float) -> Logits:
    """Return the probability `[n]` of each image's first class."""
    largest: Logits = softmax(logits / temperature).max(1)
    return largest


def energies(logits: Logits, temperature: float) -> Logits:
    """Return the energy scores `[n]`, T·log Σ exp(logit / T): high for images like those of the classes."""
    scores: Logits = temperature * np.logaddexp.reduce(logits / temperature, axis=1)
    return scores


def share_below(threshold: float, scores: Logits) -> Estimate:
    """Return the share of images that a threshold calls unknown."""
    return to_estimate(proportion(int((scores < threshold).sum()), len(scores)))


def calibration_error(probabilities: Logits, right: NDArray[np.bool_]) -> Estimate:
    """Return the expected calibration error of the first class in 15 bins, with its 95 % bootstrap interval."""
    random = np.random.default_rng(SEED)
    draws = (random.integers(0, len(right), len(right)) for _ in range(RESAMPLES))
    low, high = np.quantile(
        [_calibration_error(probabilities[chosen], right[chosen]) for chosen in draws], (0.025, 0.975)
    )
    value = _calibration_error(probabilities, right)
    return Estimate(value=value, n=len(right), low=min(value, float(low)), high=max(value, float(high)))


def _calibration_error(probabilities: Logits, right: NDArray[np.bool_]) -> float:
    bins = np.minimum(np.ceil(probabilities * BINS).astype(int), BINS)  # of (0, 1/15], (1/15, 2/15], …
    gaps = np.bincount(bins, weights=right - probabilities, minlength=BINS + 1)
    return float(np.abs(gaps).sum() / len(right))
