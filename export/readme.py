"""Write the README's table of results from a file of measurements.

Examples:
  python -m export.readme                                           # from .github/measurements.json
  python -m export.readme --measurements artifacts/measurements.json --keep   # and keep that file as the new source
"""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from export.console import run, say
from export.errors import RequestError
from export.figures import format_bytes, format_ms, format_percent
from export.measurements import SIZE
from export.results import AGREEMENT, LATENCY, NATIVE, TOP1, read_measurements
from export.spec import Measurement, MeasurementFile
from export.store import write_atomically

KEPT, README = Path(".github/measurements.json"), Path("README.md")
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
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
            model, variant, on, format_bytes(int(size.value)) if size else UNKNOWN,
            _cell(figures.get(LATENCY), format_ms), _cell(figures.get(TOP1), format_percent),
            _cell(figures.get(AGREEMENT), format_percent),
        ]  # fmt: skip
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


def fill(readme: str, table: str) -> str:
    """Return the README with the table between its two marks; raises `RequestError` when they are missing."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise RequestError(f"the README has no place for the results: it needs the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"


def main(argv: Sequence[str] | None = None) -> None:
    """Fill the table; nothing else in the README is touched."""
    p = argparse.ArgumentParser(
        prog="python -m export.readme", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--measurements", type=Path, default=KEPT, help="the figures (default: %(default)s)")
    p.add_argument("--keep", action="store_true", help=f"copy them to {KEPT}, from which the table is made")
    p.add_argument("--readme", type=Path, default=README, help="the file to fill (default: %(default)s)")
    args = p.parse_args(argv)
    for path in (args.measurements, args.readme):
        if not path.is_file():
            raise RequestError(
                f"{path} does not exist", hint="python -m export.measure writes artifacts/measurements.json"
            )
    file = read_measurements(args.measurements)
    assert file is not None
    text = fill(args.readme.read_text(), results_table(file))
    if args.keep:
        write_atomically(KEPT, args.measurements.read_bytes())
    write_atomically(args.readme, text.encode())
    say(f"{len(file.measurements)} figures → {args.readme}")


if __name__ == "__main__":
    run(main)
