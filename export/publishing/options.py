"""The build's command-line options, each of which `vit-pages.toml` has under the same name."""

import argparse
from pathlib import Path

from export.core.paths import ARTIFACTS, BENCHMARK, MEASUREMENTS, SITE_OUT
from export.models.catalog import DEFAULT_MODEL
from export.models.choice.options import add_model_options
from export.pipeline.runtimes import AUTO, ENGINES
from export.quantization.recipes import DEFAULT_RECIPES
from export.quantization.resources import add_resource_options

CONFIG = "vit-pages.toml"
# Of the whole build; every other option is of one model, and may differ from model to model.
COMMON = ("engine", "device", "memory", "artifacts", "measurements", "benchmark", "out", "force")


def build_parser(program: str, description: str | None) -> argparse.ArgumentParser:
    """Return the command line of the build."""
    p = argparse.ArgumentParser(
        prog=program, description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help=f"what to build, with these options under the same names (default: {CONFIG}, where there is one); what "
        "the command line says comes first",
    )
    add_page_options(p)
    _add_places(p)
    return p


def add_page_options(p: argparse.ArgumentParser) -> None:
    """Declare the options that say what is on the page."""
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
    p.add_argument(
        "--samples",
        type=Path,
        metavar="DIR",
        help="pictures that the page offers for trying the model, with an attribution.toml that says whose they are",
    )
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
    p.add_argument("--name", metavar="NAME", help="the model's name on the page (default: the architecture's)")
    p.add_argument("--title", metavar="TEXT", help="the model's title on the page")
    p.add_argument("--licence", metavar="TEXT", help="licence of the weights, such as CC-BY-4.0")
    p.add_argument("--source", metavar="URL", help="where the model is from")


def _add_places(p: argparse.ArgumentParser) -> None:
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
