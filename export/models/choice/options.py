"""The command-line options that describe a model: declared for argparse, and read into a `ModelRequest`."""

import argparse
from pathlib import Path
from typing import get_args

from export.core.errors import RequestError
from export.core.records import Interpolation
from export.models.choice.request import ModelRequest, PreprocessOptions
from export.models.choice.source import beside, stated_architecture
from export.models.folder.files import CONFIG

OUTLIERS = "outliers"
ONE_MODEL = ("checkpoint", "labels", "confidence", "mean", "std", "crop_pct", "interpolation", "image_size")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options beside `--model` that `read_model` reads."""
    parser.add_argument(
        "--weights",
        choices=("pretrained", "random", OUTLIERS),
        help="pretrained (default); random: the same architecture, untrained; outliers: random weights of a ViT, whose "
        "activations have outliers as those of trained ones",
    )
    parser.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="your own weights: safetensors, .pth/.ckpt of tensors, or a folder saved by transformers or timm, which "
        "says what the model is: --model can be left out",
    )
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="class names: one per line, JSON, or a folder of class folders in their order",
    )
    parser.add_argument(
        "--multi-label",
        action="store_true",
        help="a picture may have several labels: each output is a probability of its own (sigmoid instead of softmax)",
    )
    parser.add_argument(
        "--features",
        action="store_true",
        help="leave the classifier out: the output is the embedding that it would read",
    )
    group = parser.add_argument_group("preprocessing (default: what the checkpoint says, else the architecture's own)")
    group.add_argument("--mean", type=_channels, metavar="R,G,B", help="mean of the normalisation, of values of 0 to 1")
    group.add_argument("--std", type=_channels, metavar="R,G,B", help="standard deviation of the normalisation")
    group.add_argument(
        "--crop-pct", type=float, metavar="P", help="side of the centre crop, relative to the resized image: 0.875"
    )
    group.add_argument("--interpolation", choices=get_args(Interpolation), help="filter for resizing")
    group.add_argument(
        "--image-size", type=int, metavar="N", help="height and width of the model's input; positions are interpolated"
    )


def requested_model(args: argparse.Namespace, model: str | None, default: str) -> str:
    """Return the name of the `model`, or where it was left out what the checkpoint says, else the default.

    Raises `RequestError` for a checkpoint that does not say what it is.
    """
    if model is not None or args.checkpoint is None:
        return model or default
    checkpoint: Path = args.checkpoint
    folder = beside(checkpoint)
    if folder is not None:
        return str(folder.absolute())
    if not checkpoint.is_file():
        return default  # said by the request
    architecture = stated_architecture(checkpoint)
    if architecture:
        return f"timm/{architecture}"
    raise RequestError(
        f"--checkpoint {checkpoint} does not say what its architecture is, and there is no {CONFIG} beside it",
        hint="pass it: --model NAME; or the folder that save_pretrained wrote: --checkpoint FOLDER",
    )


def read_model(args: argparse.Namespace, name: str) -> ModelRequest:
    """Return the request for the model of that name; raises `RequestError` for options that cannot be met."""
    return ModelRequest(
        model=name,
        weights="random" if args.weights == OUTLIERS else args.weights,
        outliers=args.weights == OUTLIERS,
        checkpoint=args.checkpoint,
        labels=args.labels,
        multi_label=args.multi_label,
        features=args.features,
        preprocess=PreprocessOptions(
            mean=args.mean,
            std=args.std,
            crop_pct=args.crop_pct,
            interpolation=args.interpolation,
            image_size=args.image_size,
        ),
    )


def check_one_model(args: argparse.Namespace, names: tuple[str, ...]) -> None:
    """Raise `RequestError` when options that apply to one model are given for several."""
    given = [f"--{name.replace('_', '-')}" for name in ONE_MODEL if getattr(args, name, None) is not None]
    if len(names) > 1 and given:
        raise RequestError(
            f"{' and '.join(given)} appl{'y' if len(given) > 1 else 'ies'} to one model, but several are given",
            hint="build them one at a time",
        )


def _channels(text: str) -> tuple[float, ...]:
    """Read one number for all channels, or three."""
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3):
        raise argparse.ArgumentTypeError(f"{text!r} is not one number, nor three for red, green and blue")
    return values * (3 // len(values))
