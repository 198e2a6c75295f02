"""Peak memory of a block of code, as the system counts it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Peak:
    """The peak memory in `bytes`, known after the block; None where the system does not tell."""

    bytes: int | None = None


_OPEN: list[Peak] = []  # of the process: an inner block sets the system's counter back, and tells the outer ones


@contextmanager
def peak_memory(device: "torch.device") -> Iterator[Peak]:
    """Yield a record that holds, after the block, the peak of the GPU's memory or of the whole process."""
    if device.type != "cuda":
        with process_peak() as peak:
            yield peak
        return
    import torch

    peak = Peak()
    torch.cuda.reset_peak_memory_stats(device)
    yield peak
    peak.bytes = torch.cuda.max_memory_allocated(device)


@contextmanager
def process_peak() -> Iterator[Peak]:
    """Yield a record that holds, after the block, the peak of this process; blocks may be nested."""
    peak = Peak()
    if sys.platform != "linux":
        yield peak
        return
    _tell_open()
    RESET.write_text("5", "utf-8")  # sets the peak back to what is in use (man 5 proc)
    _OPEN.append(peak)
    try:
        yield peak
        _tell_open()
    finally:
        _OPEN.pop()


def _tell_open() -> None:
    if _OPEN:
        lines = STATUS.read_text("utf-8").splitlines()
        reached = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
        for peak in _OPEN:
            peak.bytes = max(peak.bytes or 0, reached)
