"""How long builds take: what is measured, the bars it is held to, and the tables of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.core.errors import ArtifactError, RequestError
from export.core.figures.units import format_bytes
from export.core.schema import Count, NonNegative, PositiveInt, Record, parse_json
from export.page.reports.markdown import UNKNOWN, Verdict, table, verdict_table

SCHEMA_VERSION = 1
CALIBRATION = "safetensors"  # the format whose stages calibrate
# CPU seconds of PTQ4ViT's own published code for W6A6 of the embedded model on 32 images, measured once, apart.
ORIGINAL_PTQ4VIT_SECONDS = 1031


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A command that is measured, from an empty folder of artifacts or, with `after`, from what another case has left.

    `python` are its arguments to Python, to which a build's folders are added. Bars are upper bounds; `None` has none.
    """

    title: str
    python: tuple[str, ...]
    after: str = ""
    seconds: float | None = None
    calibration_seconds: float | None = None
    peak_bytes: int | None = None

    @property
    def command(self) -> str:
        """The command as a person types it."""
        return " ".join(("python", *(f'"{part}"' if " " in part else part for part in self.python)))


def _build(*arguments: str) -> tuple[str, ...]:
    return ("-m", "export.build", *arguments)


def _quantize(recipe: str) -> tuple[str, ...]:
    return ("-m", "export.quantize", "--model", "fashion", "--recipe", recipe)


_IMPORTS = "from export.models.load import load; from export.models.choice.request import ModelRequest"
LOAD = f"{_IMPORTS}; load(ModelRequest(model='photos'))"
CASES: dict[str, Case] = {
    "deit_t": Case(
        title="`deit_t`, default recipes", python=_build("--model", "deit_t", "--weights", "random"), seconds=120
    ),
    "unchanged": Case(
        title="the same build again",
        python=_build("--model", "deit_t", "--weights", "random"),
        after="deit_t",
        seconds=3,
    ),
    "deit_t_vit": Case(
        title="`deit_t`, `--engine vit`: calibration alone",
        python=_build("--model", "deit_t", "--weights", "random", "--engine", "vit"),
        calibration_seconds=50,
    ),
    "vit_s": Case(
        title="`vit_s`, default recipes", python=_build("--model", "vit_s", "--weights", "random"), seconds=240
    ),
    "vit_b": Case(
        title="`vit_b`, `w8a8_gptq`, 128 images",
        python=_build("--model", "vit_b", "--weights", "random", "--recipe", "w8a8_gptq", "--memory", "3G"),
        seconds=480,
        peak_bytes=6_000_000_000,
    ),
    "ptq4vit": Case(
        title="`deit_t`, `w8a8_ptq4vit`, 32 images",
        python=_build("--model", "deit_t", "--weights", "random", "--recipe", "w8a8_ptq4vit"),
        seconds=40,
    ),
    "load": Case(title="import and load of an embedded model", python=("-c", LOAD), seconds=4),
    "w6a6_published": Case(
        title="`w6a6_ptq4vit_published` of `fashion`, 32 images", python=_quantize("w6a6_ptq4vit_published")
    ),
    "w6a6_corrected": Case(title="`w6a6_ptq4vit` of `fashion`, 32 images", python=_quantize("w6a6_ptq4vit")),
}


class BuildRow(Record, frozen=True, kw_only=True):
    """One case: seconds by the clock and of all processors, the largest process's peak memory, and seconds by stage."""

    case: str
    seconds: NonNegative
    cpu_seconds: NonNegative
    peak_bytes: Count
    stages: dict[str, NonNegative]

    @property
    def calibration_seconds(self) -> float | None:
        """The seconds of the stages that calibrate, None where there were none."""
        found = [seconds for stage, seconds in self.stages.items() if stage.split()[0] == CALIBRATION]
        return sum(found) if found else None


