"""Quantize a model into one self-contained file of integers, scales and everything else it needs.

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

from export.core.console import run, say
from export.core.errors import RequestError
from export.core.figures.units import format_bytes
from export.core.files import replacing_file
from export.core.paths import ARTIFACTS
from export.models.catalog import DEFAULT_MODEL
from export.models.choice.options import add_model_options, read_model, requested_model
from export.pipeline.build import quantize
from export.pipeline.formats import FORMATS
from export.pipeline.store import Store
from export.quantization.methods import METHODS
from export.quantization.recipe_options import add_recipe_options, read_recipe
from export.quantization.resources import add_resource_options, read_resources

EXPORTS = {Path(format.file).suffix: format for format in FORMATS.values() if format.file}


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    methods = "\n".join(f"  {method.name:<18} {method.note}" for method in METHODS.values())
    p = argparse.ArgumentParser(
        prog="python -m export.quantize",
        description=__doc__,
        epilog=f"methods, each at 3 to 8 bits (recipes are named wB_METHOD or wBaB_METHOD):\n{methods}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--model",
        metavar="NAME",
        help="catalog name, timm/NAME, a folder saved by transformers or timm, or hf_hub:USER/REPO "
        f"(default: what --checkpoint says, else {DEFAULT_MODEL})",
    )
    add_model_options(p)
    p.add_argument("--data", type=Path, metavar="DIR", help="images to calibrate on: a folder, .zip or .tar")
    add_recipe_options(p)
    add_resource_options(p)
    p.add_argument(
        "--artifacts", type=Path, default=ARTIFACTS, help="folder of converted models (default: %(default)s)"
    )
    p.add_argument(
        "--out",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="copy the result here, in the format of the suffix: .safetensors (packed integers), .onnx or .tflite; "
        "repeatable",
    )
    p.add_argument("--force", action="store_true", help="quantize again even if nothing has changed")
    return p


def main(argv: Sequence[str] | None = None) -> None:
    """Quantize, copy the files requested, and print their sizes."""
    args, started = parser().parse_args(argv), time.perf_counter()
    for path in args.out:
        if path.suffix not in EXPORTS:
            raise RequestError(f"--out {path}: unknown suffix", hint=f"known suffixes: {', '.join(EXPORTS)}")
    recipe, resources = read_recipe(args), read_resources(args)
    request = read_model(args, requested_model(args, args.model, DEFAULT_MODEL))
    store = Store(args.artifacts)
    say(f"{request.name}: {recipe.title}")
    formats = tuple(dict.fromkeys(EXPORTS[path.suffix].name for path in args.out)) or ("safetensors",)
    quantize(request, recipe, formats, store, force=args.force, data=args.data, resources=resources)
    made = {
        suffix: store.folder(request.name, recipe.name, format.name) / format.file for suffix, format in EXPORTS.items()
    }
    for path in args.out:
        with replacing_file(path) as partial:
            shutil.copyfile(made[path.suffix], partial)
    say(f"done in {time.perf_counter() - started:.1f} s")
    for path in args.out or [made[".safetensors"]]:
        say(f"  {format_bytes(path.stat().st_size):>8}  {path}")


if __name__ == "__main__":
    run(main)
