"""The records of a comparison of calibration on a GPU and on the CPU, and their file."""

from pathlib import Path

from export.core.errors import ArtifactError, RequestError, VerificationError
from export.core.schema import Count, NonNegative, Number, PositiveInt, Proportion, Record, parse_json

SCHEMA_VERSION = 1
LEAST_DIFFERENCE_DB = 1.0  # by which a device's outputs may lie further from the float model's than the other's


class DeviceRow(Record, frozen=True, kw_only=True):
    """One recipe of one model, calibrated on the CPU and on the GPU.

    `equal_codes` and `equal_scales` are the shares of weights and of their scales that agree exactly;
    `greatest_scale_ratio` is the largest scale of one over the other's. `between_db` is the SQNR of the GPU's model
    against the CPU's, None where equal; `cpu_db` and `gpu_db` those of each against the float model, all run on the
    CPU.
    """

    model: str
    recipe: str
    images: PositiveInt
    cpu_seconds: NonNegative
    gpu_seconds: NonNegative
    gpu_peak_bytes: Count
    equal_codes: Proportion
    equal_scales: Proportion
    greatest_scale_ratio: Number
    between_db: Number | None
    cpu_db: Number
    gpu_db: Number


class DeviceComparison(Record, frozen=True, kw_only=True):
    """The whole file: both devices, and a row for each recipe of each model."""

    schema_version: int
    cpu: str
    threads: PositiveInt
    gpu: str
    torch: str
    rows: tuple[DeviceRow, ...]


def read_devices(path: Path) -> DeviceComparison:
    """Read a file of comparisons; raises `RequestError` for anything else."""
    try:
        table = DeviceComparison.from_json(parse_json(path.read_bytes()))
    except (OSError, ArtifactError) as error:
        hint = "run: python -m export.evaluate --compare-devices"
        raise RequestError(f"{path} is not a comparison of devices: {error}", hint=hint) from error
    return table


def describe(row: DeviceRow) -> str:
    """Return a row in one line."""
    between = "equal bit for bit" if row.between_db is None else f"{row.between_db:.1f} dB from each other"
    return (
        f"{row.model} {row.recipe}, {row.images} images: CPU {row.cpu_seconds:.1f} s, GPU {row.gpu_seconds:.1f} s with "
        f"{row.gpu_peak_bytes / 1e6:.0f} MB; {row.equal_codes:.3%} of weights and {row.equal_scales:.3%} of scales "
        f"equal; {row.cpu_db:.2f} and {row.gpu_db:.2f} dB from float, {between}"
    )


def check(table: DeviceComparison) -> None:
    """Raise `VerificationError` where a GPU's model lies clearly further from the float model than the CPU's."""
    for row in table.rows:
        if row.gpu_db < row.cpu_db - LEAST_DIFFERENCE_DB:
            raise VerificationError(
                f"{row.model} {row.recipe}: calibrated on {table.gpu} it lies {row.gpu_db:.2f} dB from the float "
                f"model, on the CPU {row.cpu_db:.2f} dB",
                hint="calibrate with --device cpu, and report this",
            )
