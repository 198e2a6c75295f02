"""Evaluate recipes on a model: accuracy, agreement with the float model, SQNR, size and cost, in one table.

Examples:
  python -m export.evaluate                                            # all methods and bit widths, embedded model
  python -m export.evaluate --recipe w8a8_ptq4vit,w4_gptq --limit 2000
  python -m export.evaluate --model deit_t --data imagenet/val --recipe w8a8_ptq4vit --calibration-data imagenet/train
  python -m export.evaluate --model dino_s --data imagenette/val       # no head: k-NN and linear probe

Rows are written as they are done; the same command resumes an interrupted evaluation.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from export.core.console import run, say
from export.core.errors import RequestError
from export.core.paths import ARTIFACTS
from export.models.request import ModelRequest
from export.pipeline.build import float_artifact
from export.pipeline.store import Store
from export.quantization.evaluation.records import WIDTHS, check_criteria, markdown
from export.quantization.methods import METHODS
from export.quantization.recipes import find_recipe

BASELINES = ("torchao_dynamic", "torch_ao_dynamic")


def everything() -> list[str]:
    """Return the recipes of every method at each of `WIDTHS` that it supports, and PyTorch's own quantization."""
    names = []
    for width in WIDTHS:
        for method in METHODS.values():
            fits = method.activations != "none" if "a" in width else method.weight_only
            if fits and not method.trains:
                names.append(find_recipe(f"{width}_{method.name}").name)
    return [*names, *BASELINES]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--model", default="fashion", help="catalog name or timm/NAME (default: %(default)s)")
    p.add_argument("--weights", choices=("pretrained", "random"), help="pretrained (default) or random")
    p.add_argument("--checkpoint", type=Path, metavar="FILE", help="your own weights")
    p.add_argument("--labels", type=Path, metavar="FILE", help="class names, one a line or as JSON")
    p.add_argument(
        "--recipe", default="all", metavar="A,B", help=f"recipes, {', '.join(BASELINES)}, or all (default: all)"
    )
    p.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="images to evaluate on: folder of class folders, of images, .zip or .tar (default: the model's own)",
    )
    p.add_argument("--calibration-data", type=Path, metavar="DIR", help="calibration images")
    p.add_argument("--limit", type=int, metavar="N", help="images at most, drawn evenly over the classes")
    p.add_argument("--artifacts", type=Path, default=ARTIFACTS, help="where models are kept (default: %(default)s)")
    p.add_argument("--out", type=Path, default=ARTIFACTS, metavar="DIR", help="for the table (default: %(default)s)")
    return p


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate, and print the table."""
    args = parser().parse_args(argv)
    names = everything() if args.recipe == "all" else [name.strip() for name in args.recipe.split(",") if name.strip()]
    recipes = [name if name in BASELINES else find_recipe(name) for name in dict.fromkeys(names)]
    stored = [recipe.name for recipe in recipes if not isinstance(recipe, str) and recipe.quantization is None]
    if stored or not recipes:
        raise RequestError(
            f"--recipe {args.recipe}: {', '.join(stored) or 'nothing'} is no recipe that quantizes",
            hint="u8, f16 and f32 are measured in the browser, by python -m export.measure",
        )
    request = ModelRequest(model=args.model, weights=args.weights, checkpoint=args.checkpoint, labels=args.labels)
    folder = float_artifact(request, Store(args.artifacts))
    from export.quantization.evaluation.run import evaluate

    path = args.out / f"evaluation-{request.name}.json"
    table = evaluate(
        folder, recipes, data=args.data, calibration_data=args.calibration_data, limit=args.limit, path=path
    )
    say(markdown(table))
    say()
    for line in check_criteria(table):
        say(line)
    say(f"\n→ {path} and {path.with_suffix('.md').name}")


if __name__ == "__main__":
    run(main)
