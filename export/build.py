"""Build the page: model + recipes → verified artifacts → _site/.

Examples:
  python -m export.build                                         # the embedded Fashion-MNIST model
  python -m export.build --model deit_t --recipe u8,f32          # with a model hub in reach
  python -m export.build --model deit_t --weights random         # without: sizes and latency are real, answers are not
  python -m export.build --model deit_s --checkpoint my.safetensors --labels my_labels.txt
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.core.console import run, say, stage
from export.core.errors import RequestError
from export.core.paths import ARTIFACTS, BENCHMARK, MEASUREMENTS, SITE_OUT
from export.core.records import Artifact
from export.models.request import ModelRequest
from export.page.bundle import make_bundle
from export.page.inventory import variant_id
from export.page.render import RenderReport, render
from export.pipeline.build import convert
from export.pipeline.runtimes import AUTO, ENGINES, find_engines
from export.pipeline.store import Store
from export.quantization.recipes import DEFAULT_RECIPES, Recipe, find_recipe, find_recipes


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build, from what, and where to put it."""

    models: tuple[ModelRequest, ...]
    recipes: tuple[Recipe, ...] = tuple(find_recipe(name) for name in DEFAULT_RECIPES)
    engines: tuple[str, ...] = (AUTO,)
    data: Path | None = None
    artifacts: Path = ARTIFACTS
    measurements: Path = MEASUREMENTS
    benchmark: Path = BENCHMARK
    out: Path = SITE_OUT
    force: bool = False


def build(request: BuildRequest) -> RenderReport:
    """Make what is missing, verify it, and put the rendered page in place; nothing is changed on failure."""
    store = Store(request.artifacts)
    made: list[Artifact] = []
    for model in request.models:
        say(f"{model.name}: {', '.join(recipe.name for recipe in request.recipes)}")
        made += convert(model, request.recipes, store, force=request.force, engines=request.engines, data=request.data)
    with stage("bundle the page's scripts"):
        bundle = make_bundle()
    with stage("render the page"):
        return render(
            artifacts=request.artifacts,
            models=[model.name for model in request.models],
            recipes=[recipe.name for recipe in request.recipes],
            bundle=bundle,
            measurements=request.measurements if request.measurements.exists() else None,
            variants={variant_id(artifact) for artifact in made},
            benchmark=request.benchmark if request.benchmark.exists() else None,
            out=request.out,
        )


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.build", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--model", action="append", metavar="NAME", help="catalog name or timm/NAME; repeatable (default: fashion)"
    )
    p.add_argument(
        "--recipe",
        default=",".join(DEFAULT_RECIPES),
        metavar="A,B",
        help="what is stored: u8, f16, f32, or quantized, as w8a8_ptq4vit or w4_gptq; python -m export.quantize --help "
        "lists the methods (default: %(default)s)",
    )
    p.add_argument("--data", type=Path, metavar="DIR", help="images to calibrate on: a folder, .zip or .tar")
    p.add_argument(
        "--engine",
        default=AUTO,
        metavar="A,B",
        help=f"what runs it: {AUTO} (the fastest for each recipe), or of {', '.join(ENGINES)} (default: %(default)s)",
    )
    p.add_argument(
        "--weights",
        choices=("pretrained", "random"),
        help="pretrained (default) or random: an untrained model of the same shape",
    )
    p.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="your own weights: .safetensors, or .pth/.pt of tensors only"
    )
    p.add_argument("--labels", type=Path, metavar="FILE", help="class names, one a line or as JSON")
    p.add_argument(
        "--artifacts", type=Path, default=ARTIFACTS, help="where converted models are kept (default: %(default)s)"
    )
    p.add_argument(
        "--measurements", type=Path, default=MEASUREMENTS, help="figures for the page (default: %(default)s)"
    )
    p.add_argument(
        "--benchmark",
        type=Path,
        default=BENCHMARK,
        help="a comparison of all engines for the page (default: %(default)s)",
    )
    p.add_argument("--out", type=Path, default=SITE_OUT, help="the page (default: %(default)s)")
    p.add_argument("--force", action="store_true", help="convert again although nothing has changed")
    return p


def read_request(argv: Sequence[str] | None) -> BuildRequest:
    """Turn the command line into a request; raises `RequestError` for what cannot be met."""
    args = parser().parse_args(argv)
    names = tuple(dict.fromkeys(args.model or ["fashion"]))
    if len(names) > 1 and (args.checkpoint or args.labels):
        raise RequestError(
            "--checkpoint and --labels belong to one model, but several are named", hint="build them one by one"
        )
    models = tuple(
        ModelRequest(model=name, weights=args.weights, checkpoint=args.checkpoint, labels=args.labels) for name in names
    )
    if args.data is not None and not args.data.exists():
        raise RequestError(f"--data {args.data}: there is no such folder or archive")
    return BuildRequest(
        models=models,
        recipes=find_recipes(args.recipe),
        engines=find_engines(args.engine),
        data=args.data,
        artifacts=args.artifacts,
        measurements=args.measurements,
        benchmark=args.benchmark,
        out=args.out,
        force=args.force,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Build and say what came of it."""
    request, started = read_request(argv), time.perf_counter()
    report = build(request)
    for line in report.lines():
        say(f"  {line}")
    say(f"done in {time.perf_counter() - started:.1f} s → {request.out}/   look at it with: python -m export.serve")


if __name__ == "__main__":
    run(main)
