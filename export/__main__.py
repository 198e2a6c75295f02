"""List the commands, or run one: `python -m export build …`, for which an installed package has `vit-pages build …`."""

import difflib
import sys
from collections.abc import Sequence
from importlib import import_module

from export import __version__
from export.core.console import run, say
from export.core.errors import RequestError

COMMANDS = {
    "init": "write a small repository of your own that builds and publishes a page of your model",
    "build": "build the page: model + recipes → verified artifacts → _site/",
    "publish": "check the built page and push it to GitHub Pages",
    "verify": "verify a published page: hashes, weights, and that they are those of a model",
    "quantize": "quantize a model into one self-contained file",
    "evaluate": "compare accuracy, size and calibration cost of recipes in one table",
    "analyze": "find which layers quantization hurts, and choose bits for each layer",
    "compare": "compare models and recipes: tables and plots of size, accuracy and throughput",
    "measure": "measure the built page in a real browser and add the figures to it",
    "serve": "serve the page on localhost as a static host would",
    "readme": "fill the tables of README.md and docs/results.md from measurements and evaluations",
    "train": "train a model on your own pictures, or quantized versions of one (QAT) on Fashion-MNIST",
    "data": "get a public data set to train on",
}
LISTING = ("-h", "--help")


def main() -> None:
    """Run what the command line says; ends the process."""
    run(dispatch)


def dispatch(argv: Sequence[str] | None) -> None:
    """Run the command that comes first, with the rest as its options; without one, print every command."""
    name, *options = (sys.argv[1:] if argv is None else argv) or LISTING[:1]
    if name in LISTING:
        list_commands()
    elif name in COMMANDS:
        module = import_module(f"export.{name}")
        if not hasattr(module, "main"):  # a package that is a command, as data is
            module = import_module(f"export.{name}.__main__")
        module.main(options)
    else:
        near = difflib.get_close_matches(name, COMMANDS, 1)
        raise RequestError(f"{name!r} is not a command", hint=f"commands: {', '.join(near or COMMANDS)}")


def list_commands() -> None:
    """Print every command and what it does."""
    say(f"ViT Pages {__version__}: quantize a Vision Transformer and publish it as a static web page\n")
    for name, purpose in COMMANDS.items():
        say(f"  python -m export.{name:<8} {purpose}")
    say("\nInstalled, they are also vit-pages build, vit-pages quantize and so on.")
    say("Each command has --help with examples. Start with:  python -m export.build")


if __name__ == "__main__":
    main()
