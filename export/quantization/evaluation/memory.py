"""Peak memory of a block of code, as the system counts it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Peak:
    """The peak memory in `bytes`, known after the block; None where the system does not tell."""

    bytes: int | None = None


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Peak]:
    """Yield a record that holds, after the block, the peak of the GPU's memory or of the whole process."""
    peak = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield peak
        peak.bytes = torch.cuda.max_memory_allocated(device)
    elif sys.platform == "linux":
        RESET.write_text("5")  # sets the peak back to what is in use (man 5 proc)
        yield peak
        lines = STATUS.read_text().splitlines()
        peak.bytes = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    else:
        yield peak
