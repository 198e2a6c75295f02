"""Write the README's tables from files of measurements and evaluations.

Examples:
  python -m export.readme                                           # from .github/measurements.json and evaluation.json
  python -m export.readme --measurements artifacts/measurements.json --keep   # and keep that file as the new source
  python -m export.readme --evaluation artifacts/evaluation-fashion.json --benchmark artifacts/benchmark.json --keep
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from export.core.console import run, say
from export.core.errors import RequestError
from export.core.files import write_atomically
from export.core.records import Measurement, MeasurementFile
from export.core.units import format_bytes, format_ms, format_percent
from export.page.reports.benchmark import Benchmark
from export.page.reports.benchmark_tables import markdown
from export.page.reports.benchmark_view import read_benchmark
from export.page.reports.measurements import SIZE
from export.page.results_view import AGREEMENT, LATENCY, NATIVE, TOP1, read_measurements
from export.quantization.evaluation.records import EvaluationTable, check_criteria, pivot, read_table, write_table

KEPT, EVALUATION, README = Path(".github/measurements.json"), Path(".github/evaluation.json"), Path("README.md")
BITWIDTHS, BENCHMARK = Path(".github/bitwidths.json"), Path(".github/benchmark.json")
UNKNOWN = "not measured"


def results_table(file: MeasurementFile) -> str:
    """Return the figures as Markdown, one row per variant, back end and number of threads."""
    rows: dict[tuple[str, str, str, int], dict[str, Measurement]] = {}
    for one in file.measurements:
        if one.engine != NATIVE:
            rows.setdefault((one.model, one.variant, one.backend, one.threads), {})[one.metric] = one
    place = file.environment
    lines = [
        f"{place.browser} on {place.cpu}, {place.logical_cores} logical cores, {place.os}. Latency is the median of",
        "warm runs, read-back included, with p10 – p90; accuracy goes through the whole page, with its 95 % interval.",
        "",
        "| model | variant | on | download | warm latency | top-1 in the browser | same answer as PyTorch float32 |",
        "|---|---|---|---|---|---|---|",
    ]
    for (model, variant, backend, threads), figures in rows.items():
        on = backend if threads == 1 else f"{backend}, {threads} threads"
        size = figures.get(SIZE)
        cells = [
            model,
            variant,
            on,
            format_bytes(int(size.value)) if size else UNKNOWN,
            _cell(figures.get(LATENCY), format_ms),
            _cell(figures.get(TOP1), format_percent),
            _cell(figures.get(AGREEMENT), format_percent),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    references = [one for one in file.measurements if (one.engine, one.metric) == (NATIVE, TOP1)]
    lines += [
        "",
        *(f"PyTorch float32 on the same images: {one.model} {_cell(one, format_percent)}." for one in references),
    ]
    return "\n".join(lines)


def _cell(one: Measurement | None, write: Callable[[float], str]) -> str:
    if one is None:
        return UNKNOWN
    spread = "" if one.p10 is None or one.p90 is None else f"{write(one.p10)} – {write(one.p90)}, "
    return f"{write(one.value)} ({spread}n={one.n:,})"


def evaluation_section(table: EvaluationTable) -> str:
    """Return the accuracies of every method and width, and what was asked of some of them, as Markdown."""
    return "\n".join([pivot(table), "", *(f"* {line}" for line in check_criteria(table))])


def bitwidths_section(table: dict[str, Any]) -> str:
    """Return the table of `export.train --qat`, a row per width, a column per method, as Markdown."""
    rows = [row for row in table["rows"] if row["kind"] != "float"]
    (reference,) = (row for row in table["rows"] if row["kind"] == "float")
    columns = list(dict.fromkeys((row["kind"], row["method"]) for row in rows))
    found = {(row["weight_bits"], row["kind"], row["method"]): row for row in rows}
    lines = [
        f"{table['model']['title']}, {reference['n']:,} test images, float {_interval(reference)}; trained by "
        f"{max(row['steps'] for row in rows):,} steps of {table['options']['batch_size']} images: `{table['command']}`",
        "",
        "| bits | " + " | ".join(f"{kind.upper()} `{method}`" for kind, method in columns) + " |",
        f"|---|{'---|' * len(columns)}",
    ]
    for bits in sorted({row["weight_bits"] for row in rows}, reverse=True):
        cells = [_interval(found[bits, *column]) if (bits, *column) in found else UNKNOWN for column in columns]
        lines.append(f"| {bits} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _interval(row: dict[str, Any]) -> str:
    return f"{format_percent(row['top1'])} ({format_percent(row['low'])} – {format_percent(row['high'])})"


def fill(readme: str, section: str, text: str) -> str:
    """Return the README with the text between the marks of a section; raises `RequestError` when they are missing."""
    start, stop = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
    head, begin, rest = readme.partition(start)
    _, end, tail = rest.partition(stop)
    if not begin or not end:
        raise RequestError(f"the README has no place for the {section}: it needs the lines {start} and {stop}")
    return f"{head}{start}\n{text}\n{stop}{tail}"


# Section of the README → where its figures are kept, the command that writes them, and how they are written down.
SOURCES: dict[str, tuple[Path, str, Callable[[Path], str]]] = {
    "results": (KEPT, "measure", lambda path: results_table(_measurements(path))),
    "benchmark": (BENCHMARK, "measure --benchmark", lambda path: markdown(_benchmark(path))),
    "evaluation": (EVALUATION, "evaluate", lambda path: evaluation_section(read_table(path))),
    "bitwidths": (BITWIDTHS, "train", lambda path: bitwidths_section(json.loads(path.read_text()))),
}
OPTIONS = {"results": "measurements", "benchmark": "benchmark", "evaluation": "evaluation", "bitwidths": "bitwidths"}


def _measurements(path: Path) -> MeasurementFile:
    file = read_measurements(path)
    assert file is not None
    return file


def _benchmark(path: Path) -> Benchmark:
    found = read_benchmark(path)
    assert found is not None
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Fill the tables; nothing else in the README is touched."""
    p = argparse.ArgumentParser(
        prog="python -m export.readme", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for section, (kept, command, _) in SOURCES.items():
        p.add_argument(
            f"--{OPTIONS[section]}",
            type=Path,
            default=kept,
            metavar="FILE",
            help=f"what export.{command} wrote (default: %(default)s)",
        )
    p.add_argument("--keep", action="store_true", help=f"copy them to {KEPT.parent}, from which the tables are made")
    p.add_argument("--readme", type=Path, default=README, help="the file to fill (default: %(default)s)")
    args = p.parse_args(argv)
    chosen: dict[str, Path] = {section: getattr(args, OPTIONS[section]) for section in SOURCES}
    if not args.readme.is_file():
        raise RequestError(f"{args.readme} does not exist", hint="name the file with --readme")
    text = args.readme.read_text()
    for section, path in chosen.items():
        _, command, write = SOURCES[section]
        if not path.is_file():
            raise RequestError(f"{path} does not exist", hint=f"python -m export.{command} writes such a file")
        text = fill(text, section, write(path))
    if args.keep:
        for section, path in chosen.items():
            if section == "evaluation":
                write_table(read_table(path), EVALUATION)  # its Markdown lies beside it
            else:
                write_atomically(SOURCES[section][0], path.read_bytes())
    write_atomically(args.readme, text.encode())
    say(f"{', '.join(map(str, chosen.values()))} → {args.readme}")


if __name__ == "__main__":
    run(main)
