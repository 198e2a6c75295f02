"""The names of a model's outputs: from a file, from ImageNet's own list, or by number."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from export.core.errors import RequestError

FORMS = 'one label per line, or JSON: a list, or {"0": "label", …}'


def read_labels(path: Path, outputs: int, tell: Callable[[str], None]) -> tuple[str, ...]:
    """Read a label file in UTF-8, text or JSON; the n-th label names output n, counted from 0.

    `tell` is called with a note on labels that occur twice. Raises `RequestError` when the file cannot be read, a label
    is empty, or there are not as many as the model has `outputs`.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(
            f"--labels {path} is not UTF-8 text: invalid byte at position {error.start}", hint=FORMS
        ) from error
    values = _parse(path, text)
    labels = tuple(" ".join(str(value).split()) for value in values)
    for position, (value, label) in enumerate(zip(values, labels, strict=True)):
        if not isinstance(value, str) or not label:
            what = "is empty" if value == "" or not label else f"is {value!r}, not text"
            raise RequestError(f"--labels {path}: label {position} {what}", hint=FORMS)
    if len(labels) != outputs:
        raise RequestError(
            f"--labels {path} has {len(labels)} labels, but the model has {outputs} outputs",
            hint=f"each output needs one; {FORMS}",
        )
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice:
        tell(f"note: {path.name} repeats labels: {', '.join(twice[:5])}{' …' if len(twice) > 5 else ''}")
    return labels


def _parse(path: Path, text: str) -> list[Any]:
    if path.suffix.lower() == ".json" or text.lstrip()[:1] in ("[", "{"):
        try:
            return [_name(value) for value in _from_json(path, json.loads(text))]
        except ValueError as error:
            if path.suffix.lower() == ".json":
                raise RequestError(f"--labels {path} is not JSON: {error}", hint=FORMS) from error
    return [line.strip() for line in text.rstrip().splitlines()]


def _from_json(path: Path, content: Any) -> list[Any]:
    if isinstance(content, dict) and isinstance(content.get("id2label"), dict):  # a Hugging Face config.json
        content = content["id2label"]
    if isinstance(content, dict) and content and all(type(value) is int for value in content.values()):
        content = {str(index): label for label, index in content.items()}  # torchvision's class_to_idx
    if isinstance(content, list):
        return content
    if not isinstance(content, dict):
        raise RequestError(f"--labels {path} contains a JSON {type(content).__name__}", hint=FORMS)
    missing = [str(index) for index in range(len(content)) if str(index) not in content]
    if missing:
        raise RequestError(
            f"--labels {path}: {len(content)} entries need the ids 0 to {len(content) - 1}; "
            f"missing: {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}",
            hint=FORMS,
        )
    return [content[str(index)] for index in range(len(content))]


def _name(value: Any) -> Any:
    """Return the name of a pair (WordNet id, name), as torchvision's ImageNet index has them."""
    return value[-1] if isinstance(value, list) and value else value


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
