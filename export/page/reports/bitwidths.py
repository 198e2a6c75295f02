"""`bitwidths.json`: studies over bit widths as `export.train --qat` writes them, one for each model and its classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.core.errors import ArtifactError, RequestError
from export.core.figures.units import format_percent
from export.core.schema import parse_json
from export.page.reports.markdown import UNKNOWN, table

SCHEMA_VERSION = 2
HINT = "run: python -m export.train --qat w4a4_lsq"

Study = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BitwidthStudies:
    """Studies in the order in which they were added."""

    studies: tuple[Study, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"schema_version": SCHEMA_VERSION, "studies": list(self.studies)}


def read_bitwidths(*paths: Path) -> BitwidthStudies:
    """Return the studies of the kept file and of `table.json`s; of one model and its classes, the last.

    Raises `RequestError` for a file that is neither.
    """
    found: dict[tuple[str, tuple[str, ...]], Study] = {}
    for path in paths:
        for study in _read(path):
            found[study["model"]["name"], tuple(study["model"]["labels"])] = study
    return BitwidthStudies(tuple(found.values()))


def read_study(path: Path) -> Study:
    """Return the study of a `table.json`; raises `RequestError` for anything else."""
    studies = _read(path)
    if len(studies) != 1:
        raise RequestError(f"{path} holds {len(studies)} studies over bit widths", hint=HINT)
    return studies[0]


def _read(path: Path) -> list[Study]:
    try:
        values = parse_json(path.read_bytes())
        studies: list[Study] = values["studies"] if values["schema_version"] == SCHEMA_VERSION else [values]
        for study in studies:
            bitwidth_table(study)
    except (OSError, ArtifactError, LookupError, TypeError, ValueError) as error:
        raise RequestError(f"{path} is not a table of bit widths: {error!r}", hint=HINT) from error
    return studies


def bitwidths_section(found: BitwidthStudies) -> str:
    """Return a table of each study."""
    return "\n\n".join(bitwidth_table(study) for study in found.studies)


def bitwidth_table(study: Study) -> str:
    """Return the table of `export.train --qat`: a row per width, a column per method."""
    rows = [row for row in study["rows"] if row["kind"] != "float"]
    (reference,) = (row for row in study["rows"] if row["kind"] == "float")
    columns = list(dict.fromkeys((row["kind"], row["method"]) for row in rows))
    cells = {(row["weight_bits"], row["kind"], row["method"]): _interval(row) for row in rows}
    lines = [
        (str(bits), *(cells.get((bits, *column), UNKNOWN) for column in columns))
        for bits in sorted({row["weight_bits"] for row in rows}, reverse=True)
    ]
    intro = (
        f"{study['model']['title']}, {study['data']}, n={reference['n']:,} test images, float {_interval(reference)}; "
        f"trained for {max(row['steps'] for row in rows):,} steps of {study['options']['batch_size']} images on "
        f"{_machine(study)}: `{study['command']}`"
    )
    return "\n".join([intro, "", *table(("bits", *(f"{kind.upper()} `{method}`" for kind, method in columns)), lines)])


def bitwidth_summary(study: Study, methods: Sequence[str]) -> str:
    """Return the accuracies of some methods and of float, in one line."""
    rows = [row for row in study["rows"] if row["kind"] == "float" or row["method"] in methods]
    shares = [f"{row['recipe']} {100 * row['top1']:.1f} %" for row in rows]
    return f"{study['model']['title']}, {study['data']}, n={study['rows'][0]['n']:,}: {', '.join(shares)}"


def _machine(study: Study) -> str:
    place = study["environment"]
    return f"{place['device']} ({place['machine']}, PyTorch {place['torch']}, threads: {place['threads']})"


def _interval(row: dict[str, Any]) -> str:
    return f"{format_percent(row['top1'])} ({format_percent(row['low'])} – {format_percent(row['high'])})"
