"""List the commands: `python -m export`."""

from export import __version__
from export.core.console import say

COMMANDS = {
    "build": "model + recipes → verified artifacts → the page in _site/",
    "quantize": "one file with a model's integers, scales and everything else that it needs",
    "evaluate": "accuracy, size and calibration cost of recipes, in one table",
    "measure": "the built page in a real browser → measurements.json → its results page",
    "serve": "the page on localhost, as a static host would serve it",
    "readme": "the tables of README.md and docs/results.md, from measurements and evaluations",
    "train": "the embedded model, a ResNet, or quantized versions of either (QAT), on Fashion-MNIST",
}


def main() -> None:
    """Print every command with what it does."""
    say(f"ViT Pages {__version__}: a Vision Transformer in a static page, quantized, verified, measured\n")
    for name, purpose in COMMANDS.items():
        say(f"  python -m export.{name:<8} {purpose}")
    say("\nEach has --help with examples. Start with:  python -m export.build --model fashion")


if __name__ == "__main__":
    main()
