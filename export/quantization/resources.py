"""What calibration may use of the machine: the options that say so, and the device that they mean."""

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from export.core.environment.machine import cpu_model, free_memory
from export.core.errors import RequestError
from export.core.figures.units import format_unequal_bytes

if TYPE_CHECKING:
    import torch

AUTO, CPU = "auto", "cpu"
SIZE, UNITS = re.compile(r"(?P<number>\d+(\.\d+)?) ?(?P<unit>[KMGT]?)(?P<binary>i?)B?", re.IGNORECASE), ("", *"KMGT")
LEAST_MEMORY = 100_000_000
DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What calibration may use: a `device`, named as in `--device`, and main memory for a model's activations.

    `memory` is in bytes; None means half of what is free when calibration begins.
    """

    device: str = AUTO
    memory: int | None = None


DEFAULT_RESOURCES = Resources()


def add_resource_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that `read_resources` reads."""
    parser.add_argument(
        "--device",
        default=AUTO,
        metavar="D",
        help=f"where to calibrate: {AUTO} (the first GPU, else the CPU), {CPU}, cuda or cuda:N (default: %(default)s)",
    )

    parser.add_argument(
        "--memory",
        metavar="SIZE",
        help="memory for the activations that calibration keeps, such as 4G; the rest lies in temporary files among "
        "the artifacts (default: half of what is free)",
    )


def read_memory(text: str) -> int:
    """Read `4G`, `1.5GB` or `800MiB` as bytes; raises `RequestError` for anything else and for too little."""
    matched = SIZE.fullmatch(text.strip())
    if not matched:
        raise RequestError(f"--memory {text!r} is not a size", hint="for instance 4G, 1.5GB or 800MiB")
    base = 1024 if matched["binary"] else 1000
    size = int(float(matched["number"]) * base ** UNITS.index(matched["unit"].upper()))
    if size < LEAST_MEMORY:
        found, least = format_unequal_bytes(size, LEAST_MEMORY)
        raise RequestError(f"--memory {text!r} is {found}; calibration needs {least} or more", hint="for instance 4G")
    return size


def read_resources(args: argparse.Namespace) -> Resources:
    """Return what the options allow; raises `RequestError` for what is no device, or is not there."""
    if not DEVICE.fullmatch(args.device):
        raise RequestError(f"--device {args.device!r} is no device", hint="allowed: auto, cpu, cuda, cuda:0, cuda:1 …")
    if args.device.startswith("cuda"):
        find_device(args.device)  # before any work is done
    return Resources(device=args.device, memory=None if args.memory is None else read_memory(args.memory))


def memory_budget(resources: Resources) -> int:
    """Return the bytes of main memory that activations may take."""
    return free_memory() // 2 if resources.memory is None else resources.memory


def find_device(name: str) -> "torch.device":
    """Return the device that `--device` names; raises `RequestError` for a GPU that is not there."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == CPU or (name == AUTO and not count):
        return torch.device(CPU)
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        found = f"it sees {count} of them" if count else "it sees none"
        raise RequestError(
            f"--device {name}: PyTorch {torch.__version__} has no such GPU; {found}",
            hint="use --device cpu, or install the driver and a build of PyTorch with CUDA",
        )
    return torch.device("cuda", index)


@contextmanager
def full_precision() -> Iterator[None]:
    """Let a GPU compute in float32 what is float32, not in the 10 bits of TF32 that convolutions default to."""
    import torch

    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False):
        yield


def describe_device(device: "torch.device") -> str:
    """Return the name of a GPU as its driver gives it, or that of the processor."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_model()
