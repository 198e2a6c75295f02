"""Which class an image belongs to, by the folder it lies in."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from export.core.console import several
from export.core.errors import RequestError
from export.core.records import ModelSpec
from export.data.labels.known import imagenet_labels, imagenet_synsets, numbered_labels, synset_indices
from export.data.labels.matching import Matches, match_names, nearest

Tell = Callable[[str], None]
Parts = tuple[str, ...]  # the folders above an image, the outermost first

SHOWN = 5
SYNSET = re.compile(r"(n\d{8})(?![a-zA-Z\d])")
SETS = {"train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval", "query", "gallery"}


def match_folders(data: Path, names: Sequence[str], spec: ModelSpec, tell: Tell) -> list[int | None]:
    """Return for every image the index of its class: of a folder that holds it, or None where there are no classes.

    The outermost folders that are classes count: named as a label (`match_names`), by the WordNet id where the labels
    are ImageNet's, or by number. Images without folders or in a single one that is no class stay unlabelled, which
    `tell` is told. For a model without a head the folders themselves are the classes. Raises `RequestError` when some
    folder is no class, when images lie both in folders and beside them, and when several sets lie side by side.
    """
    parents = [PurePosixPath(name).parent.parts for name in names]
    if spec.features:
        return _own_indices(data, names, tell)
    if spec.outputs == 1 and any(parents):
        unlabelled = f"the {len(names)} images are used as unlabelled"
        tell(f"note: {spec.name} has one output, so folders are no classes; {unlabelled}")
        return [None] * len(names)
    if not any(parents):
        tell(f"note: {data.name} has no class folders; its {len(names)} images are used as unlabelled")
        return [None] * len(names)
    level, matches = _find_level(parents, spec, tell)
    folders = _at(parents, level)
    unknown = [folder for folder in folders if folder not in matches.indices]
    if len(folders) == 1 and unknown and all(len(parts) > level for parts in parents):
        tell(f"note: {folders[0]} is not a class of {spec.name}; its {len(names)} images are used as unlabelled")
        return [None] * len(names)
    _check_places(data, parents, level, spec.labels)
    if unknown:
        raise _unknown_folders(data, unknown, folders, matches, spec)
    _tell_matches(matches, spec, tell)
    return [matches.indices[parts[level]] for parts in parents]


def _at(parents: Sequence[Parts], level: int) -> list[str]:
    return sorted({parts[level] for parts in parents if len(parts) > level})


def _find_level(parents: Sequence[Parts], spec: ModelSpec, tell: Tell) -> tuple[int, Matches]:
    """Return the level of the class folders with what they mean: the first that matches as a whole.

    Where none does, that with the most matches, and without any the first that has several folders.
    """
    levels = range(max(map(len, parents)))
    for match in (_match_labels, _match_numbers):
        matched = {level: match(_at(parents, level), spec) for level in levels}
        whole = [level for level in levels if len(matched[level].indices) == len(_at(parents, level))]
        if whole:
            level = next((one for one in whole if len(_at(parents, one)) > 1), whole[0])
            if len(whole) > 1:
                tell(f"note: folders such as {_at(parents, level)[0]} are taken as classes, not those above or below")
            return level, matched[level]
    by_label = {level: _match_labels(_at(parents, level), spec) for level in levels}
    most = max(levels, key=lambda level: len(by_label[level].indices))
    if not by_label[most].indices:
        most = next((level for level in levels if len(_at(parents, level)) > 1), levels[-1])
    return most, by_label[most]


def _match_labels(folders: Sequence[str], spec: ModelSpec) -> Matches:
    synsets = {folder: found[1] for folder in folders if (found := SYNSET.match(folder))}
    if len(synsets) == len(folders) and spec.labels == imagenet_labels(spec.outputs):
        indices = {synset: index for index, synset in enumerate(imagenet_synsets(spec.outputs) or ())}
        return Matches({name: indices[synset] for name, synset in synsets.items() if synset in indices}, (), {})
    if len(synsets) == len(folders):
        indices = synset_indices(spec.labels)
        if indices:
            return Matches({name: indices[synset] for name, synset in synsets.items() if synset in indices}, (), {})
    return match_names(folders, spec.labels)


def _match_numbers(folders: Sequence[str], spec: ModelSpec) -> Matches:
    numbers = {folder: int(folder) for folder in folders if folder.isdecimal() and int(folder) < spec.outputs}
    return Matches(numbers, (), {})


def _check_places(data: Path, parents: Sequence[Parts], level: int, labels: Sequence[str] = ()) -> None:
    """Raise `RequestError` when images lie beside the class folders, or in several sets that are no labels."""
    beside = sum(len(parts) <= level for parts in parents)
    if beside:
        raise RequestError(
            f"--data {data}: {beside} images without a class are next to the class folders "
            f"{several(_at(parents, level))}",
            hint="move them into the folders of their classes, or elsewhere",
        )
    sets = sorted({"/".join(parts[:level]) for parts in parents})
    names = sets if len(sets) > 1 else _at(parents, level)
    are_sets = {name.casefold() for name in names} <= SETS and not set(names) <= set(labels)
    if len(sets) > 1 or (len(names) > 1 and are_sets):
        unpack = "unpack it, and " if data.is_file() else ""
        raise RequestError(
            f"--data {data} contains several sets: {several(names, SHOWN)}", hint=f"{unpack}pass one of them"
        )


def _unknown_folders(
    data: Path, unknown: Sequence[str], folders: Sequence[str], matches: Matches, spec: ModelSpec
) -> RequestError:
    described = []
    for folder in unknown:
        near = nearest(folder, spec.labels)
        alike = " or ".join(dict.fromkeys(matches.ambiguous.get(folder, ())))
        described.append(f"{folder} (may be {alike})" if alike else f"{folder} (nearest: {near})" if near else folder)
    hint = "name the folders after the model's labels or ImageNet's WordNet ids, or number them from 0"
    if len(folders) == spec.outputs and spec.labels == numbered_labels(spec.outputs):
        hint = f"load the model with --labels {data}, which names its classes after these folders, in their order"
    return RequestError(
        f"--data {data}: {len(unknown)} of {len(folders)} folders are not classes of {spec.name}: "
        + several(described, SHOWN),
        hint=hint,
    )


def _tell_matches(matches: Matches, spec: ModelSpec, tell: Tell) -> None:
    """Say which folders were understood although they are not spelt as a label is."""
    lowest = min(matches.indices, key=lambda name: matches.indices[name])
    if lowest.isdecimal() and int(lowest) == matches.indices[lowest] > 0 and lowest != spec.labels[int(lowest)]:
        tell(f"note: folders are read as class numbers, counted from 0: {lowest} is {spec.labels[int(lowest)]}")
    if matches.guessed:
        read = [f"{name} → {spec.labels[matches.indices[name]]}" for name in matches.guessed]
        tell(f"note: folders are read as these labels: {several(read, SHOWN)}")
    by_index: dict[int, list[str]] = {}
    for name, index in matches.indices.items():
        by_index.setdefault(index, []).append(name)
    for index, names in by_index.items():
        if len(names) > 1:
            tell(f"note: the folders {', '.join(sorted(names))} are all read as {spec.labels[index]}")


def own_classes(data: Path, names: Sequence[str]) -> tuple[tuple[str, ...], list[int]] | None:
    """Return the classes that folders name by themselves, and every image's index; None where they name none.

    They are the first level with several folders, sorted as torchvision's `ImageFolder` numbers them. Raises
    `RequestError` when the folders are several sets, or images lie beside them.
    """
    parents = [PurePosixPath(name).parent.parts for name in names]
    depth = max(map(len, parents), default=0)
    level = next((level for level in range(depth) if len(_at(parents, level)) > 1), None)
    if level is None:
        return None
    _check_places(data, parents, level)
    folders = _at(parents, level)
    return tuple(folders), [folders.index(parts[level]) for parts in parents]


def _own_indices(data: Path, names: Sequence[str], tell: Tell) -> list[int | None]:
    """Return the folders' own indices: the classes of k-NN and linear probe, which bring no names."""
    own = own_classes(data, names)
    if own is None:
        tell(f"note: {data.name} has no class folders on one level; its {len(names)} images are used as unlabelled")
        return [None] * len(names)
    return list(own[1])
