"""The documents with generated tables: what each section is made from, and how it is written."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.core.errors import RequestError
from export.core.files import write_atomically
from export.core.schema import Record
from export.models.confidence import ConfidenceFile
from export.page.reports.analysis.records import COMMAND as ANALYZE
from export.page.reports.analysis.records import KEPT as KEPT_ANALYSES
from export.page.reports.analysis.records import read_analyses
from export.page.reports.analysis.tables import analysis_section
from export.page.reports.benchmark.tables import benchmark_section, benchmark_summary
from export.page.reports.benchmark.view import read_benchmark
from export.page.reports.bitwidths import BitwidthStudies, bitwidths_section, read_bitwidths
from export.page.reports.comparison.records import Comparison, read_comparison
from export.page.reports.comparison.steps import steps_section
from export.page.reports.comparison.tables import model_markdown
from export.page.reports.evaluation_tables import confidence_section, evaluation_section, evaluation_summary
from export.page.reports.faults import COMMAND, faults_section, read_faults
from export.page.reports.markdown import UNKNOWN, fill
from export.page.reports.measured.builds import builds_section, read_builds
from export.page.reports.measured.device_tables import devices_section
from export.page.reports.measured.measurement_tables import measurements_section, measurements_summary
from export.page.reports.measured.visits import read_visits, visits_section
from export.page.reports.reproduction.document import reproduction_section
from export.page.results_view import read_measurements
from export.quantization.evaluation.device_records import read_devices
from export.quantization.evaluation.records import read_tables, write_table

README, RESULTS, REPRODUCE = "README.md", "docs/results.md", "docs/reproduce.md"
KEPT = Path(".github")
# The weights on which the steps of a method are compared, and the options that ask for them.
STEPS = {"outliers": "--weights outliers", "plain": "--weights random", "trained": "--model fashion"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of figures: what is run to write it, where a copy is committed, and how it is read.

    Without an `optional` one its tables say that nothing was measured. One that is `merged` is read from several files,
    and what is committed is extended by others.
    """

    command: str
    read: Callable[..., Any]
    kept: Path
    optional: bool = False
    merged: bool = False

    def files(self, given: tuple[Path, ...]) -> tuple[Path, ...]:
        """Return the files to read: those given, and before them the committed one if they extend it."""
        extends = self.merged and self.kept.is_file() and self.kept not in given
        return (self.kept, *given) if extends else given


# By the option of `export.readme` that names another file.
SOURCES: dict[str, Source] = {
    "measurements": Source(command="python -m export.measure", read=read_measurements, kept=KEPT / "measurements.json"),
    "benchmark": Source(
        command="python -m export.measure --benchmark", read=read_benchmark, kept=KEPT / "benchmark.json"
    ),
    "evaluation": Source(
        command="python -m export.evaluate", read=read_tables, kept=KEPT / "evaluation.json", merged=True
    ),
    "bitwidths": Source(
        command="python -m export.train --qat", read=read_bitwidths, kept=KEPT / "bitwidths.json", merged=True
    ),
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
        command="python -m export.compare",
        read=read_comparison,
        kept=KEPT / "comparison.json",
        optional=True,
        merged=True,
    ),
    "analysis": Source(command=ANALYZE, read=read_analyses, kept=KEPT_ANALYSES, optional=True, merged=True),
    "idle": Source(
        command="python -m export.measure --visits 5", read=read_visits, kept=KEPT / "visits_idle.json", optional=True
    ),
    "busy": Source(
        command="python -m export.measure --visits 5, beside a process that keeps a core busy",
        read=read_visits,
        kept=KEPT / "visits_busy.json",
        optional=True,
    ),
    **{
        title: Source(
            command=f"python -m export.compare --steps {options}",
            read=read_comparison,
            kept=KEPT / f"steps_{title}.json",
            optional=True,
        )
        for title, options in STEPS.items()
    },
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
        "visits": visits_section,
        "benchmark": benchmark_section,
        "evaluation": evaluation_section,
        "bitwidths": bitwidths_section,
        "confidence": confidence_section,
        "devices": devices_section,
        "builds": builds_section,
        "steps": steps_section,
        "comparison": _comparison_section,
        "analysis": analysis_section,
        "faults": faults_section,
    },
    REPRODUCE: {"capabilities": lambda figures: reproduction_section(figures)},
}


def read_sources(paths: Mapping[str, tuple[Path, ...]]) -> dict[str, Any]:
    """Read the files of every source; raises `RequestError` for one that is missing or something else.

    An optional source whose committed file is missing is None.
    """
    found: dict[str, Any] = {}
    for name, files in paths.items():
        source = SOURCES[name]
        missing = [path for path in files if not path.is_file()]
        if [path for path in missing if not (source.optional and path.name == source.kept.name)]:
            raise RequestError(f"{missing[0]} does not exist", hint=f"run: {source.command}")
        found[name] = None if missing else source.read(*files)
    steps, visits = ({title: found[title] for title in titles} for titles in (STEPS, ("idle", "busy")))
    return found | {"capabilities": found, "steps": steps, "visits": visits}  # sections that are made of several


def filled(document: str, text: str, figures: Mapping[str, Any]) -> str:
    """Return the text of a document with its sections written anew; nothing else is touched."""
    for section, write in SECTIONS[document].items():
        text = fill(text, section, write(figures[section]))
    return text


def keep(paths: Mapping[str, tuple[Path, ...]]) -> None:
    """Copy the files of all sources to where they are committed; those that are merged, as one."""
    for name, files in paths.items():
        source = SOURCES[name]
        if name == "evaluation":
            write_table(source.read(*files), source.kept)  # its Markdown lies beside it
        elif all(path.is_file() for path in files):
            written = _as_json(source.read(*files)) if source.merged else files[0].read_bytes()
            write_atomically(source.kept, written)


def _as_json(record: Record | BitwidthStudies) -> bytes:
    return (json.dumps(record.to_json(), indent=1, ensure_ascii=False) + "\n").encode()
