"""List the commands: `python -m export`."""

from export import __version__
from export.core.console import say

COMMANDS = {
    "build": "build the page: model + recipes → verified artifacts → _site/",
    "quantize": "quantize a model into one self-contained file",
    "evaluate": "compare accuracy, size and calibration cost of recipes in one table",
    "measure": "measure the built page in a real browser and add the figures to it",
    "serve": "serve the page on localhost as a static host would",
    "readme": "fill the tables of README.md and docs/results.md from measurements and evaluations",
    "train": "train a model on your own pictures, or quantized versions of one (QAT) on Fashion-MNIST",
    "data": "get a public data set to train on",
}


def main() -> None:
    """Print every command and what it does."""
    say(f"ViT Pages {__version__}: quantize a Vision Transformer and publish it as a static web page\n")
    for name, purpose in COMMANDS.items():
        say(f"  python -m export.{name:<8} {purpose}")
    say("\nEach command has --help with examples. Start with:  python -m export.build --model fashion")


if __name__ == "__main__":
    main()
