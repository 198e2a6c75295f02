"""Build the page: model + recipes → verified artifacts → _site/.

Examples:
  python -m export.build                                         # the embedded model of photographs
  python -m export.build --model deit_t --recipe u8,f32          # pretrained weights, downloaded
  python -m export.build --model deit_t --weights random         # untrained: real sizes and latency, not predictions
  python -m export.build --model deit_s --checkpoint my.safetensors --labels my_labels.txt
  python -m export.build --checkpoint my-vit/                    # a folder saved by Hugging Face transformers, or timm
  python -m export.build --model hf_hub:USER/REPO                # such a repository of the model hub
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from export.core.console import run, say
from export.core.errors import RequestError
from export.core.paths import ARTIFACTS, BENCHMARK, MEASUREMENTS, SITE_OUT
from export.models.catalog import DEFAULT_MODEL
from export.models.options import add_model_options, check_names, check_one_model, read_model, requested_model
from export.page.site import BuildRequest, build_site
from export.pipeline.runtimes import AUTO, ENGINES, default_recipes, find_engines, passed_over
from export.quantization.recipes import DEFAULT_RECIPES, find_recipes
from export.quantization.resources import add_resource_options, read_resources


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--model",
        action="append",
        metavar="NAME",
        help="catalog name, timm/NAME, a folder saved by transformers or timm, or hf_hub:USER/REPO; repeatable "
        f"(default: what --checkpoint says, else {DEFAULT_MODEL})",
    )
    p.add_argument(
        "--recipe",
        metavar="A,B",
        help="recipes: u8, f16 or f32, which only set how weights are stored, or quantized ones such as "
        "w8a8_ptq4vit and w4_gptq; python -m export.quantize --help lists the methods "
        f"(default: those of {','.join(DEFAULT_RECIPES)} that the engines run)",
    )
    p.add_argument("--data", type=Path, metavar="DIR", help="images to calibrate on: a folder, .zip or .tar")
    add_resource_options(p)
    p.add_argument(
        "--engine",
        default=AUTO,
        metavar="A,B",
        help=f"engines: {AUTO} (for each recipe the fastest that is installed), or any of {', '.join(ENGINES)} "
        "(default: %(default)s)",
    )
    add_model_options(p)
    p.add_argument(
        "--confidence",
        type=Path,
        metavar="FILE",
        help="temperature and threshold, from python -m export.evaluate --confidence: the page says when an image is "
        "probably of none of the classes",
    )
    p.add_argument(
        "--artifacts", type=Path, default=ARTIFACTS, help="folder of converted models (default: %(default)s)"
    )
    p.add_argument(
        "--measurements",
        type=Path,
        default=MEASUREMENTS,
        help="measurements to show on the page (default: %(default)s)",
    )
    p.add_argument(
        "--benchmark", type=Path, default=BENCHMARK, help="benchmark to show on the page (default: %(default)s)"
    )
    p.add_argument("--out", type=Path, default=SITE_OUT, help="output folder (default: %(default)s)")
    p.add_argument("--force", action="store_true", help="convert again even if nothing has changed")
    return p


def read_request(argv: Sequence[str] | None) -> BuildRequest:
    """Turn the command line into a request; raises `RequestError` for invalid options."""
    args = parser().parse_args(argv)
    names = tuple(dict.fromkeys(args.model or [requested_model(args, None, DEFAULT_MODEL)]))
    check_one_model(args, names)
    models = tuple(replace(read_model(args, name), confidence=args.confidence) for name in names)
    check_names(models)
    if args.data is not None and not args.data.exists():
        raise RequestError(f"--data {args.data}: no such folder or archive", hint="check the path")
    engines = find_engines(args.engine)
    recipes, notes = (find_recipes(args.recipe), ()) if args.recipe is not None else default_recipes(engines)
    return BuildRequest(
        models=models,
        recipes=recipes,
        engines=engines,
        notes=(*notes, *passed_over(recipes, engines)),
        data=args.data,
        resources=read_resources(args),
        artifacts=args.artifacts,
        measurements=args.measurements,
        benchmark=args.benchmark,
        out=args.out,
        force=args.force,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Build the page and report its size."""
    request, started = read_request(argv), time.perf_counter()
    report = build_site(request)
    for line in report.lines():
        say(f"  {line}")
    say(f"done in {time.perf_counter() - started:.1f} s → {request.out}/   view it with: python -m export.serve")


if __name__ == "__main__":
    run(main)
