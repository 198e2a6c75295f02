"""Which class an image belongs to, by the folder it lies in."""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from export.core.errors import RequestError
from export.core.records import ModelSpec
from export.data.labels import imagenet_labels, imagenet_synsets

SHOWN = 5
SYNSET = re.compile(r"n\d{8}")


def match_folders(data: Path, names: Sequence[str], spec: ModelSpec, tell: Callable[[str], None]) -> list[int | None]:
    """Return for every image the index of its class: of the folder that holds it, or None where there are no classes.

    A folder is named as a label (upper and lower case, spaces and signs aside), as a WordNet id where the
    labels are ImageNet's, or by number. Images without folders or in a single folder that is no class stay
    unlabelled; for a model without a head the folders themselves are the classes, where they lie side by side. Raises
    `RequestError` when some folder is no class, when images lie both in folders and beside them, and when several
    sets lie side by side.
    """
    parents = [PurePosixPath(name).parent for name in names]
    folders = sorted({parent.name for parent in parents})
    if spec.features:
        return _own_classes(parents, folders, tell)
    if folders == [""] or not spec.labels:
        return [None] * len(names)
    if "" in folders:
        beside = parents.count(PurePosixPath())
        raise RequestError(
            f"--data {data}: {beside} images without a class are next to the class folders {', '.join(folders[1:4])}",
            hint="move them into the folders of their classes, or elsewhere",
        )
    sets = sorted({parent.parent.as_posix() for parent in parents})
    if len(sets) > 1:
        raise RequestError(f"--data {data} contains several sets: {', '.join(sets[:SHOWN])}", hint="pass one of them")
    classes = _match(folders, spec)
    unknown = [folder for folder in folders if folder not in classes]
    if unknown and len(folders) == 1:
        tell(f"note: {folders[0]} is not a class of {spec.name}; its {len(names)} images are used as unlabelled")
        return [None] * len(names)
    if unknown:
        raise RequestError(
            f"--data {data}: {len(unknown)} of {len(folders)} folders are not classes of {spec.name}: "
            + ", ".join(_with_nearest(folder, spec.labels) for folder in unknown[:SHOWN])
            + (" …" if len(unknown) > SHOWN else ""),
            hint="name the folders after the model's labels or ImageNet's WordNet ids, or number them from 0",
        )
    return [classes[parent.name] for parent in parents]


def _own_classes(
    parents: Sequence[PurePosixPath], folders: Sequence[str], tell: Callable[[str], None]
) -> list[int | None]:
    """Return the folders' own indices: the classes of k-NN and linear probe, which bring no names."""
    side_by_side = "" not in folders and len({parent.parent for parent in parents}) == 1
    if side_by_side and len(folders) > 1:
        return [folders.index(parent.name) for parent in parents]
    if folders != [""]:
        tell(f"note: {', '.join(folders[:SHOWN])} are not class folders on one level; images are used as unlabelled")
    return [None] * len(parents)


def _match(folders: Sequence[str], spec: ModelSpec) -> dict[str, int]:
    if all(SYNSET.fullmatch(folder) for folder in folders) and spec.labels == imagenet_labels(spec.outputs):
        indices = {synset: index for index, synset in enumerate(imagenet_synsets(spec.outputs) or ())}
        return {folder: indices[folder] for folder in folders if folder in indices}
    by_label = _unambiguous(spec.labels)
    found = {folder: by_label[_plain(folder)] for folder in folders if _plain(folder) in by_label}
    numbers = {folder: int(folder) for folder in folders if folder.isdecimal() and int(folder) < spec.outputs}
    return numbers if not found and len(numbers) == len(folders) else found


def _unambiguous(labels: Sequence[str]) -> dict[str, int]:
    """Return the index of each label in plain form; forms that several labels share name none of them."""
    plain = [_plain(label) for label in labels]
    counts = Counter(plain)
    return {form: index for index, form in enumerate(plain) if counts[form] == 1}


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()


def _with_nearest(folder: str, labels: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(folder, labels, n=1, cutoff=0.6)
    return f"{folder} (nearest: {nearest[0]})" if nearest else folder
