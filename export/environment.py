"""Where a measurement is made: the machine from the system, the browser and GPU from the page itself."""

import platform
import subprocess
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from export.spec import Environment

SOFTWARE_RENDERERS = ("swiftshader", "llvmpipe", "softpipe", "software")


def describe_environment(browser: Browser, device: dict[str, Any]) -> Environment:
    """Return the record of this machine and browser; `device` is what the page's `client.device()` says."""
    gpu = str(device["gpu"] or "none")
    return Environment(
        machine=platform.machine(),
        os=operating_system(),
        cpu=cpu_model(),
        logical_cores=int(device["logical_cores"]),
        browser=f"Chromium {browser.version}",
        user_agent=str(device["user_agent"]),
        isolated=bool(device["isolated"]),
        gpu=f"{gpu} (software)" if is_software(gpu) else gpu,
    )


def is_software(gpu: str) -> bool:
    """Tell whether a GPU's name is that of a program that runs on the CPU."""
    return any(name in gpu.lower() for name in SOFTWARE_RENDERERS)


def operating_system() -> str:
    """Return the system's own name for itself."""
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):  # not Linux, or a Linux without the file
        return f"{platform.system()} {platform.release()}"


def cpu_model() -> str:
    """Return the processor's name as the system reports it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    if platform.system() == "Darwin":
        asked = subprocess.run(
            ["sysctl", "-n", "machdep.cpu.brand_string"], capture_output=True, text=True, check=False
        )
        return asked.stdout.strip() or platform.processor()
    return platform.processor() or platform.machine()
