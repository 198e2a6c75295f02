"""Quantize a model into one file that holds integers, scales and everything else it needs.

Examples:
  python -m export.quantize --recipe w8a8_ptq4vit --out model.safetensors
  python -m export.quantize --model deit_t --recipe w4_gptq --data photos/ --out deit_t.safetensors --out deit_t.onnx
  python -m export.quantize --method gptq --weights-bits 4 --rule head=8 --rule 'blocks.0.*=8' --out mixed.safetensors
"""

import argparse
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from msgspec.structs import replace

from export.core.console import run, say
from export.core.errors import ArtifactError, RequestError
from export.core.files import replacing_file
from export.core.paths import ARTIFACTS
from export.core.units import format_bytes
from export.models.request import ModelRequest
from export.pipeline.build import quantize
from export.pipeline.store import Store
from export.quantization.methods import METHODS, Calibration, LayerRule, Metric
from export.quantization.recipes import Recipe, find_recipe, quantizing

# Suffix → format and file of the artifact.
FORMATS = {
    ".safetensors": ("safetensors", "model.safetensors"),
    ".onnx": ("qdq", "model.onnx"),
    ".tflite": ("tflite", "model.tflite"),
}
RULE = "PATTERN=W or PATTERN=W,A"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    methods = "\n".join(f"  {method.name:<18} {method.note}" for method in METHODS.values())
    p = argparse.ArgumentParser(
        prog="python -m export.quantize",
        description=__doc__,
        epilog=f"methods, at 3 to 8 bits each (recipes are named wB_METHOD or wBaB_METHOD):\n{methods}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--model", default="fashion", help="catalog name or timm/NAME (default: %(default)s)")
    p.add_argument("--weights", choices=("pretrained", "random"), help="pretrained (default) or random")
    p.add_argument("--checkpoint", type=Path, metavar="FILE", help="your own weights")
    p.add_argument("--labels", type=Path, metavar="FILE", help="class names, one a line or as JSON")
    p.add_argument("--data", type=Path, metavar="DIR", help="calibration images: a folder, .zip or .tar")
    which = p.add_mutually_exclusive_group(required=True)
    which.add_argument("--recipe", help="w8a8_ptq4vit, w4_gptq …, or a .json file of a recipe")
    which.add_argument(
        "--method", choices=METHODS, help="the method alone; bits by --weights-bits and --activation-bits"
    )
    p.add_argument("--weights-bits", type=int, metavar="B", help="with --method (default: 8)")
    p.add_argument("--activation-bits", type=int, metavar="B", help="with --method (default: float activations)")
    p.add_argument(
        "--rule",
        action="append",
        default=[],
        metavar=RULE,
        help="other bits for layers by name or role, - for float: 'blocks.0.*=8,8', head=8, stem=-; repeatable, the "
        "first match counts",
    )
    p.add_argument("--metric", choices=get_args(Metric), help="objective that a search minimises")
    p.add_argument("--calibration", type=int, metavar="N", help="number of calibration images")
    p.add_argument("--seed", type=int, help="of drawing calibration images and sampling labels")
    p.add_argument("--candidates", type=int, metavar="N", help="number of scales that a search tries")
    p.add_argument("--rounds", type=int, metavar="N", help="of a search of weights and inputs in turn")
    p.add_argument("--search-range", metavar="LO,HI", help="of candidate scales, as factors of the full range's")
    p.add_argument("--percentile", type=float, metavar="P", help="of activations within the range, such as 99.999")
    p.add_argument("--smooth", type=float, metavar="A", help="SmoothQuant's migration strength, 0 to 1")
    p.add_argument("--artifacts", type=Path, default=ARTIFACTS, help="where models are kept (default: %(default)s)")
    p.add_argument(
        "--out",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a copy of the result, by its suffix: .safetensors (packed integers), .onnx or .tflite; repeatable",
    )
    p.add_argument("--force", action="store_true", help="quantize again although nothing has changed")
    return p


def read_recipe(args: argparse.Namespace) -> Recipe:
    """Return the recipe that the options describe; raises `RequestError` for one that cannot be."""
    if args.method:
        named = quantizing(METHODS[args.method], args.weights_bits or 8, args.activation_bits)
    elif args.weights_bits or args.activation_bits:
        raise RequestError(
            f"--recipe {args.recipe} says its bits itself", hint="use --method with --weights-bits, or leave them out"
        )
    else:
        named = find_recipe(args.recipe)
    how = named.quantization
    if how is None:
        raise RequestError(f"--recipe {named.name} only stores, it does not quantize", hint="for instance w8a8_ptq4vit")
    calibration = replace(how.calibration, **_calibration(args))
    rules = (*(read_rule(text) for text in args.rule), *how.rules)
    if (calibration, rules) == (how.calibration, how.rules):
        return named
    chosen = replace(how, calibration=calibration, rules=rules)
    return replace(named, quantization=chosen, name=f"{named.name}_custom", title=f"{named.title}, with own options")


def _calibration(args: argparse.Namespace) -> dict[str, Any]:
    names = {name: name for name in Calibration.__struct_fields__} | {"images": "calibration"}
    found = {name: value for name, option in names.items() if (value := getattr(args, option)) is not None}
    if args.search_range is not None:
        try:
            found["search_range"] = tuple(float(part) for part in args.search_range.split(","))
        except ValueError:
            raise RequestError(f"--search-range {args.search_range!r} is not two numbers LO,HI") from None
    for name, value in found.items():
        try:
            Calibration.from_json({name: value})
        except ArtifactError as error:
            option = names[name].replace("_", "-")
            raise RequestError(f"--{option} {getattr(args, names[name])}: {error}") from error
    return found


def read_rule(text: str) -> LayerRule:
    """Read `PATTERN=W` or `PATTERN=W,A`, `-` meaning float; raises `RequestError`."""
    pattern, _, bits = text.rpartition("=")
    parts = bits.split(",")
    if not pattern or len(parts) > 2 or not all(part == "-" or part in "345678" for part in parts) or "" in parts:
        raise RequestError(f"--rule {text!r}", hint=f"{RULE}, with 3 to 8 bits or - for float: 'blocks.0.*=8,8'")
    weight, activation = (None if part == "-" else int(part) for part in (*parts, "-")[:2])
    return LayerRule(pattern=pattern, weight_bits=weight, activation_bits=activation)


def main(argv: Sequence[str] | None = None) -> None:
    """Quantize, and say what came of it."""
    args, started = parser().parse_args(argv), time.perf_counter()
    for path in args.out:
        if path.suffix not in FORMATS:
            raise RequestError(f"--out {path}: a quantized model is {', '.join(FORMATS)}")
    recipe = read_recipe(args)
    request = ModelRequest(model=args.model, weights=args.weights, checkpoint=args.checkpoint, labels=args.labels)
    store = Store(args.artifacts)
    say(f"{request.name}: {recipe.title}")
    formats = tuple(dict.fromkeys(FORMATS[path.suffix][0] for path in args.out)) or ("safetensors",)
    quantize(request, recipe, formats, store, force=args.force, data=args.data)
    made = {
        suffix: store.folder(request.name, recipe.name, format) / file for suffix, (format, file) in FORMATS.items()
    }
    for path in args.out:
        with replacing_file(path) as partial:
            shutil.copyfile(made[path.suffix], partial)
    say(f"done in {time.perf_counter() - started:.1f} s")
    for path in args.out or [made[".safetensors"]]:
        say(f"  {format_bytes(path.stat().st_size):>8}  {path}")


if __name__ == "__main__":
    run(main)
