"""What a file of labels is read into, and the one rule by which numbers order its names."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

DISTINCT = 0.9  # of names, at least: where more repeat once their numbers are taken away, these are part of them
INDEX = re.compile(r"\d+(?:\.0+)?")


class NotLabels(ValueError):  # noqa: N818 - it is no error until someone says whose file it is
    """The content is no list of labels; the message completes "the file …", and says what was found."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """The `values`, in the order of the model's outputs, with `notes` on what was understood where there was a choice.

    Values are text where the file is as it should be.
    """

    values: list[Any]
    notes: tuple[str, ...] = ()


def as_index(value: Any) -> int | None:
    """Return the index that a number or its text is, 2.0 as pandas writes 2; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    text = str(value).strip()
    return int(text.partition(".")[0]) if INDEX.fullmatch(text) else None


def as_indices(values: Sequence[Any]) -> list[int] | None:
    """Return the indices that values are, or None where one of them is none."""
    indices = [index for value in values if (index := as_index(value)) is not None]
    return indices if values and len(indices) == len(values) else None


def complete_index(values: Sequence[Any]) -> list[int] | None:
    """Return the indices that values are where they are all of 0 … K-1 or of 1 … K, in any order."""
    indices = as_indices(values)
    return indices if indices is not None and _start(indices) is not None else None


def _start(indices: Sequence[int]) -> int | None:
    ordered = sorted(indices)
    return next((start for start in (0, 1) if ordered == list(range(start, start + len(ordered)))), None)


def mostly_distinct(names: Sequence[Any]) -> bool:
    """Say whether few names repeat, as crane does among ImageNet's; not as in 1 euro, 2 euro, 5 euro."""
    return len(set(map(str, names))) >= DISTINCT * len(names)


def in_order(indices: Sequence[int], names: Sequence[Any], *, said: bool) -> Parsed:
    """Return the names by their numbers, which must be 0 … K-1 or 1 … K; with `said`, note that they decide."""
    start = _start(indices)
    if start is None:
        missing = [str(index) for index in range(len(indices)) if index not in set(indices)]
        raise NotLabels(
            f"has {len(indices)} numbered entries, which need the ids 0 to {len(indices) - 1}; "
            f"missing: {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}"
        )
    values = [name for _, name in sorted(zip(indices, names, strict=True), key=lambda pair: pair[0])]
    last = start + len(values) - 1
    note = f"note: labels are in the order of their numbers, {start} to {last}"
    return Parsed(values, (note,) if said or start > 0 else ())
