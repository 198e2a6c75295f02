"""The command-line options that describe a recipe: declared for argparse, and read into a `Recipe`."""

import argparse
from typing import Any, get_args

from msgspec.structs import replace

from export.core.errors import ArtifactError, RequestError
from export.quantization.methods import METHODS, Calibration, LayerRule, Metric
from export.quantization.recipes import Recipe, find_recipe, quantizing

RULE = "PATTERN=W or PATTERN=W,A"


def add_recipe_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options that `read_recipe` reads."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--recipe", help="w8a8_ptq4vit, w4_gptq …, or a .json file of a recipe")
    which.add_argument("--method", choices=METHODS, help="the method alone; bits are given separately")
    parser.add_argument("--weights-bits", type=int, metavar="B", help="with --method (default: 8)")
    parser.add_argument("--activation-bits", type=int, metavar="B", help="with --method (default: float activations)")
    parser.add_argument(
        "--rule",
        action="append",
        default=[],
        metavar=RULE,
        help="other bits for layers whose name or role matches, - for float: 'blocks.0.*=8,8', head=8, stem=-; "
        "repeatable, the first match wins",
    )
    calibration = parser.add_argument_group("calibration")
    calibration.add_argument("--metric", choices=get_args(Metric), help="objective that the scale search minimises")
    calibration.add_argument("--calibration", type=int, metavar="N", help="number of calibration images")
    calibration.add_argument("--seed", type=int, help="seed for drawing images and sampling labels")
    calibration.add_argument("--candidates", type=int, metavar="N", help="number of candidate scales in the search")
    calibration.add_argument("--rounds", type=int, metavar="N", help="alternating searches of weight and input scales")
    calibration.add_argument(
        "--search-range", metavar="LO,HI", help="range of the candidates, relative to the full range"
    )
    calibration.add_argument(
        "--percentile", type=float, metavar="P", help="percentage of the values that a range covers, such as 99.999"
    )
    calibration.add_argument("--smooth", type=float, metavar="A", help="migration strength of SmoothQuant, 0 to 1")


def read_recipe(args: argparse.Namespace) -> Recipe:
    """Return the recipe that the options describe; raises `RequestError` for one that cannot be."""
    if args.method:
        named = quantizing(METHODS[args.method], args.weights_bits or 8, args.activation_bits)
    elif args.weights_bits or args.activation_bits:
        raise RequestError(
            f"--recipe {args.recipe} already sets the bits", hint="use --method with --weights-bits, or leave them out"
        )
    else:
        named = find_recipe(args.recipe)
    quantization = named.quantization
    if quantization is None:
        raise RequestError(
            f"--recipe {named.name} does not quantize, it only sets the storage type", hint="for instance w8a8_ptq4vit"
        )
    calibration = replace(quantization.calibration, **_read_calibration(args))
    rules = (*(read_rule(text) for text in args.rule), *quantization.rules)
    if (calibration, rules) == (quantization.calibration, quantization.rules):
        return named
    customised = replace(quantization, calibration=calibration, rules=rules)
    return replace(
        named, quantization=customised, name=f"{named.name}_custom", title=f"{named.title}, with custom options"
    )


def _read_calibration(args: argparse.Namespace) -> dict[str, Any]:
    options = {name: name for name in Calibration.__struct_fields__} | {"images": "calibration"}
    changes = {name: value for name, option in options.items() if (value := getattr(args, option)) is not None}
    if args.search_range is not None:
        try:
            changes["search_range"] = tuple(float(part) for part in args.search_range.split(","))
        except ValueError:
            hint = "for instance 0.5,1.2"
            raise RequestError(f"--search-range {args.search_range!r} is not two numbers LO,HI", hint=hint) from None
    for name, value in changes.items():
        try:
            Calibration.from_json({name: value})
        except ArtifactError as error:
            option = options[name].replace("_", "-")
            default = "leave it out for the method's own"
            raise RequestError(f"--{option} {getattr(args, options[name])}: {error}", hint=default) from error
    return changes


def read_rule(text: str) -> LayerRule:
    """Read `PATTERN=W` or `PATTERN=W,A`, `-` meaning float; raises `RequestError`."""
    pattern, _, bits = text.rpartition("=")
    parts = bits.split(",")
    if not pattern or len(parts) > 2 or not all(part == "-" or part in "345678" for part in parts) or "" in parts:
        raise RequestError(
            f"--rule {text!r} is malformed", hint=f"{RULE}, with 3 to 8 bits or - for float: 'blocks.0.*=8,8'"
        )
    weight, activation = (None if part == "-" else int(part) for part in (*parts, "-")[:2])
    return LayerRule(pattern=pattern, weight_bits=weight, activation_bits=activation)
