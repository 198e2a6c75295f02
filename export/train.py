"""Train the embedded Fashion-MNIST ViT: timm's optimiser, schedule, augmentation and EMA.

Examples:
  python -m export.train --stop-after 16 --install   # as the committed weights were made, about two hours on two cores
  python -m export.train                             # the whole recipe
  python -m export.train --resume                    # go on after an interruption
  python -m export.train --phases 1:0.75 --out try   # one fast epoch
"""

import argparse
import json
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import timm
import torch
from safetensors.torch import save as to_safetensors

from export.console import run, say
from export.data.fashion import ASSETS, LabelledImages, read_full, write_embedded
from export.errors import RequestError
from export.store import write_atomically
from export.training import ENTRY, Training, TrainOptions, accuracy


def write_result(training: Training, top1: float, test: LabelledImages, out: Path) -> None:
    """Write the EMA weights as fp16 safetensors with a card that says how they came to be."""
    weights = {name: value.half().contiguous().cpu() for name, value in training.ema.module.state_dict().items()}
    write_atomically(out / "fashion.safetensors", to_safetensors(weights, metadata={"format": "pt"}))
    card = {
        "model": "fashion", "architecture": ENTRY.timm_name, "arguments": dict(ENTRY.arguments),
        "data": "Fashion-MNIST, 60,000 training images (Zalando Research)",
        "licence": ENTRY.licence, "source": ENTRY.source,
        "command": shlex.join(["python", "-m", "export.train", *_lasting(sys.argv[1:])]),
        "options": training.options.to_json(),
        "top1_percent": top1, "n": len(test), "dtype": "float16",
        "environment": {"machine": platform.machine(), "device": training.device.type, "torch": torch.__version__,
                        "timm": timm.__version__, "threads": torch.get_num_threads()},
    }  # fmt: skip
    write_atomically(out / "fashion.json", (json.dumps(card, indent=2) + "\n").encode())


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
    p.add_argument(
        "--out",
        type=Path,
        default=Path(".cache/train/fashion"),
        help="checkpoint, weights and card (default: %(default)s)",
    )
    p.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    p.add_argument(
        "--install", action="store_true", help="when done, replace the embedded weights, card and image sets"
    )
    p.add_argument("--phases", type=parse_phases, default="8:0.75,8:0.5,2:0", metavar="EPOCHS:DROP,…",
                   help="epochs, each phase with the share of patches left out (default: %(default)s)")  # fmt: skip
    p.add_argument(
        "--stop-after", type=int, metavar="EPOCHS", help="end early, on the schedule of all phases (default: run all)"
    )
    p.add_argument("--batch-size", type=int, default=256, help="(default: %(default)s)")
    p.add_argument("--lr", type=float, default=4e-3, help="peak learning rate of nadamuon (default: %(default)s)")
    p.add_argument("--weight-decay", type=float, default=0.05, help="(default: %(default)s)")
    p.add_argument("--warmup-epochs", type=float, default=0.5, help="(default: %(default)s)")
    p.add_argument(
        "--erase-prob",
        type=float,
        default=0.1,
        help="share of images with a random patch erased (default: %(default)s)",
    )
    p.add_argument("--smoothing", type=float, default=0.1, help="label smoothing (default: %(default)s)")
    p.add_argument("--ema-decay", type=float, default=0.998, help="(default: %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    return p


def main(argv: Sequence[str] | None = None) -> None:
    """Train, checkpoint after every epoch, and write weights and card."""
    args = vars(parser().parse_args(argv))
    data, out, resume, install, stop_after = (
        args.pop(key) for key in ("data", "out", "resume", "install", "stop_after")
    )
    options = TrainOptions(**args)
    last = options.epochs if stop_after is None else stop_after
    if not 0 < last <= options.epochs:
        raise RequestError(f"--stop-after {last} must lie in 1..{options.epochs}, the epochs of --phases")
    out.mkdir(parents=True, exist_ok=True)
    train, test = (read_full(split, data, Path(".cache/datasets")) for split in ("train", "t10k"))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training = Training(options, len(train) // options.batch_size, device)
    checkpoint = out / "checkpoint.pt"
    if resume:
        if not checkpoint.exists():
            raise RequestError(f"--resume: there is no checkpoint at {checkpoint}", hint="run without --resume first")
        training.load(checkpoint)
        say(f"resuming after epoch {training.epoch}")
    started, top1 = time.perf_counter(), 0.0
    while training.epoch < last:
        loss = training.run_epoch(train)
        training.save(checkpoint)
        top1 = accuracy(training.ema.module, test, device)
        seconds = time.perf_counter() - started
        say(f"epoch {training.epoch}/{options.epochs}  loss {loss:.4f}  EMA top-1 {top1:.2f} %  {seconds:.0f} s")
    top1 = accuracy(training.ema.module.half().float(), test, device)
    write_result(training, top1, test, out)
    if install:
        write_result(training, top1, test, ASSETS)
        write_embedded(train, test, ASSETS)
    say(f"{top1:.2f} % on {len(test)} test images, stored as fp16 → {out / 'fashion.safetensors'}")


if __name__ == "__main__":
    run(main)
