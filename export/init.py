"""Write a small repository of your own that builds, checks and publishes a page of your model.

Examples:
  python -m export.init my_page --model deit_s --checkpoint my.safetensors --labels my_labels.txt --licence MIT
  python -m export.init my_page --model deit_s --checkpoint https://example.org/my.safetensors#sha256=…
  python -m export.init my_page --model photos --domain model.example.org
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from export.core.console import run, say
from export.publishing.build_request import given_options
from export.publishing.option_values import options_of
from export.publishing.options import add_page_options
from export.publishing.repository.contents import RepositoryRequest, next_steps, write_repository

OWN = ("folder", "package", "domain")


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.init", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("folder", type=Path, metavar="DIR", help="where to write it: an empty folder, or a new one")
    p.add_argument(
        "--package",
        metavar="P",
        help="what the workflow installs: a wheel file, its address, or a requirement (default: where this package was "
        "installed from)",
    )
    p.add_argument("--domain", metavar="NAME", default="", help="a domain of your own, such as model.example.org")
    add_page_options(p)
    return p


def main(argv: Sequence[str] | None = None) -> None:
    """Write the repository and say what remains to be done."""
    p = parser()
    given = given_options(p, argv)
    names = {action.dest: name for name, action in options_of(p).items()}
    options = {names[dest]: value for dest, value in given.items() if dest not in OWN}
    request = RepositoryRequest(
        folder=given["folder"], options=options, package=given.get("package"), domain=given.get("domain", "")
    )
    repository = write_repository(request)
    for name in repository.files:
        say(f"  {name}")
    say(f"{len(repository.files)} files → {request.folder}/")
    for line in next_steps(repository):
        say(line)


if __name__ == "__main__":
    run(main)
