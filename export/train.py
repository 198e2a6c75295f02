"""Train on Fashion-MNIST: the embedded ViT, a ResNet, or either with fake quantization (QAT).

Examples:
  python -m export.train --stop-after 16 --install   # as the committed weights were made, about two hours on two cores
  python -m export.train                             # the whole recipe
  python -m export.train --resume                    # go on after an interruption
  python -m export.train --phases 1:0.75 --out try   # one fast epoch
  python -m export.train --qat w4a4_lsq --epochs 2   # fine-tune the embedded model to 4-bit weights and activations
  python -m export.train --model resnet18            # a ResNet; then a study of its bit widths:
  python -m export.train --model resnet18 --qat w8a8_lsq,w4a4_lsq --ptq affine,minmax
"""

import argparse
import json
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save as to_safetensors

from export.core.console import run, say
from export.core.errors import RequestError
from export.core.files import write_atomically
from export.core.paths import ASSETS
from export.data.fashion import LabelledImages, read_full, write_embedded
from export.models.catalog import MODELS
from export.quantization.recipes import RECIPES, find_recipes
from export.quantization.training.bitwidth_study import (
    Study,
    check_resumable,
    check_trains,
    obtain,
    ptq_recipes,
    write_table,
)
from export.quantization.training.float_training import Training, TrainOptions, accuracy
from export.quantization.training.qat_training import FinetuneOptions, load_trained

OUT = Path(".cache/train")
RESNET: dict[str, Any] = {
    "optimizer": "adamw",
    "phases": ((2, 0.0),),
    "batch_size": 128,
    "lr": 2e-3,
    "weight_decay": 0.05,
    "warmup_epochs": 0.2,
    "erase_prob": 0.0,
    "smoothing": 0.1,
    "ema_decay": 0.99,
    "seed": 0,
}
# What each model is trained with unless told otherwise.
FLOAT: dict[str, dict[str, Any]] = {
    "fashion": {
        "optimizer": "nadamuon",
        "phases": ((8, 0.75), (8, 0.5), (2, 0.0)),
        "batch_size": 256,
        "lr": 4e-3,
        "weight_decay": 0.05,
        "warmup_epochs": 0.5,
        "erase_prob": 0.1,
        "smoothing": 0.1,
        "ema_decay": 0.998,
        "seed": 0,
    },
    "resnet18": RESNET,
    "resnet50": RESNET,
}
QAT: dict[str, Any] = {
    "epochs": 2.0,
    "batch_size": 128,
    "lr": 1e-4,
    "weight_decay": 0.01,
    "smoothing": 0.0,
    "distillation": 0.5,
    "seed": 0,
}


def write_result(training: Training, top1: float, test: LabelledImages, out: Path) -> None:
    """Write the EMA weights as fp16 safetensors with a card that says how they came to be."""
    state, model = training.ema.module.state_dict(), training.options.model
    halves = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    weights = {name: value.contiguous().cpu() for name, value in halves.items()}
    write_atomically(out / f"{model}.safetensors", to_safetensors(weights, metadata={"format": "pt"}))
    entry, data = MODELS[model], MODELS["fashion"]
    card = {
        "model": model,
        "architecture": entry.timm_name,
        "arguments": dict(entry.arguments),
        "data": "Fashion-MNIST, 60,000 training images (Zalando Research)",
        "licence": data.licence,
        "source": data.source,
        "command": command(),
        "options": training.options.to_json(),
        "top1_percent": top1,
        "n": len(test),
        "dtype": "float16",
        "environment": {
            "machine": platform.machine(),
            "device": training.device.type,
            "torch": torch.__version__,
            "timm": timm.__version__,
            "threads": torch.get_num_threads(),
        },
    }
    write_atomically(out / f"{model}.json", (json.dumps(card, indent=2) + "\n").encode())


