"""Calibration on a GPU and on the CPU as a table."""

from export.core.figures.units import format_bytes, format_decibels, format_percent
from export.page.reports.markdown import table
from export.quantization.evaluation.device_records import DeviceComparison


def devices_section(devices: DeviceComparison) -> str:
    """Return what both devices take and choose, recipe by recipe."""
    header = ("model", "recipe", "images", "CPU", "GPU", "GPU memory", "equal weights", "CPU, GPU against float")
    rows = [
        (
            row.model,
            f"`{row.recipe}`",
            str(row.images),
            f"{row.cpu_seconds:.1f} s",
            f"{row.gpu_seconds:.1f} s",
            format_bytes(row.gpu_peak_bytes),
            format_percent(row.equal_codes),
            f"{format_decibels(row.cpu_db)}, {format_decibels(row.gpu_db)}",
        )
        for row in devices.rows
    ]
    lines = [f"{devices.gpu} and {devices.cpu} with {devices.threads} threads, PyTorch {devices.torch}.", ""]
    return "\n".join([*lines, *table(header, rows)])
