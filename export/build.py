"""Build the page: model + recipes → verified artifacts → _site/.

Examples:
  python -m export.build                                         # the embedded model of photographs
  python -m export.build --model deit_t --recipe u8,f32          # pretrained weights, downloaded
  python -m export.build --model deit_t --weights random         # untrained: real sizes and latency, not predictions
  python -m export.build --model deit_s --checkpoint my.safetensors --labels my_labels.txt
  python -m export.build --checkpoint my-vit/                    # a folder saved by Hugging Face transformers, or timm
  python -m export.build --model hf_hub:USER/REPO                # such a repository of the model hub
  python -m export.build --config my_page/vit-pages.toml         # what a file says
"""

import argparse
import time
from collections.abc import Sequence

from export.core.console import run, say
from export.core.paths import INSTALLED
from export.page.site import BuildRequest, build_site
from export.publishing.build_request import read_build
from export.publishing.options import build_parser

SERVE = "vit-pages serve" if INSTALLED else "python -m export.serve"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    return build_parser("python -m export.build", __doc__)


def read_request(argv: Sequence[str] | None) -> BuildRequest:
    """Turn command line and configuration into a request; raises `RequestError` for invalid options."""
    return read_build(parser(), argv)


def main(argv: Sequence[str] | None = None) -> None:
    """Build the page and report its size."""
    request, started = read_request(argv), time.perf_counter()
    report = build_site(request)
    for line in report.lines():
        say(f"  {line}")
    say(f"done in {time.perf_counter() - started:.1f} s → {request.out}/   view it with: {SERVE}")


if __name__ == "__main__":
    run(main)