def command() -> str:
    """Return the command line, as results record it."""
    return shlex.join(["python", "-m", "export.train", *_lasting(sys.argv[1:])])


def _lasting(arguments: list[str]) -> list[str]:
    """Leave out what does not decide the result: a resumed run repeats an uninterrupted one."""
    return [argument for argument in arguments if argument not in ("--resume", "--install")]


def parse_phases(text: str) -> tuple[tuple[int, float], ...]:
    """Read `8:0.75,2:0` as ((8, 0.75), (2, 0.0))."""
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
        help="folder with the four Fashion-MNIST files (default: Debian's package, else a download)",
    )
    p.add_argument("--model", choices=FLOAT, default="fashion", help="(default: %(default)s)")
    p.add_argument(
        "--out",
        type=Path,
        help="checkpoint, weights and card; with --qat a folder for each recipe, and the table "
        "(default: " + str(OUT / "MODEL") + ")",
    )
    p.add_argument("--resume", action="store_true", help="resume an interrupted run from --out")
    p.add_argument("--batch-size", type=int, help=_default("batch_size"))
    p.add_argument("--lr", type=float, help="peak learning rate " + _default("lr"))
    p.add_argument("--weight-decay", type=float, help=_default("weight_decay"))
    p.add_argument("--smoothing", type=float, help="label smoothing " + _default("smoothing"))
    p.add_argument("--seed", type=int, help=_default("seed"))
    _float_arguments(p.add_argument_group("without --qat"))
    _qat_arguments(p.add_argument_group("quantization-aware training"))
    return p


def _default(name: str) -> str:
    """Say what an option is when it is left out."""
    values = {model: options[name] for model, options in FLOAT.items() if name in options}
    values |= {"--qat": QAT[name]} if name in QAT else {}
    if len(set(values.values())) == 1:
        return f"(default: {next(iter(values.values()))})"
    return "(default: " + ", ".join(f"{value} for {owner}" for owner, value in values.items()) + ")"


def _float_arguments(p: argparse._ArgumentGroup) -> None:
    p.add_argument(
        "--install", action="store_true", help="when done, replace the embedded weights, card and image sets"
    )
    p.add_argument(
        "--phases",
        type=parse_phases,
        metavar="EPOCHS:DROP,…",
        help="epochs, each phase with the share of patches dropped (default: 8:0.75,8:0.5,2:0 for "
        "fashion, 2:0 for others)",
    )
    p.add_argument(
        "--stop-after", type=int, metavar="EPOCHS", help="end early, on the schedule of all phases (default: run all)"
    )
    p.add_argument("--warmup-epochs", type=float, help=_default("warmup_epochs"))
    p.add_argument(
        "--erase-prob", type=float, help="share of images with a random patch erased " + _default("erase_prob")
    )
    p.add_argument("--ema-decay", type=float, help=_default("ema_decay"))


def _qat_arguments(p: argparse._ArgumentGroup) -> None:
    p.add_argument("--qat", metavar="RECIPE,…", help="recipes to fine-tune to from the float weights, as w4a4_lsq")
    p.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="the float weights (default: the embedded ones; for others what training left in " + str(OUT) + ")",
    )
    p.add_argument("--epochs", type=float, help="may be a fraction " + _default("epochs"))
    p.add_argument(
        "--distillation",
        type=float,
        metavar="SHARE",
        help="share of distillation from the float model in the loss " + _default("distillation"),
    )
    p.add_argument("--ptq", metavar="METHOD,…", help="PTQ methods to compare with, at the same bits")


