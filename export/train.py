"""Train on your own pictures, or on Fashion-MNIST: the embedded ViT, a ResNet, or quantized versions of these (QAT).

Examples:
  python -m export.train --stop-after 16 --install   # how the committed weights were made; about two hours on two cores
  python -m export.train                             # all phases
  python -m export.train --resume                    # after an interruption
  python -m export.train --phases 1:0.75 --out try   # one fast epoch
  python -m export.train --qat w4a4_lsq --epochs 2   # fine-tune the embedded model at 4 bits
  python -m export.train --model resnet18            # a ResNet; then the table of its bit widths:
  python -m export.train --model resnet18 --qat w8a8_lsq,w4a4_lsq --ptq affine,minmax
  python -m export.train --data photos/ --model deit_t --epochs 10   # your own pictures, from the hub's weights
  python -m export.train --data photos/ --model deit_t --frozen-blocks 9 --epochs 20   # the upper blocks, on a CPU
  python -m export.train --data photos/ --model deit_t --qat w4a4_lsq --epochs 2   # then with quantization
  python -m export.train --data photos.zip --model timm/vit_tiny_patch16_224 --weights random --image-size 64
"""

import argparse
import shlex
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.core.console import run
from export.core.environment.extras import require
from export.core.errors import RequestError
from export.core.paths import INSTALLED
from export.models.catalog import DEFAULT_MODEL
from export.quantization.recipes import find_recipes
from export.quantization.training.defaults import DATASETS, FLOAT, QAT, TRAINED, default_text
from export.training.arguments import (
    FIELDS,
    NAMES,
    add_picture_arguments,
    model_request,
    picture_options,
    teacher_request,
)

if TYPE_CHECKING:
    from export.quantization.training.float_session import FloatRequest
    from export.quantization.training.qat_session import QatRequest
    from export.training.session import PictureRequest

SHARED = ("data", "model", "out", "resume")
SPLIT = ("validation", "held_out", "words")
PICTURES = DATASETS / "pictures"
PLAIN = ("install", "phases", "stop_after")
NEEDED = ("torch", "timm", "torchvision")  # for every kind of training
TEMPORARY = ("--resume", "--install")  # which do not decide the result: a resumed run repeats an uninterrupted one


def parse_phases(text: str) -> tuple[tuple[int, float], ...]:
    """Parse `8:0.75,2:0` into ((8, 0.75), (2, 0.0))."""
    phases = tuple(
        (int(epochs), float(share)) for epochs, _, share in (part.partition(":") for part in text.split(","))
    )
    if not all(epochs > 0 and 0 <= share < 1 for epochs, share in phases):
        raise argparse.ArgumentTypeError(f"{text!r}: each phase needs at least one epoch and a share in 0..1")
    return phases


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(
        prog="python -m export.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--data",
        type=Path,
        help="folder or archive of pictures in class folders, or a folder with the four Fashion-MNIST files (default: "
        "Debian's package of these, else a download)",
    )
    p.add_argument(
        "--model",
        metavar="NAME",
        help=f"on pictures any name that export.build takes; on Fashion-MNIST one of {', '.join(FLOAT)} (default: "
        f"fashion, on pictures {DEFAULT_MODEL})",
    )
    p.add_argument(
        "--out",
        type=Path,
        help="folder for the checkpoint, weights and model card; with --qat, for the table and one folder per recipe "
        f"(default: {TRAINED}/MODEL)",
    )
    p.add_argument("--resume", action="store_true", help="continue from what an interrupted run left in --out")
    _add_numbers(p, batch_size=int, lr=float, weight_decay=float, smoothing=float, seed=int)
    plain = p.add_argument_group("without --qat")
    plain.add_argument(
        "--install", action="store_true", help="replace the embedded weights, model card and images with the result"
    )
    plain.add_argument(
        "--phases",
        type=parse_phases,
        metavar="EPOCHS:DROP,…",
        help="phases of training: number of epochs and share of patches dropped (default: 8:0.75,8:0.5,2:0 for "
        "fashion, 2:0 for others)",
    )
    plain.add_argument("--stop-after", type=int, metavar="EPOCHS", help="stop early, with the schedule of all phases")
    _add_numbers(plain, warmup_epochs=float, erase_prob=float, ema_decay=float)
    qat = p.add_argument_group("quantization-aware training")
    qat.add_argument("--qat", metavar="RECIPE,…", help="train these recipes, such as w4a4_lsq, from the float weights")
    qat.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help=f"the float weights (default: the embedded ones; for ResNets, those trained into {TRAINED}); on pictures, "
        "the weights to start from, also a folder saved by transformers or timm",
    )
    _add_numbers(qat, epochs=float, distillation=float)
    qat.add_argument(
        "--ptq", metavar="METHOD,…", help="also calibrate with these methods at the same bits, for comparison"
    )
    add_picture_arguments(p)
    return p


