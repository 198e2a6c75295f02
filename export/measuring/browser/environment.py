"""Where a measurement is made: the machine from the system, the browser and GPU from the page itself."""

import platform
from typing import Any

from export.core.environment.machine import cpu_model, operating_system
from export.core.records import Environment

SOFTWARE_RENDERERS = ("swiftshader", "llvmpipe", "softpipe", "software")


def describe_environment(browser: str, device: dict[str, Any]) -> Environment:
    """Return the record of this machine and a browser; `device` is what the page's `client.device()` says."""
    gpu = str(device["gpu"] or "none")
    return Environment(
        machine=platform.machine(),
        os=operating_system(),
        cpu=cpu_model(),
        logical_cores=int(device["logical_cores"]),
        browser=browser,
        user_agent=str(device["user_agent"]),
        isolated=bool(device["isolated"]),
        gpu=f"{gpu} (software)" if is_software(gpu) else gpu,
    )


def is_software(gpu: str) -> bool:
    """Tell whether a GPU's name is that of a program that runs on the CPU."""
    return any(name in gpu.lower() for name in SOFTWARE_RENDERERS)
