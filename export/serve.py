"""Serve the built page on localhost as a static host would: gzip, ten minutes of caching, HTML error pages.

Examples:
  python -m export.serve                                  # _site/ on http://127.0.0.1:8000/
  python -m export.serve --isolated                       # with the headers that threads need
  python -m export.serve --base-path /repo/ --port 0      # under a sub-path, as GitHub project sites are; any free port
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from export.core.console import run, say
from export.core.paths import SITE_OUT
from export.measuring.browser.server import Hosting, make_server, read_base_path


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.serve", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--site", type=Path, default=SITE_OUT, help="the built page (default: %(default)s)")
    p.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0 to be reachable from other machines (default: %(default)s)"
    )
    p.add_argument("--port", type=int, default=8000, help="0 for any free port (default: %(default)s)")
    p.add_argument(
        "--base-path", default="/", metavar="/repo/", help="path of the site on its host (default: %(default)s)"
    )
    p.add_argument(
        "--isolated",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="send the cross-origin isolation headers that threads need; GitHub Pages does not (default: no)",
    )
    return p


def main(argv: Sequence[str] | None = None) -> None:
    """Serve until Ctrl-C."""
    args = parser().parse_args(argv)
    hosting = Hosting(folder=args.site, base_path=read_base_path(args.base_path), isolated=args.isolated, log=True)
    with make_server(hosting, host=args.host, port=args.port) as server:
        say(f"{args.site}/ is at {server.url}   (Ctrl-C to stop)")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            say("\nstopped")


if __name__ == "__main__":
    run(main)