NOTES = {
    "lr": "peak learning rate",
    "smoothing": "label smoothing",
    "erase_prob": "share of images with a random patch erased",
    "epochs": "may be a fraction",
    "warmup_epochs": "linear warm-up; on pictures a tenth of --epochs where that is less",
    "distillation": "weight of distillation from the float model in the loss, 0 to 1",
}


def _add_numbers(group: argparse._ActionsContainer, **kinds: type) -> None:
    for name, kind in kinds.items():
        on_pictures = FIELDS[name].default if name in FIELDS else None
        text = f"{NOTES.get(name, '')} {default_text(name, on_pictures)}".strip()
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, help=text)


def _check_apply(args: argparse.Namespace, allowed: Collection[str], where: str) -> None:
    """Raise `RequestError` for an option that is given and has no effect here."""
    for name, value in vars(args).items():
        if value not in (None, False) and name not in (*SHARED, *allowed):
            raise RequestError(f"--{name.replace('_', '-')} does not apply {where}", hint="leave it out")


def _filled(args: argparse.Namespace, defaults: dict[str, Any]) -> dict[str, Any]:
    """Return the options, defaults filled in."""
    given = {name: getattr(args, name, None) for name in defaults}
    return {name: defaults[name] if value is None else value for name, value in given.items()}


def _has_pictures(args: argparse.Namespace) -> bool:
    """Say whether to train on pictures: `--data` is there, and is no folder of IDX files, as Fashion-MNIST has them."""
    data: Path | None = args.data
    if data is None:
        return False
    if not data.exists():
        raise RequestError(f"--data {data}: no such folder or file", hint="check the path")
    pictures = not (data.is_dir() and any(data.glob("*-ubyte*")))
    return pictures


def _picture_request(args: argparse.Namespace, shared: dict[str, Any]) -> "PictureRequest":
    from export.training.session import PictureRequest

    _check_apply(args, NAMES, "to training on pictures")
    return PictureRequest(
        options=picture_options(args),
        model=model_request(args),
        validation=args.validation,
        words=args.words,
        held_out=args.held_out,
        teacher=teacher_request(args),
        cache=PICTURES,
        data_title=args.data_title or args.data.absolute().name,
        licence=args.licence or "not stated",
        **shared,
    )


def _float_request(args: argparse.Namespace, shared: dict[str, Any]) -> "FloatRequest":
    from export.quantization.training.float_session import FloatRequest
    from export.quantization.training.float_training import TrainOptions

    _check_apply(args, (*FLOAT["fashion"], *PLAIN), "without --qat")
    if args.model not in FLOAT:
        raise RequestError(
            f"--model {args.model} is not trained on Fashion-MNIST; those that are: {', '.join(FLOAT)}",
            hint="pass --data with your own pictures in class folders",
        )
    options = TrainOptions(model=args.model, **_filled(args, FLOAT[args.model]))
    return FloatRequest(options=options, stop_after=args.stop_after, install=bool(args.install), **shared)


def _qat_request(args: argparse.Namespace, pictures: bool, shared: dict[str, Any]) -> "QatRequest":
    from export.quantization.training.images import OwnPicturesRequest
    from export.quantization.training.qat_session import QatRequest
    from export.quantization.training.qat_training import FinetuneOptions

    _check_apply(args, (*QAT, "qat", "checkpoint", "ptq", *(SPLIT if pictures else ())), "with --qat")
    options = FinetuneOptions(**_filled(args, QAT))
    own = {name: getattr(args, name) for name in SPLIT}
    return QatRequest(
        model=args.model,
        recipes=find_recipes(args.qat),
        options=options,
        pictures=OwnPicturesRequest(data=args.data, seed=options.seed, cache=PICTURES, **own) if pictures else None,
        ptq=args.ptq or "",
        checkpoint=args.checkpoint,
        **shared,
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Train, checkpoint, and write the result."""
    arguments = sys.argv[1:] if argv is None else argv
    args = parser().parse_args(arguments)
    if args.install and INSTALLED:
        raise RequestError(
            "--install replaces files of the project, and this is an installed package",
            hint="leave it out and use the result in --out, or run it in a checkout of the project",
        )
    pictures = _has_pictures(args)
    require("train", *NEEDED)
    args.model = args.model or (DEFAULT_MODEL if pictures else "fashion")
    lasting = [argument for argument in arguments if argument not in TEMPORARY]
    shared: dict[str, Any] = {
        "data": args.data,
        "out": args.out or TRAINED / args.model,
        "command": shlex.join(["python", "-m", "export.train", *lasting]),
        "resume": args.resume,
    }
    _train(args, pictures, shared)


def _train(args: argparse.Namespace, pictures: bool, shared: dict[str, Any]) -> None:
    if args.qat is not None:
        from export.quantization.training.qat_session import train_quantized

        train_quantized(_qat_request(args, pictures, shared))
    elif pictures:
        from export.training.session import train_on_pictures

        train_on_pictures(_picture_request(args, shared))
    else:
        from export.quantization.training.float_session import train_float

        train_float(_float_request(args, shared))


if __name__ == "__main__":
    run(main)
