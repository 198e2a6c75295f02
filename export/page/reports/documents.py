"""The documents with generated tables: what each section is made from, and how it is written."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.core.errors import RequestError
from export.core.files import write_atomically
from export.models.confidence import ConfidenceFile
from export.page.reports.benchmark_tables import benchmark_section, benchmark_summary
from export.page.reports.benchmark_view import read_benchmark
from export.page.reports.builds import builds_section, read_builds
from export.page.reports.comparison.records import Comparison, read_comparison
from export.page.reports.comparison.steps import steps_section
from export.page.reports.comparison.tables import model_markdown
from export.page.reports.device_tables import devices_section
from export.page.reports.evaluation_tables import (
    bitwidths_section,
    confidence_section,
    evaluation_section,
    evaluation_summary,
)
from export.page.reports.faults import COMMAND, faults_section, read_faults
from export.page.reports.markdown import UNKNOWN, fill
from export.page.reports.measurement_tables import measurements_section, measurements_summary
from export.page.reports.reproduction.document import reproduction_section
from export.page.results_view import read_measurements
from export.quantization.evaluation.device_records import read_devices
from export.quantization.evaluation.records import read_table, write_table

README, RESULTS, REPRODUCE = "README.md", "docs/results.md", "docs/reproduce.md"
KEPT = Path(".github")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of figures: what is run to write it, where a copy is committed, and how it is read.

    Without an `optional` one its tables say that nothing was measured.
    """

    command: str
    read: Callable[[Path], Any]
    kept: Path
    optional: bool = False


def _read_study(path: Path) -> dict[str, Any]:
    try:
        study: dict[str, Any] = json.loads(path.read_text())
        bitwidths_section(study)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RequestError(
            f"{path} is not a table of bit widths: {error!r}", hint="run: python -m export.train --qat w4a4_lsq"
        ) from error
    return study


# By the option of `export.readme` that names another file.
SOURCES: dict[str, Source] = {
    "measurements": Source(command="python -m export.measure", read=read_measurements, kept=KEPT / "measurements.json"),
    "benchmark": Source(
        command="python -m export.measure --benchmark", read=read_benchmark, kept=KEPT / "benchmark.json"
    ),
    "evaluation": Source(command="python -m export.evaluate", read=read_table, kept=KEPT / "evaluation.json"),
    "bitwidths": Source(command="python -m export.train --qat", read=_read_study, kept=KEPT / "bitwidths.json"),
    # The model's own file, which decides what its page says, is the committed one.
    "confidence": Source(
        command="python -m export.evaluate --confidence",
        read=ConfidenceFile.read,
        kept=Path("export/data/assets/photos_confidence.json"),
    ),
    "devices": Source(
        command="python -m export.evaluate --compare-devices", read=read_devices, kept=KEPT / "devices.json"
    ),
    "builds": Source(command="python -m export.measure --builds", read=read_builds, kept=KEPT / "builds.json"),
    "faults": Source(command=COMMAND, read=read_faults, kept=KEPT / "faults.json"),
    "comparison": Source(
        command="python -m export.compare", read=read_comparison, kept=KEPT / "comparison.json", optional=True
    ),
    "outliers": Source(
        command="python -m export.compare --steps --weights outliers",
        read=read_comparison,
        kept=KEPT / "steps_outliers.json",
        optional=True,
    ),
    "plain": Source(
        command="python -m export.compare --steps --weights random",
        read=read_comparison,
        kept=KEPT / "steps_plain.json",
        optional=True,
    ),
}


def _comparison_section(comparison: Comparison | None) -> str:
    if comparison is None:
        return UNKNOWN
    return "\n\n".join(
        f"### {model.title}\n\n{model_markdown(model)}".replace("\n### ", "\n#### ") for model in comparison.models
    )


# Document → section → what writes it from the source of that name.
SECTIONS: dict[str, dict[str, Callable[[Any], str]]] = {
    README: {"measurements": measurements_summary, "benchmark": benchmark_summary, "evaluation": evaluation_summary},
    RESULTS: {
        "measurements": measurements_section,
        "benchmark": benchmark_section,
        "evaluation": evaluation_section,
        "bitwidths": bitwidths_section,
        "confidence": confidence_section,
        "devices": devices_section,
        "builds": builds_section,
        "steps": steps_section,
        "comparison": _comparison_section,
        "faults": faults_section,
    },
    REPRODUCE: {"capabilities": lambda figures: reproduction_section(figures)},
}


def read_sources(paths: Mapping[str, Path]) -> dict[str, Any]:
    """Read the file of every source; raises `RequestError` for one that is missing or something else.

    An optional one that is missing is None.
    """
    for name, path in paths.items():
        if not path.is_file() and not (SOURCES[name].optional and path.name == SOURCES[name].kept.name):
            command = SOURCES[name].command
            raise RequestError(f"{path} does not exist", hint=f"run: {command}")
    found = {name: SOURCES[name].read(path) if path.is_file() else None for name, path in paths.items()}
    steps = {title: found[title] for title in ("outliers", "plain")}
    return found | {"capabilities": found, "steps": steps}  # sections that are made of several


def filled(document: str, text: str, figures: Mapping[str, Any]) -> str:
    """Return the text of a document with its sections written anew; nothing else is touched."""
    for section, write in SECTIONS[document].items():
        text = fill(text, section, write(figures[section]))
    return text


def keep(paths: Mapping[str, Path]) -> None:
    """Copy the files of all sources to where they are committed."""
    for name, path in paths.items():
        if name == "evaluation":
            write_table(read_table(path), SOURCES[name].kept)  # its Markdown lies beside it
        elif path.is_file():
            write_atomically(SOURCES[name].kept, path.read_bytes())
