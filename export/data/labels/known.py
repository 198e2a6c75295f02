"""Names of classes that need no file: ImageNet's own, and numbers."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import cache
from typing import Any


@cache
def imagenet_labels(outputs: int) -> tuple[str, ...] | None:
    """Return ImageNet's class names for a head of that size, or None when no ImageNet set has it.

    The first synonym stands for a class; where two classes share it, all synonyms, and if need be the definition.
    """
    info = _imagenet(outputs)
    if info is None:
        return None
    synonyms: list[str] = info.label_descriptions()
    detailed: list[str] = info.label_descriptions(detailed=True)
    short = [names.split(",")[0].strip() for names in synonyms]
    return _first_unique(short, synonyms, detailed)


def imagenet_synsets(outputs: int) -> tuple[str, ...] | None:
    """Return the WordNet ids (`n01440764`) of the outputs of an ImageNet head of that size, or None."""
    info = _imagenet(outputs)
    return None if info is None else tuple(info.label_names())


def imagenet_names(synsets: Sequence[str]) -> tuple[str, ...] | None:
    """Return the names of classes of ImageNet-1k given by their WordNet ids, or None where one is no such id."""
    labels = dict(zip(imagenet_synsets(1000) or (), imagenet_labels(1000) or (), strict=True))
    return tuple(labels[synset] for synset in synsets) if all(synset in labels for synset in synsets) else None


def synset_indices(labels: Sequence[str]) -> dict[str, int]:
    """Return the WordNet ids of labels that are names of some of ImageNet-1k's classes, with the labels' positions.

    Empty unless every label is the name, or one of the synonyms, of exactly one class that no other label names.
    """
    info = _imagenet(1000)
    named: dict[str, set[str]] = defaultdict(set)
    for synset, synonyms in zip(info.label_names(), info.label_descriptions(), strict=True):
        for name in synonyms.split(","):
            named[name.strip().casefold()].add(synset)
    for synset, name in zip(info.label_names(), imagenet_labels(1000) or (), strict=True):
        named[name.casefold()] = {synset}
    found = [named.get(label.casefold(), set()) for label in labels]
    indices = {next(iter(synsets)): index for index, synsets in enumerate(found) if len(synsets) == 1}
    return indices if len(indices) == len(labels) else {}


@cache
def _imagenet(outputs: int) -> Any:
    from timm.data import ImageNetInfo, infer_imagenet_subset

    subset = infer_imagenet_subset({"num_classes": outputs})
    return ImageNetInfo(subset) if subset else None


def _first_unique(*forms: list[str]) -> tuple[str, ...]:
    """Return for every class the shortest of its forms that no other class has."""
    counts = [Counter(label.casefold() for label in form) for form in forms]
    return tuple(
        next((label for label, count in zip(names, counts, strict=True) if count[label.casefold()] == 1), names[-1])
        for names in zip(*forms, strict=True)
    )


def numbered_labels(outputs: int) -> tuple[str, ...]:
    """Return class 0, class 1, …: for a head whose classes are not known."""
    return tuple(f"class {index}" for index in range(outputs))