class BuildTimes(Record, frozen=True, kw_only=True):
    """The whole file: the machine, and a row for each case that was measured."""

    schema_version: int
    cpu: str
    logical_cores: PositiveInt
    os: str
    python: str
    torch: str
    rows: tuple[BuildRow, ...]


def read_builds(path: Path) -> BuildTimes:
    """Read a file of build times; raises `RequestError` for anything else."""
    try:
        times = BuildTimes.from_json(parse_json(path.read_bytes()))
    except (OSError, ArtifactError) as error:
        message = f"{path} is not a file of build times: {error}"
        raise RequestError(message, hint="run: python -m export.measure --builds") from error
    unknown = [row.case for row in times.rows if row.case not in CASES]
    if times.schema_version != SCHEMA_VERSION or unknown:
        raise RequestError(
            f"{path} is of another version (schema_version {times.schema_version}, cases {', '.join(unknown)})",
            hint="run: python -m export.measure --builds",
        )
    return times


def builds_section(times: BuildTimes) -> str:
    """Return the tables: what each case took, the bars, and PTQ4ViT's published code beside ours."""
    rows = {row.case: row for row in times.rows}
    cells = [(case.title, f"`{case.command}`", *_cells(rows.get(name))) for name, case in CASES.items()]
    lines = [
        f"{times.cpu}, {times.logical_cores} logical cores, {times.os}, Python {times.python}, PyTorch {times.torch}. "
        "Each build starts from an empty folder of artifacts and ends with a page; memory is that of the largest "
        "process. With TensorFlow's conversions beside it, calibration has one core less.",
        "",
        *table(("case", "command", "time", "of which calibration", "CPU time", "peak memory", "slowest stages"), cells),
        "",
        *verdict_table(verdict for name, case in CASES.items() for verdict in _verdicts(case, rows.get(name))),
        "",
        *_ptq4vit_table(rows),
    ]
    return "\n".join(lines)


def verdicts(times: BuildTimes) -> list[Verdict]:
    """Return what each measured case is held to."""
    rows = {row.case: row for row in times.rows}
    return [verdict for name, row in rows.items() for verdict in _verdicts(CASES[name], row)]


def _cells(row: BuildRow | None) -> Sequence[str]:
    if row is None:
        return (UNKNOWN,) * 5
    slowest = sorted(row.stages.items(), key=lambda item: -item[1])[:4]
    calibration = row.calibration_seconds
    return (
        _seconds(row.seconds),
        "" if calibration is None else _seconds(calibration),
        _seconds(row.cpu_seconds),
        format_bytes(row.peak_bytes),
        ", ".join(f"{stage} {_seconds(seconds)}" for stage, seconds in slowest),
    )


def _verdicts(case: Case, row: BuildRow | None) -> list[Verdict]:
    measured = (None, None, None) if row is None else (row.seconds, row.calibration_seconds, row.peak_bytes)
    kinds = ("time", "calibration", "peak memory")
    bars = (case.seconds, case.calibration_seconds, case.peak_bytes)
    return [
        Verdict(
            criterion=f"{case.title}: {kind}",
            measured=UNKNOWN if value is None else _write(kind, value),
            threshold=f"≤ {_write(kind, bar)}",
            passed=None if value is None else value <= bar,
        )
        for kind, bar, value in zip(kinds, bars, measured, strict=True)
        if bar is not None
    ]


def _ptq4vit_table(rows: dict[str, BuildRow]) -> list[str]:
    ours = [
        (f"`{CASES[name].command}`", _seconds(rows[name].cpu_seconds) if name in rows else UNKNOWN)
        for name in ("w6a6_published", "w6a6_corrected")
    ]
    original = ("PTQ4ViT's own code, measured once, separately", f"{ORIGINAL_PTQ4VIT_SECONDS:,} s")
    return table(("W6A6 of `fashion`, 32 images", "CPU time"), [original, *ours])


def _write(kind: str, value: float) -> str:
    return format_bytes(int(value)) if kind == "peak memory" else _seconds(value)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:.0f} s"
