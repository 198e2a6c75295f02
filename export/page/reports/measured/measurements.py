"""`measurements.json`: merged with earlier figures of the same environment, written atomically, shown as a table."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from export.core.figures.units import format_bytes, format_ms, format_percent
from export.core.files import write_atomically
from export.core.records import SCHEMA_VERSION, Environment, Measurement, MeasurementFile
from export.page.content.kept_accuracy import TOP1
from export.page.results_view import AGREEMENT, COSINE, LATENCY, NATIVE, read_measurements

SIZE, SQNR = "download_bytes", "sqnr_db"
ACCURACY = (TOP1, AGREEMENT, COSINE, SQNR)  # of one model, comparable only when measured on the same images


def merge(
    path: Path, environments: Sequence[Environment], measured: Sequence[Measurement]
) -> tuple[MeasurementFile, str]:
    """Return the new file's content and a note on what became of the old figures; `environments` has one per browser.

    Old figures stay when they were measured on the same machine and in the same environment, or in another kind of
    browser, and are neither measured anew, nor of bytes that a newer build has replaced, nor accuracies of a model
    whose accuracy is measured anew, perhaps on other images. Raises `RequestError` when `path` is something else.
    """
    old = read_measurements(path) if path.exists() else None
    kept: list[Measurement] = []
    places, note = list(environments), ""
    if old is not None:
        stay = [place for place in old.environments if _stays(place, environments)]
        differences = [_differences(place, environments) for place in old.environments if place not in stay]
        names = {place.browser for place in stay} | ({""} if stay else set())
        figures = [replace(one, browser=_browser(one, old)) for one in old.measurements]
        dropped = [one for one in figures if one.browser not in names]
        kept = [one for one in figures if one.browser in names and not _is_replaced(one, measured)]
        places = [*stay, *(place for place in environments if place not in stay)]
        if dropped:
            why = ", ".join(dict.fromkeys(name for one in differences for name in one))
            note = f"{len(dropped)} older figures are dropped: their environment was different ({why})"
        elif kept:
            note = f"{len(kept)} older figures of the same environment are kept"
    ordered = sorted([*kept, *measured], key=lambda figure: (figure.model, figure.variant, *map(str, _key(figure)[1:])))
    first, *others = places
    file = MeasurementFile(
        schema_version=SCHEMA_VERSION, environment=first, measurements=tuple(ordered), others=tuple(others)
    )
    return file, note


def _browser(figure: Measurement, file: MeasurementFile) -> str:
    return "" if figure.engine == NATIVE else figure.browser or file.environment.browser


def _stays(old: Environment, new: Sequence[Environment]) -> bool:
    """Whether figures of an environment may stand beside those of new ones: the same, or of another browser here."""
    return all(old == place or (_machine(old) == _machine(place) and not _same_kind(old, place)) for place in new)


def _machine(place: Environment) -> tuple[str, str, str]:
    return place.machine, place.os, place.cpu


def _same_kind(one: Environment, other: Environment) -> bool:
    return one.browser.split()[0] == other.browser.split()[0]


def _differences(old: Environment, new: Sequence[Environment]) -> list[str]:
    """Return what of an environment differs from the one that takes its place."""
    place = next((place for place in new if _same_kind(old, place)), new[0])
    before, now = old.to_json(), place.to_json()
    return [name for name in now if before[name] != now[name]]


def _is_replaced(old: Measurement, measured: Sequence[Measurement]) -> bool:
    for new in measured:
        if new.model != old.model:
            continue
        same_variant_rebuilt = new.variant == old.variant and new.artifact_sha256 != old.artifact_sha256
        if same_variant_rebuilt or _key(new) == _key(old) or (new.metric in ACCURACY and old.metric in ACCURACY):
            return True
    return False


def _key(figure: Measurement) -> tuple[str, str, str, int, str, str]:
    return figure.artifact_sha256, figure.engine, figure.backend, figure.threads, figure.metric, figure.browser


def write(path: Path, file: MeasurementFile) -> None:
    """Write the file whole or not at all."""
    write_atomically(path, (json.dumps(file.to_json(), indent=1, ensure_ascii=False) + "\n").encode())


def table(measured: Sequence[Measurement]) -> list[str]:
    """Return the figures as the lines of a table, one row per variant, engine, back end, threads and browser."""
    rows: dict[tuple[Any, ...], dict[str, Measurement]] = {}
    for figure in measured:
        row = (figure.model, figure.variant, figure.engine, figure.backend, figure.threads, figure.browser)
        rows.setdefault(row, {})[figure.metric] = figure
    lines = [
        [
            *("model", "variant", "engine", "backend", "threads", "browser"),
            *("size", "warm (p10 – p90)", "top-1 (95 %)", "agreement"),
        ]
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
