"""The model card: what was trained on what and how, and how well it does; all that the report shows is in it."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from export.core.figures.stats import proportion
from export.core.schema import Count, Number, PositiveInt, Record

MOST = 50  # confusions that the card lists


class Accuracy(Record, frozen=True, kw_only=True):
    """A share in `percent` of `n` pictures with its 95 % interval `low` to `high`."""

    percent: Number
    n: Count
    low: Number
    high: Number


class EpochResult(Record, frozen=True, kw_only=True):
    """What the curves show of an epoch (counted from 1): mean loss, and the averaged weights on the validation."""

    epoch: PositiveInt
    loss: Number
    top1_percent: Number
    top5_percent: Number
    seconds: Number


class ClassResult(Record, frozen=True, kw_only=True):
    """How many of the `n` held-out pictures of a class are `correct`."""

    label: str
    n: Count
    correct: Count


class Confusion(Record, frozen=True, kw_only=True):
    """How many held-out pictures of the class `label` are taken for another, `predicted`."""

    label: str
    predicted: str
    count: Count


class Card(Record, frozen=True, kw_only=True):
    """A trained model; `classes` are the names of the folders, `labels` those on the page.

    `arguments` are those of `timm.create_model`. Cards of earlier versions lack what has a default here.
    """

    architecture: str
    arguments: dict[str, Any]
    preprocess: dict[str, Any]
    data: str
    licence: str
    command: str
    options: dict[str, Any]
    training_pictures: Count
    classes: tuple[str, ...]
    top1: Accuracy
    top5: Accuracy
    curve: tuple[EpochResult, ...]
    dtype: str
    environment: dict[str, Any]
    first_weights: str = "not stated"
    teacher: str = "not stated"
    held_out: str = "not stated"
    labels: tuple[str, ...] = ()
    per_class: tuple[ClassResult, ...] = ()
    confusions: tuple[Confusion, ...] = ()


def accuracy(logits: Tensor, targets: NDArray[np.int64], k: int) -> Accuracy:
    """Return top-k accuracy of logits `[n, K]`."""
    ranked = logits.topk(min(k, logits.shape[1]), 1).indices == torch.from_numpy(targets)[:, None]
    figure = proportion(int(ranked.any(1).sum()), len(targets))
    low, high = figure.low or 0.0, figure.high or 0.0
    return Accuracy(percent=100 * figure.value, n=figure.n, low=100 * low, high=100 * high)


def class_results(logits: Tensor, targets: NDArray[np.int64], labels: tuple[str, ...]) -> tuple[ClassResult, ...]:
    """Return the results of every class, in the order of the model's outputs."""
    counts = _counts(logits, targets, len(labels))
    return tuple(
        ClassResult(label=label, n=int(counts[index].sum()), correct=int(counts[index, index]))
        for index, label in enumerate(labels)
    )


def most_confused(logits: Tensor, targets: NDArray[np.int64], labels: tuple[str, ...]) -> tuple[Confusion, ...]:
    """Return the most frequent confusions, the first most often."""
    counts = _counts(logits, targets, len(labels))
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:MOST]
    pairs = [divmod(int(flat), len(labels)) for flat in order]
    return tuple(
        Confusion(label=labels[true], predicted=labels[guess], count=int(counts[true, guess]))
        for true, guess in pairs
        if counts[true, guess]
    )


def _counts(logits: Tensor, targets: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return the confusion matrix `[true, predicted]`."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (targets, logits.argmax(1).numpy()), 1)
    return counts
