"""Compare models and recipes: size, accuracy and throughput as tables and plots, from a grid of resumable jobs.

Examples:
  python -m export.compare                                     # BasePTQ, PTQ4ViT and PyTorch's own; the embedded model
  python -m export.compare --model vit_t,deit_t --recipe w8a8_basic,w8a8_ptq4vit,torch_ao_dynamic --data imagenet/val
  python -m export.compare --ablation --seeds 0,1,2            # every combination of PTQ4ViT's steps, at 8 and 6 bits
  python -m export.compare --recipe w6a6_ptq4vit --images 32,128 --seeds 0,1,2
  python -m export.compare --recipe w4a4_quarot --steps        # what each step of a method gives
  python -m export.compare --model dino_s --recipe torch_ao_dynamic,torch_ao_dynamic_linear --data imagenette/val
  python -m export.compare --peers                             # ONNX Runtime and torchao beside the browser
  python -m export.compare --ray local --recipe all            # the jobs on a Ray cluster
  python -m export.compare --redraw                            # tables and plots again from what is kept
  python -m export.compare --bitwidths artifacts/trained/resnet18/table.json

Each job's result is a file; run the same command again to resume, even after kill -9: nothing is done twice.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from export.comparing.options import read_crew, read_request
from export.comparing.session import compare, draw_bitwidths, redraw
from export.comparing.variations import ALL, DEFAULT
from export.core.console import run
from export.core.environment.extras import MODULES, require
from export.core.errors import RequestError
from export.core.paths import ARTIFACTS
from export.models.choice.options import add_model_options
from export.quantization.evaluation.selection import BASELINES

OUT = ARTIFACTS / "compare"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--model", default="fashion", metavar="A,B", help="catalog names or timm/NAME (default: %(default)s)"
    )
    add_model_options(p)
    p.add_argument(
        "--recipe",
        metavar="A,B",
        help=f"recipes, {', '.join(BASELINES)}, or {ALL}; f32 is always there (default: {DEFAULT}; "
        "with --ablation: none)",
    )
    p.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="images to evaluate on: a folder of class folders or of images, .zip or .tar (default: the model's own)",
    )
    p.add_argument("--calibration-data", type=Path, metavar="DIR", help="images to calibrate on")
    p.add_argument("--limit", type=int, metavar="N", help="use at most N images, drawn evenly from the classes")
    p.add_argument("--artifacts", type=Path, default=ARTIFACTS, help="folder of float models (default: %(default)s)")
    p.add_argument("--out", type=Path, default=OUT, metavar="DIR", help="folder for all results (default: %(default)s)")
    _add_studies(p.add_argument_group("studies"))
    _add_timing(p.add_argument_group("timing"))
    _add_jobs(p.add_argument_group("jobs"))
    again = p.add_argument_group("without any measurement")
    again.add_argument("--redraw", action="store_true", help="only write tables and plots again from --out")
    again.add_argument(
        "--bitwidths", type=Path, metavar="FILE", help="only draw the curves of export.train --qat, from its table.json"
    )
    return p


def _add_studies(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--ablation",
        nargs="?",
        const="ptq4vit",
        metavar="METHOD",
        help="all combinations of a method's steps: Hessian, softmax twin, GELU twin (default: %(const)s)",
    )
    group.add_argument("--bits", type=_numbers, metavar="B,…", help="widths of the ablation (default: 8,6)")
    group.add_argument(
        "--steps",
        action="store_true",
        help="also every recipe without some steps of its method, or any: the fold, the shift, the compensation",
    )
    group.add_argument("--images", type=_numbers, default=(), metavar="N,…", help="numbers of calibration images")
    group.add_argument("--seeds", type=_numbers, default=(), metavar="S,…", help="seeds for drawing them")
    group.add_argument("--candidates", type=int, metavar="N", help="number of scales that a search compares")
    group.add_argument(
        "--row-groups",
        type=_numbers,
        default=(),
        metavar="N,…",
        help="groups of rows with a scale each, of recipes that search one per tensor (PTQ4ViT's n_V)",
    )


def _add_timing(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--rounds", type=int, default=7, help="rounds of timing; 0 for none (default: %(default)s)")
    group.add_argument(
        "--peers", action="store_true", help="also time ONNX Runtime, torchao and the page in Chromium, in one run"
    )


def _add_jobs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes; 0: in this one (default: one for each GPU, else one for each core)",
    )
    group.add_argument("--memory", metavar="SIZE", help="memory for all jobs together (default: what is free)")
    group.add_argument(
        "--ray", metavar="ADDRESS", help="do the jobs on this Ray cluster; auto: the one here; local: a new one"
    )


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers, such as 32,128")
    return tuple(dict.fromkeys(int(part) for part in parts))


def _check_alone(args: argparse.Namespace, option: str) -> None:
    """Raise `RequestError` for options that have no meaning where nothing is measured."""
    plain = vars(parser().parse_args([]))
    given = [name for name, value in vars(args).items() if value != plain[name] and name not in (option, "out")]
    if given:
        raise RequestError(
            f"--{given[0].replace('_', '-')} does not apply to --{option}, which only draws what is kept",
            hint="leave it out",
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Compare, and write tables and plots."""
    words = sys.argv[1:] if argv is None else argv
    args = parser().parse_args(argv)
    for option in ("redraw", "bitwidths"):
        if getattr(args, option):
            _check_alone(args, option)
    if args.redraw:
        redraw(args.out)
    elif args.bitwidths:
        draw_bitwidths(args.bitwidths, args.out)
    else:
        require("compare", *MODULES["quantize"], "matplotlib")
        command = shlex.join(["python", "-m", "export.compare", *words])
        compare(read_request(args), read_crew(args), ray=args.ray, command=command)


if __name__ == "__main__":
    run(main)
