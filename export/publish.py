"""Check the built page and publish it to a branch for GitHub Pages; without --push, say what would be done.

Examples:
  python -m export.publish                                       # check, and say what would be done
  python -m export.publish --push                                # push _site/ to the branch gh-pages of origin
  python -m export.publish --push --remote https://example.org/me/page.git --domain model.example.org
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from export.core.console import run
from export.core.errors import RequestError
from export.core.paths import SITE_OUT
from export.publishing.configuration import Configuration, find_configuration
from export.publishing.options import CONFIG
from export.publishing.publication.publish import PublishRequest, publish


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.publish", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--config", type=Path, metavar="FILE", help=f"configuration (default: {CONFIG}, where there is one)")
    p.add_argument("--site", type=Path, metavar="DIR", help=f"the built page (default: {SITE_OUT})")
    p.add_argument("--push", action="store_true", help="push it; without, nothing is changed anywhere")
    p.add_argument("--check", action="store_true", help="only check the page, and ask no remote")
    p.add_argument("--remote", metavar="NAME", help="name or address of a git remote (default: origin)")
    p.add_argument("--branch", metavar="NAME", help="branch of the remote (default: gh-pages)")
    p.add_argument("--domain", metavar="NAME", help="a domain of your own, such as model.example.org")
    p.add_argument("--visits", type=int, metavar="N", help="first visits expected in a month, held against the limit")
    p.add_argument(
        "--replace", action="store_true", help="replace the branch even if it has files that were not published so"
    )
    return p


def read_request(argv: Sequence[str] | None) -> PublishRequest:
    """Turn command line and configuration into a request; raises `RequestError`."""
    args = parser().parse_args(argv)
    if args.push and args.check:
        raise RequestError("--push and --check are mutually exclusive", hint="leave one of them out")
    if args.visits is not None and args.visits < 0:
        raise RequestError(f"--visits {args.visits} is below 0", hint="leave it out, or pass how many a month")
    config = find_configuration(args.config)
    given = {name: getattr(args, name) for name in ("remote", "branch", "domain", "visits")}
    site = args.site or _site(config)
    if not site.is_dir():
        raise RequestError(f"there is no page in {site}", hint="build it: python -m export.build")
    return PublishRequest(
        site=site,
        folder=config.file.parent if config.file else Path(),
        settings=replace(config.publish, **{name: value for name, value in given.items() if value is not None}),
        push=args.push,
        replace=args.replace,
        check_only=args.check,
    )


def _site(config: Configuration) -> Path:
    out = config.options.get("out")
    return config.file.parent / out if config.file and isinstance(out, str) else SITE_OUT


def main(argv: Sequence[str] | None = None) -> None:
    """Check the page, and publish it or say what would be done."""
    publish(read_request(argv))


if __name__ == "__main__":
    run(main)
