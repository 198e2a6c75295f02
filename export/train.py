"""Train on your own pictures, or on Fashion-MNIST: the embedded ViT, a ResNet, or quantized versions of these (QAT).

Examples:
  python -m export.train --stop-after 16 --install   # how the committed weights were made; about two hours on two cores
  python -m export.train                             # all phases
  python -m export.train --resume                    # after an interruption
  python -m export.train --phases 1:0.75 --out try   # one fast epoch
  python -m export.train --qat w4a4_lsq --epochs 2   # fine-tune the embedded model at 4 bits
  python -m export.train --model resnet18            # a ResNet; then the table of its bit widths:
  python -m export.train --model resnet18 --qat w8a8_lsq,w4a4_lsq --ptq affine,minmax
  python -m export.train --data photos/ --model deit_t --checkpoint deit_t.safetensors --epochs 10   # your own pictures
"""

import argparse
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from export.core.console import run
from export.core.errors import RequestError
from export.quantization.recipes import find_recipes
from export.quantization.training.defaults import DATASETS, FLOAT, QAT, TRAINED, default_text
from export.quantization.training.float_session import FloatRequest, train_float
from export.quantization.training.float_training import TrainOptions
from export.quantization.training.qat_session import QatRequest, train_quantized
from export.quantization.training.qat_training import FinetuneOptions
from export.training.arguments import add_picture_arguments, picture_options, teacher_request
from export.training.session import PictureRequest, train_on_pictures

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
        default="fashion",
        metavar="NAME",
        help=f"on pictures any name that export.build takes; on Fashion-MNIST one of {', '.join(FLOAT)} (default: "
        "%(default)s)",
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
        help=f"the float weights (default: the embedded ones; for ResNets, those trained into {TRAINED})",
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
    "distillation": "weight of distillation from the float model in the loss, 0 to 1",
}


def _add_numbers(group: argparse._ActionsContainer, **kinds: type) -> None:
    for name, kind in kinds.items():
        text = f"{NOTES.get(name, '')} {default_text(name)}".strip()
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, help=text)


def _options(args: argparse.Namespace, defaults: dict[str, Any], others: Iterable[str], where: str) -> dict[str, Any]:
    """Return the options, defaults filled in; raises `RequestError` for one that does not apply here."""
    for name in others:
        if name not in defaults and getattr(args, name, None) not in (None, False):
            raise RequestError(f"--{name.replace('_', '-')} does not apply {where}", hint="leave it out")
    given = {name: getattr(args, name, None) for name in defaults}
    return {name: defaults[name] if value is None else value for name, value in given.items()}


def _has_pictures(data: Path | None) -> bool:
    """Say whether `data` is meant as pictures: it exists and is no folder of IDX files, as Fashion-MNIST has them."""
    return data is not None and data.exists() and not (data.is_dir() and any(data.glob("*-ubyte*")))


def main(argv: Sequence[str] | None = None) -> None:
    """Train, checkpoint, and write the result."""
    arguments = sys.argv[1:] if argv is None else argv
    args = parser().parse_args(arguments)
    lasting = [argument for argument in arguments if argument not in TEMPORARY]
    shared: dict[str, Any] = {
        "data": args.data,
        "out": args.out or TRAINED / args.model,
        "command": shlex.join(["python", "-m", "export.train", *lasting]),
        "resume": args.resume,
    }
    if _has_pictures(args.data):
        train_on_pictures(
            PictureRequest(
                options=picture_options(args),
                validation=args.validation,
                words=args.words,
                held_out=0.1 if args.held_out is None else args.held_out,
                checkpoint=args.checkpoint,
                teacher=teacher_request(args),
                cache=DATASETS / "pictures",
                data_title=args.data_title or args.data.name,
                licence=args.licence or "not stated",
                **shared,
            )
        )
        return
    if args.qat is None:
        given = _options(args, FLOAT[args.model], [*QAT, "checkpoint", "ptq"], "without --qat")
        options = TrainOptions(model=args.model, **given)
        train_float(FloatRequest(options=options, stop_after=args.stop_after, install=args.install, **shared))
        return
    given = _options(args, QAT, [*FLOAT["fashion"], "install", "stop_after"], "with --qat")
    request = QatRequest(
        model=args.model,
        recipes=find_recipes(args.qat),
        options=FinetuneOptions(**given),
        ptq=args.ptq or "",
        checkpoint=args.checkpoint,
        **shared,
    )
    train_quantized(request)


if __name__ == "__main__":
    run(main)