def _options(args: argparse.Namespace, defaults: dict[str, Any], others: Sequence[str], where: str) -> dict[str, Any]:
    """Return the options, defaults filled in; raises `RequestError` for one that means nothing here."""
    for name in others:
        if getattr(args, name) not in (None, False):
            raise RequestError(f"--{name.replace('_', '-')} means nothing {where}", hint="leave it out")
    given = {name: getattr(args, name, None) for name in defaults}
    return {name: defaults[name] if value is None else value for name, value in given.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Train, checkpoint, and write what came of it."""
    args = parser().parse_args(argv)
    out = args.out or OUT / args.model
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if args.qat is not None:
        train_quantized(args, out, device)
    else:
        train_float(args, out, device)


def _read(data: Path | None) -> tuple[LabelledImages, LabelledImages]:
    train, test = (read_full(split, data, Path(".cache/datasets")) for split in ("train", "t10k"))
    return train, test


def train_quantized(args: argparse.Namespace, out: Path, device: torch.device) -> None:
    """Train (and calibrate) every recipe, and write the table."""
    others = [name for name in FLOAT["fashion"] if name not in (*QAT, "optimizer")]
    options = FinetuneOptions(**_options(args, QAT, [*others, "install", "stop_after"], "with --qat"))
    recipes = find_recipes(args.qat)
    check_trains(recipes)
    compared = ptq_recipes(recipes, args.ptq or "")
    checkpoint = args.checkpoint
    if checkpoint is None and args.model != "fashion":
        checkpoint = OUT / args.model / f"{args.model}.safetensors"
        if not checkpoint.is_file():
            raise RequestError(
                f"--model {args.model}: there are no float weights at {checkpoint}",
                hint=f"train them first: python -m export.train --model {args.model}   (or pass --checkpoint FILE)",
            )
    if args.resume:
        check_resumable(out)
    spec, module = load_trained(args.model, checkpoint)
    train, test = _read(args.data)
    study = Study(spec=spec, module=module, options=options, train=train, test=test, device=device, out=out)
    rows = [study.evaluate(RECIPES["f32"], "float", module)]
    for recipe in (*compared, *recipes):
        rows.append(obtain(study, recipe, resume=args.resume))
        table = write_table(study, rows, command())
    say(f"float {100 * rows[0].top1:.2f} % on {rows[0].n:,} test images → {table}")


def train_float(args: argparse.Namespace, out: Path, device: torch.device) -> None:
    """Train the float model, checkpoint after every epoch, and write weights and card."""
    others = [name for name in QAT if name not in FLOAT["fashion"]]
    given = _options(args, FLOAT[args.model], [*others, "checkpoint", "ptq"], "without --qat")
    if args.install and args.model != "fashion":
        raise RequestError(f"--install: {args.model} is not embedded in this project", hint="leave it out")
    options = TrainOptions(model=args.model, **given)
    last = options.epochs if args.stop_after is None else args.stop_after
    if not 0 < last <= options.epochs:
        raise RequestError(f"--stop-after {last} must lie in 1..{options.epochs}, the epochs of --phases")
    out.mkdir(parents=True, exist_ok=True)
    train, test = _read(args.data)
    training = Training(options, len(train) // options.batch_size, device)
    checkpoint = out / "checkpoint.pt"
    if args.resume:
        if not checkpoint.exists():
            raise RequestError(f"--resume: there is no checkpoint at {checkpoint}", hint="run without --resume first")
        training.load(checkpoint)
        say(f"resuming after epoch {training.epoch}")
    started = time.perf_counter()
    while training.epoch < last:
        loss = training.run_epoch(train)
        training.save(checkpoint)
        top1 = accuracy(training.ema.module, test, device)
        seconds = time.perf_counter() - started
        say(f"epoch {training.epoch}/{options.epochs}  loss {loss:.4f}  EMA top-1 {top1:.2f} %  {seconds:.0f} s")
    top1 = accuracy(training.ema.module.half().float(), test, device)
    write_result(training, top1, test, out)
    if args.install:
        write_result(training, top1, test, ASSETS)
        write_embedded(train, test, ASSETS)
    say(f"{top1:.2f} % on {len(test)} test images, stored as fp16 → {out / f'{args.model}.safetensors'}")


if __name__ == "__main__":
    run(main)
