"""Memory for what calibration keeps of a model's activations: up to a budget, and beyond it in temporary files.

A file has no name (it is deleted as soon as it is open), so that nothing is left of it however calibration ends.
"""

import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from export.core.figures.units import format_bytes


class ActivationStore:
    """Gives tensors for activations; those of the CPU that exceed `budget` bytes lie in files in `folder`.

    Without a budget all are in memory. `spilled` counts the bytes that have been put into files.
    """

    def __init__(self, budget: int | None = None, folder: Path | None = None) -> None:
        assert budget is None or folder is not None
        self.budget, self.folder = budget, folder
        self.spilled = self._used = 0

    def empty(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return a tensor of the type and on the device of another one, in the order of `torch.cat`, still to fill."""
        if _has_channels_last(like):
            count, channels, height, width = shape
            flat = self.empty((count, height, width, channels), like.permute(0, 2, 3, 1))
            return flat.permute(0, 3, 1, 2)
        size = int(np.prod(shape)) * like.element_size()
        if like.device.type == "cpu" and self.budget is not None and self._used + size > self.budget:
            return self._in_file(shape, like, size)
        values = torch.empty(*shape, dtype=like.dtype, device=like.device)
        self._used += size
        weakref.finalize(values.untyped_storage(), self._release, size)
        return values

    def cat(self, parts: Sequence[Tensor]) -> Tensor:
        """Return parts in one tensor, one behind the other."""
        values = self.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0])
        torch.cat(list(parts), out=values)
        return values

    def group_bytes(self, limit: int) -> int:
        """Return how many bytes are best kept at the same time: a limit, or what the budget allows."""
        return limit if self.budget is None else min(limit, self.budget)

    def note(self) -> str:
        """Return what a person should know of it, or nothing."""
        if not self.spilled or self.budget is None:
            return ""
        return f"{format_bytes(self.spilled)} of activations beyond --memory {format_bytes(self.budget)} were on disk"

    def _release(self, size: int) -> None:
        self._used -= size

    def _in_file(self, shape: Sequence[int], like: Tensor, size: int) -> Tensor:
        assert self.folder is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder) as stream:
            stream.truncate(size)
            mapped = np.memmap(stream, np.uint8, "r+", shape=(size,))
        self.spilled += size
        return torch.from_numpy(mapped).view(like.dtype).reshape(*shape)


def _has_channels_last(values: Tensor) -> bool:
    """Tell whether several such tensors in one would lie in memory with their channels, the second dimension, last."""
    if values.ndim != 4:
        return False
    joined = torch.cat([values[:1], values[:1]])
    return joined.is_contiguous(memory_format=torch.channels_last) and not joined.is_contiguous()


class Accumulated:
    """Batches of one kind, put one behind the other as they come; `share` is that of a batch in all images."""

    def __init__(self, store: ActivationStore) -> None:
        self._store, self._values, self._filled = store, torch.empty(0), 0

    def add(self, batch: Tensor, share: float) -> None:
        """Append a batch."""
        end = self._filled + len(batch)
        if end > len(self._values):  # the first batch, or of a layer that runs several times for an image
            grown = self._store.empty((max(end, round(end / share)), *batch.shape[1:]), batch)
            if self._filled:
                grown[: self._filled] = self._values[: self._filled]
            self._values = grown
        self._values[self._filled : end] = batch
        self._filled = end

    def __len__(self) -> int:
        """Return how much has been appended."""
        return self._filled

    def values(self) -> Tensor:
        """Return all batches as one tensor."""
        return self._values if self._filled == len(self._values) else self._values[: self._filled]
