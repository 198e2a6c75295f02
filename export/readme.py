"""Fill the tables of README.md and docs/results.md from files of measurements and evaluations.

Examples:
  python -m export.readme                                           # from the committed files
  python -m export.readme --measurements artifacts/measurements.json --keep   # and copy that file to .github/
  python -m export.readme --confidence artifacts/confidence-photos.json --keep     # and to export/data/assets/
  python -m export.readme --evaluation artifacts/evaluation-fashion.json --benchmark artifacts/benchmark.json --keep
  python -m export.readme --analysis artifacts/mixed-photos-w3to8a8_gptq_4bits.json --keep
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from export.core.console import run, say
from export.core.errors import RequestError
from export.core.files import write_atomically
from export.page.reports.documents import README, REPRODUCE, RESULTS, SOURCES, filled, keep, read_sources


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.readme", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, source in SOURCES.items():
        p.add_argument(
            f"--{name}",
            type=_paths if source.merged else _path,
            default=str(source.kept),
            metavar="FILE,…" if source.merged else "FILE",
            help=f"output of {source.command} (default: %(default)s)"
            + ("; added to what is there, by model and recipe" if source.merged else ""),
        )
    p.add_argument("--keep", action="store_true", help="also copy these files to where they are committed")
    p.add_argument("--readme", type=Path, default=Path(README), help="README file to fill (default: %(default)s)")
    p.add_argument("--results", type=Path, default=Path(RESULTS), help="results file to fill (default: %(default)s)")
    p.add_argument(
        "--reproduce", type=Path, default=Path(REPRODUCE), help="file of capabilities to fill (default: %(default)s)"
    )
    return p


def main(argv: Sequence[str] | None = None) -> None:
    """Fill the tables; nothing else in the documents is touched."""
    args = parser().parse_args(argv)
    sources: dict[str, tuple[Path, ...]] = {name: SOURCES[name].files(getattr(args, name)) for name in SOURCES}
    targets: dict[str, Path] = {README: args.readme, RESULTS: args.results, REPRODUCE: args.reproduce}
    for option, path in (("--readme", args.readme), ("--results", args.results), ("--reproduce", args.reproduce)):
        if not path.is_file():
            raise RequestError(f"{path} does not exist", hint=f"pass {option} FILE")
    figures = read_sources(sources)
    texts = {path: filled(document, path.read_text("utf-8"), figures) for document, path in targets.items()}
    if args.keep:
        keep(sources)
    for path, text in texts.items():
        write_atomically(path, text.encode())
    say(f"{', '.join(str(path) for files in sources.values() for path in files)} → {', '.join(map(str, texts))}")


def _path(text: str) -> tuple[Path, ...]:
    return (Path(text),)


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part) for part in text.split(","))


if __name__ == "__main__":
    run(main)
