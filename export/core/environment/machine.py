"""The machine that a figure was measured on, as the operating system names it, and its memory."""

import ctypes
import os
import platform
import subprocess
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def operating_system() -> str:
    """Return the system's own name for itself."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):  # not Linux, or a Linux without the file
        return f"{platform.system()} {platform.release()}"


def usable_cores() -> int:
    """Return how many logical processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_memory() -> int:
    """Return the bytes of main memory that can be had without swapping, also within a container."""
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2  # not Linux: no portable way to ask
    lines = dict(line.split(":", 1) for line in meminfo.read_text("utf-8").splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    limit, used = (CGROUP / name for name in ("memory.max", "memory.current"))
    if limit.is_file() and limit.read_text("utf-8").strip() != "max":
        free = min(free, int(limit.read_text("utf-8")) - int(used.read_text("utf-8")))
    return max(0, free)


def cpu_model() -> str:
    """Return the processor's name as the system reports it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, encoding="utf-8", check=False
        )
        return asked.stdout.strip() or platform.processor()
    return platform.processor() or platform.machine()


def return_freed_memory() -> None:
    """Give memory that was freed back to the system, where the C library would keep it for later (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)
