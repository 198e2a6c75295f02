"""Verify a published page: every file's hash, that its weights decode and run, and that they are those of a model.

Examples:
  python -m export.verify _site                                  # a page that was built here
  python -m export.verify https://example.org/my-page/           # anybody's page
  python -m export.verify _site --model deit_s --checkpoint my.safetensors --labels my_labels.txt
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace

from export.core.console import run, say
from export.core.errors import RequestError, VerificationError
from export.models.catalog import DEFAULT_MODEL
from export.models.choice.options import add_model_options, read_model, requested_model
from export.models.choice.request import ModelRequest
from export.publishing.verification.verify import say_finding, summary, verify_page


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.verify", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("page", metavar="URL_OR_DIR", help="address or folder of the page")
    p.add_argument("--model", metavar="NAME", help="compare with this model: catalog name or timm/NAME")
    p.add_argument("--name", metavar="NAME", help="which of the page's models that is (default: the one of that name)")
    add_model_options(p)
    return p


def read_local(args: argparse.Namespace) -> ModelRequest | None:
    """Return the local model that the page is compared with, if there is one; raises `RequestError`."""
    if args.model is None and args.checkpoint is None:
        defaults = vars(parser().parse_args([args.page]))
        given = [f"--{name.replace('_', '-')}" for name, value in vars(args).items() if value != defaults[name]]
        if given:
            raise RequestError(f"{', '.join(given)} without a model", hint="say which with --model or --checkpoint")
        return None
    return replace(read_model(args, requested_model(args, args.model, DEFAULT_MODEL)), called=args.name or "")


def main(argv: Sequence[str] | None = None) -> None:
    """Verify and report each file; ends with exit code 1 when something differs."""
    args = parser().parse_args(argv)
    verified = verify_page(args.page, read_local(args), say_finding)
    if not verified.passed:
        raise VerificationError(
            summary(verified), hint="build and publish the page again; somebody else's page is not to be trusted"
        )
    say(summary(verified))


if __name__ == "__main__":
    run(main)
