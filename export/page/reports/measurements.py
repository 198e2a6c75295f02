"""`measurements.json`: merged with earlier figures of the same environment, written atomically, shown as a table."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.core.files import write_atomically
from export.core.records import SCHEMA_VERSION, Environment, Measurement, MeasurementFile
from export.core.units import format_bytes, format_ms, format_percent
from export.page.kept_accuracy import TOP1
from export.page.results_view import AGREEMENT, COSINE, LATENCY, NATIVE, read_measurements

SIZE, SQNR = "download_bytes", "sqnr_db"
ACCURACY = (TOP1, AGREEMENT, COSINE, SQNR)  # of one model, comparable only when measured on the same images


def merge(path: Path, environment: Environment, measured: Sequence[Measurement]) -> tuple[MeasurementFile, str]:
    """Return the new file's content and a note on what became of the old figures.

    Old figures stay when they were measured in the same environment and are neither measured anew, nor of bytes
    that a newer build has replaced, nor accuracies of a model whose accuracy is measured anew, perhaps on other
    images. Raises `RequestError` when `path` is something else.
    """
    old = read_measurements(path) if path.exists() else None
    kept: list[Measurement] = []
    note = ""
    if old is not None and old.environment != environment:
        before, now = old.environment.to_json(), environment.to_json()
        names = ", ".join(name for name in now if before[name] != now[name])
        note = f"{len(old.measurements)} older figures are dropped: their environment was different ({names})"
    elif old is not None:
        kept = [figure for figure in old.measurements if not _is_replaced(figure, measured)]
        note = f"{len(kept)} older figures of the same environment are kept" if kept else ""
    ordered = sorted([*kept, *measured], key=lambda figure: (figure.model, figure.variant, *map(str, _key(figure)[1:])))
    return MeasurementFile(schema_version=SCHEMA_VERSION, environment=environment, measurements=tuple(ordered)), note


def _is_replaced(old: Measurement, measured: Sequence[Measurement]) -> bool:
    for new in measured:
        if new.model != old.model:
            continue
        same_variant_rebuilt = new.variant == old.variant and new.artifact_sha256 != old.artifact_sha256
        if same_variant_rebuilt or _key(new) == _key(old) or (new.metric in ACCURACY and old.metric in ACCURACY):
            return True
    return False


def _key(figure: Measurement) -> tuple[str, str, str, int, str]:
    return figure.artifact_sha256, figure.engine, figure.backend, figure.threads, figure.metric


def write(path: Path, file: MeasurementFile) -> None:
    """Write the file whole or not at all."""
    write_atomically(path, (json.dumps(file.to_json(), indent=1, ensure_ascii=False) + "\n").encode())


def table(measured: Sequence[Measurement]) -> list[str]:
    """Return the figures as the lines of a table, one row per variant, engine, back end and threads."""
    rows: dict[tuple[Any, ...], dict[str, Measurement]] = {}
    for figure in measured:
        row = (figure.model, figure.variant, figure.engine, figure.backend, figure.threads)
        rows.setdefault(row, {})[figure.metric] = figure
    lines = [
        ["model", "variant", "engine", "backend", "threads", "size", "warm (p10 – p90)", "top-1 (95 %)", "agreement"]
    ]
    for row, figures in rows.items():
        size, warm = figures.get(SIZE), figures.get(LATENCY)
        agreement = figures.get(AGREEMENT)
        lines.append(
            [
                *map(str, row),
                format_bytes(int(size.value)) if size else "",
                f"{format_ms(warm.value)} ({_range(warm, format_ms)}, n={warm.n})" if warm else "",
                _share(figures.get(TOP1)),
                "reference" if row[2] == NATIVE else _share(agreement) if agreement else _cosine(figures.get(COSINE)),
            ]
        )
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _range(figure: Measurement, format: Any) -> str:
    return f"{format(figure.p10)} – {format(figure.p90)}"


def _share(figure: Measurement | None) -> str:
    return f"{format_percent(figure.value)} ({_range(figure, format_percent)}, n={figure.n})" if figure else ""


def _cosine(figure: Measurement | None) -> str:
    return f"cosine {figure.value:.4f} (n={figure.n})" if figure else ""
