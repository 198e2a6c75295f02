"""Evaluate recipes on one model: accuracy, agreement with the float model, SQNR, size and calibration cost.

Examples:
  python -m export.evaluate                                            # all methods and bit widths, embedded model
  python -m export.evaluate --recipe w8a8_ptq4vit,w4_gptq --limit 2000
  python -m export.evaluate --model deit_t --data imagenet/val --recipe w8a8_ptq4vit --calibration-data imagenet/train
  python -m export.evaluate --model dino_s --data imagenette/val       # no head: k-NN and linear probe
  python -m export.evaluate --confidence --model deit_t --data imagenet/val --unknown noise,text
  python -m export.evaluate --compare-devices --recipe w8a8_gptq,w8a8_ptq4vit      # calibration: GPU against CPU

With --confidence, the temperature of softmax and the threshold below which an image is called unknown are fitted on
half of the labelled images and measured on the others. export.build --confidence takes the file.

Rows are saved one by one; run the same command again to resume after an interruption.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from export.core.console import run, say
from export.core.errors import RequestError
from export.core.paths import ARTIFACTS
from export.models.choice.options import add_model_options, read_model, requested_model
from export.page.reports.evaluation_tables import confidence_section, verdicts
from export.pipeline.build import float_artifact
from export.pipeline.store import Store
from export.quantization.evaluation.device_records import check
from export.quantization.evaluation.records import markdown
from export.quantization.evaluation.selection import ALL, BASELINES, select_recipes
from export.quantization.recipes import Recipe
from export.quantization.resources import find_device

DEFAULT = "fashion"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--model",
        metavar="NAME",
        help="catalog name, timm/NAME, a folder saved by transformers or timm, or hf_hub:USER/REPO "
        f"(default: what --checkpoint says, else {DEFAULT})",
    )
    add_model_options(p)
    p.add_argument(
        "--recipe", default=ALL, metavar="A,B", help=f"recipes, {', '.join(BASELINES)}, or {ALL} (default: %(default)s)"
    )
    p.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="images to evaluate on: a folder of class folders or of images, .zip or .tar (default: the model's own)",
    )
    p.add_argument("--calibration-data", type=Path, metavar="DIR", help="images to calibrate on")
    p.add_argument("--limit", type=int, metavar="N", help="use at most N images, drawn evenly from the classes")
    _add_confidence_options(p)
    p.add_argument(
        "--artifacts", type=Path, default=ARTIFACTS, help="folder of converted models (default: %(default)s)"
    )
    p.add_argument(
        "--out", type=Path, default=ARTIFACTS, metavar="DIR", help="folder for the table (default: %(default)s)"
    )
    p.add_argument(
        "--compare-devices",
        action="store_true",
        help="only compare what calibration chooses on the GPU, and how long it takes, with the CPU",
    )
    return p


def _add_confidence_options(p: argparse.ArgumentParser) -> None:
    p.add_argument("--confidence", action="store_true", help="fit when a prediction can be believed, not recipes")
    p.add_argument(
        "--unknown",
        type=_paths,
        default=(),
        metavar="DIR,…",
        help="with --confidence: folders or archives of images of none of the classes, to measure how many are noticed",
    )
    p.add_argument(
        "--quantized",
        type=_paths,
        default=(),
        metavar="FILE,…",
        help="with --confidence: integer artifacts of the model, to measure their false alarms",
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Evaluate, and print the table."""
    args = parser().parse_args(argv)
    if args.confidence:
        _fit_confidence(args, sys.argv[1:] if argv is None else argv)
        return
    if args.unknown or args.quantized:
        raise RequestError("--unknown and --quantized are for --confidence", hint="add --confidence, or leave them out")
    if args.compare_devices:
        find_device("cuda")  # before any work is done
    recipes = select_recipes(args.recipe)
    request = read_model(args, requested_model(args, args.model, DEFAULT))
    folder = float_artifact(request, Store(args.artifacts))
    if args.compare_devices:
        _compare_devices(folder, recipes, args.calibration_data, args.out / "devices.json")
        return
    from export.quantization.evaluation.run import evaluate  # brings PyTorch

    path = args.out / f"evaluation-{request.name}.json"
    table = evaluate(
        folder, recipes, data=args.data, calibration_data=args.calibration_data, limit=args.limit, path=path
    )
    say(markdown(table))
    say()
    for verdict in verdicts(table):
        say(verdict.line())
    say(f"\n→ {path} and {path.with_suffix('.md').name}")


def _paths(text: str) -> tuple[Path, ...]:
    return tuple(Path(part) for part in text.split(",") if part)


def _fit_confidence(args: argparse.Namespace, words: Sequence[str]) -> None:
    """Fit and measure a confidence, and print its figures."""
    request = read_model(args, requested_model(args, args.model, DEFAULT))
    folder = float_artifact(request, Store(args.artifacts))
    from export.quantization.evaluation.confidence_run import evaluate_confidence  # brings PyTorch

    path = args.out / f"confidence-{request.name}.json"
    file = evaluate_confidence(
        folder,
        data=args.data,
        unknown=args.unknown,
        quantized=args.quantized,
        limit=args.limit,
        command=shlex.join(["python", "-m", "export.evaluate", *words]),
        path=path,
    )
    say(confidence_section(file))
    say(f"\n→ {path}, for python -m export.build --confidence")


def _compare_devices(folder: Path, recipes: Sequence[Recipe | str], data: Path | None, path: Path) -> None:
    from export.quantization.evaluation.devices import compare_devices  # brings PyTorch

    calibrated = [recipe for recipe in recipes if not isinstance(recipe, str)]
    table = compare_devices(folder, calibrated, data=data, path=path)
    say(f"\n→ {path}")
    check(table)


if __name__ == "__main__":
    run(main)
