"""Analyse what quantization does to each layer of a model, and choose bits for each layer.

Examples:
  python -m export.analyze                                          # the embedded model, w4a8_gptq
  python -m export.analyze --model deit_t --data imagenet/val --recipe w8a8_minmax --worst 8
  python -m export.analyze --recipe w8a8_affine --everything        # additions, LayerNorm and GELU in integers too
  python -m export.analyze --recipe w4a8_gptq --budget 4            # bits by layer, 4 a weight on average
  python -m export.analyze --budget 7.2MB --bits 3,4,5,6,8
  python -m export.analyze --min-sqnr-db 20

Without a budget: the outputs when one layer at a time, or one kind of its tensors, is quantized; every layer's output
when all are; histograms and outliers of weights and activations. Rows are saved one by one; run the same command again
to resume. With a budget or an SQNR: a recipe with bits by layer, which export.build, export.quantize and
export.evaluate take with --recipe FILE.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from export.core.console import run, say
from export.core.environment.extras import MODULES, require
from export.core.errors import RequestError
from export.core.paths import ARTIFACTS
from export.models.choice.options import add_model_options, read_model
from export.pipeline.build import float_artifact
from export.pipeline.store import Store
from export.quantization.methods import BITS
from export.quantization.recipes import Recipe, find_recipe

NEEDED = (*MODULES["quantize"], "matplotlib", "scipy")
UNITS = {"MB": 1_000_000, "kB": 1_000, "B": 1}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.analyze", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--model", default="photos", help="catalog name or timm/NAME (default: %(default)s)")
    add_model_options(p)
    p.add_argument("--recipe", default="w4a8_gptq", help="what is analysed (default: %(default)s)")
    p.add_argument(
        "--data", type=Path, metavar="DIR", help="images: class folders, .zip or .tar (default: the model's)"
    )
    p.add_argument("--calibration-data", type=Path, metavar="DIR", help="images to calibrate on")
    p.add_argument("--limit", type=int, metavar="N", help="use at most N images (default: 256)")
    p.add_argument("--worst", type=int, default=5, metavar="N", help="layers that the suggestion names (default: 5)")
    p.add_argument(
        "--everything", action="store_true", help="also quantize additions, LayerNorm and GELU, step by step"
    )
    group = p.add_argument_group("bits by layer")
    limit = group.add_mutually_exclusive_group()
    limit.add_argument("--budget", metavar="B", help="average bits of a weight (4), or bytes of all weights (7.2MB)")
    limit.add_argument("--min-sqnr-db", type=float, metavar="DB", help="the fewest bytes with this SQNR of the outputs")
    group.add_argument("--bits", metavar="B,…", help="which bits a layer may have (default: 3,4,5,6,8)")
    p.add_argument(
        "--artifacts", type=Path, default=ARTIFACTS, help="folder of converted models (default: %(default)s)"
    )
    p.add_argument(
        "--out", type=Path, default=ARTIFACTS, metavar="DIR", help="folder for tables (default: %(default)s)"
    )
    return p


def main(argv: Sequence[str] | None = None) -> None:
    """Analyse, and print what was found."""
    args = parser().parse_args(argv)
    require("analyze", *NEEDED)
    recipe = find_recipe(args.recipe)
    mixes = args.budget is not None or args.min_sqnr_db is not None
    widths = read_widths(args.bits)
    if args.bits and not mixes:
        raise RequestError("--bits has no effect without a limit", hint="add --budget or --min-sqnr-db")
    if args.everything and mixes:
        raise RequestError("--everything is no part of choosing bits", hint="run it as a command of its own")
    if (args.limit is not None and args.limit < 1) or args.worst < 1:
        raise RequestError("--limit and --worst are at least 1", hint="for instance --limit 256 --worst 5")
    size, average = read_budget(args.budget)
    folder = float_artifact(read_model(args, args.model), Store(args.artifacts))
    command = shlex.join(["python", "-m", "export.analyze", *(sys.argv[1:] if argv is None else argv)])
    if mixes:
        _choose_bits(args, folder, recipe, widths, (size, average), command)
    else:
        _analyse(args, folder, recipe, command)


def read_widths(text: str | None) -> tuple[int, ...]:
    """Read `3,4,8`; raises `RequestError` for bits that weights cannot have."""
    parts = (text or "3,4,5,6,8").split(",")
    if not all(part.strip().isdigit() and int(part) in BITS for part in parts) or len(set(parts)) < 2:
        raise RequestError(f"--bits {text!r}", hint=f"two or more of {BITS[0]} to {BITS[-1]}, for instance 3,4,8")
    return tuple(sorted({int(part) for part in parts}))


def read_budget(text: str | None) -> tuple[int | None, float | None]:
    """Read bytes (`7.2MB`) or bits a weight (`4.5`), None for neither; raises `RequestError`."""
    if text is None:
        return None, None
    unit = next((unit for unit in UNITS if text.endswith(unit)), None)
    try:
        number = float(text.removesuffix(unit or ""))
    except ValueError:
        number = -1.0
    if unit is None and BITS[0] <= number <= BITS[-1]:
        return None, number
    if unit is None or number <= 0:
        raise RequestError(f"--budget {text!r}", hint=f"bits a weight, {BITS[0]} to {BITS[-1]}, or bytes such as 7.2MB")
    return int(number * UNITS[unit]), None


def _analyse(args: argparse.Namespace, folder: Path, recipe: Recipe, command: str) -> None:
    from export.quantization.analysis.plots import draw_analysis
    from export.quantization.analysis.report import markdown
    from export.quantization.analysis.run import analyse, open_subject, worst_layers, write_text

    with open_subject(folder, data=args.data, calibration_data=args.calibration_data, limit=args.limit) as subject:
        path = args.out / f"analysis-{subject.spec.name}-{recipe.name}.json"
        analysis = analyse(subject, recipe, ladder=args.everything, command=command, path=path)
    text = markdown(analysis, worst_layers(analysis, args.worst))
    write_text(text, path.with_suffix(".md"))
    drawn = draw_analysis(analysis, path)
    say(text)
    say(f"→ {', '.join(str(file) for file in (path, path.with_suffix('.md'), *drawn))}")


def _choose_bits(
    args: argparse.Namespace,
    folder: Path,
    recipe: Recipe,
    widths: tuple[int, ...],
    budget: tuple[int | None, float | None],
    command: str,
) -> None:
    from export.quantization.analysis.mix import mix
    from export.quantization.analysis.mixed_precision import Limit
    from export.quantization.analysis.report import mixed_markdown
    from export.quantization.analysis.run import open_subject, write_json, write_text

    with open_subject(folder, data=args.data, calibration_data=args.calibration_data, limit=args.limit) as subject:
        limit = Limit(bytes=budget[0], sqnr_db=args.min_sqnr_db)
        chosen, mixed = mix(subject, recipe, widths, limit, average=budget[1], command=command)
    path = args.out / f"mixed-{mixed.model}-{chosen.name}.json"
    write_json(mixed, path)
    write_text(mixed_markdown(mixed) + "\n", path.with_suffix(".md"))
    own = args.out / f"{chosen.name}-{mixed.model}.json"
    write_json(chosen, own)
    say(mixed_markdown(mixed))
    say(f"\n→ {path}, {path.with_suffix('.md')}; the recipe: --recipe {own}")


if __name__ == "__main__":
    run(main)
