"""Get a public data set to train on or to evaluate with.

Examples:
  python -m export.data get imagenette
  python -m export.train --data .cache/datasets/imagenette2-320.tgz --model deit_t --epochs 5

  python -m export.data get tiny-imagenet --out data   # into another folder
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from export.core.console import run, say
from export.core.paths import CACHE
from export.data.public.get import get
from export.data.public.sets import SETS


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.data",
        description=f"{__doc__}\n" + "\n".join(f"  {one.name:<15} {one.title}" for one in SETS.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("action", choices=("get",), help="download, verify, and keep as one file for --data")
    p.add_argument("name", choices=SETS, help="the data set")
    p.add_argument("--out", type=Path, default=CACHE / "datasets", help="folder (default: %(default)s)")
    p.add_argument("--url", help="another address of the same file; its checksum is verified all the same")
    return p


def main(argv: Sequence[str] | None = None) -> None:
    """Download a data set and say how to train on it."""
    args = parser().parse_args(argv)
    path = get(SETS[args.name], args.out, args.url)
    say(f"to train on it: python -m export.train --data {path} --model deit_t")


if __name__ == "__main__":
    run(main)
