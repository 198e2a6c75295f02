"""The options of the command line for training on pictures, made from the fields of `PictureTrainOptions`."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from export.core.errors import RequestError
from export.models.catalog import find_model
from export.training.options import PictureTrainOptions
from export.training.teacher import TeacherRequest

NOTES = {
    "epochs": "passes over the pictures; may be a fraction",
    "layer_decay": "factor of the learning rate from block to block towards the input",
    "crop_min": "smallest share of a picture's area in a random crop",
    "jitter": "largest change of brightness, contrast and saturation",
    "mixup": "alpha of mixup, 0 for none",
    "cutmix": "alpha of CutMix, 0 for none",
    "drop_path": "share of residual branches dropped (stochastic depth)",
    "distillation": "the teacher's share of the loss",
    "noise_bits": "round weights at random to that many bits in the last third, 0 for never",
    "frozen_blocks": "leave the first blocks as they are; what they compute is kept on disk",
}
SEPARATE = ("model", "arguments", "image_size")  # which are not plain numbers
FIELDS = {field.name: field for field in dataclasses.fields(PictureTrainOptions) if field.name not in SEPARATE}


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the group of options for pictures; options that other kinds of training share are there already."""
    group = parser.add_argument_group("on pictures: --data is a folder or an archive of class folders")
    group.add_argument(
        "--validation", type=Path, help="held-out pictures (default: the folder val in --data, else a share of --data)"
    )
    group.add_argument("--held-out", type=float, metavar="SHARE", help="that share, of every class (default: 0.1)")
    group.add_argument("--words", type=Path, metavar="FILE", help="lines CLASS<TAB>NAME: names of the class folders")
    group.add_argument("--image-size", type=int, metavar="PIXELS", help="side of the model's input (default: its own)")
    group.add_argument(
        "--model-arguments", type=json.loads, metavar="JSON", help='for timm.create_model, such as {"depth": 8}'
    )
    group.add_argument("--teacher", metavar="NAME", help="distil from a timm model or an ONNX file of the same classes")
    group.add_argument("--teacher-checkpoint", type=Path, metavar="FILE", help="the teacher's weights")
    group.add_argument("--teacher-image-size", type=int, metavar="PIXELS", help="side of the teacher's input")
    group.add_argument("--data-title", metavar="TEXT", help="what the model card calls the pictures (default: --data)")
    group.add_argument("--licence", metavar="TEXT", help="of the pictures, for the model card (default: not stated)")
    known = {option for action in parser._actions for option in action.option_strings}
    for name, field in FIELDS.items():
        flag = f"--{name.replace('_', '-')}"
        if flag not in known:
            group.add_argument(flag, type=type(field.default), help=f"{NOTES.get(name, '')} (default: {field.default})")


def picture_options(args: argparse.Namespace) -> PictureTrainOptions:
    """Return the options that the command line asks for; raises `RequestError` for an unknown model."""
    entry = find_model(args.model)
    given = {name: getattr(args, name) for name in FIELDS if getattr(args, name, None) is not None}
    arguments: dict[str, Any] = {**entry.arguments, **(args.model_arguments or {})}
    size = args.image_size or arguments.get("img_size") or _own_size(entry.timm_name)
    dropped = ("img_size", "num_classes")
    return PictureTrainOptions(
        model=entry.timm_name,
        arguments={name: value for name, value in arguments.items() if name not in dropped},
        image_size=size,
        **given,
    )


def _own_size(timm_name: str) -> int:
    import timm

    config = timm.get_pretrained_cfg(timm_name)
    if config is None:
        raise RequestError(f"--model {timm_name}: timm knows no image size for it", hint="pass --image-size")
    return int(config.input_size[1])


def teacher_request(args: argparse.Namespace) -> TeacherRequest | None:
    """Return the teacher that the command line names, if any."""
    if args.teacher is None:
        for name in ("teacher_checkpoint", "teacher_image_size"):
            if getattr(args, name) is not None:
                raise RequestError(f"--{name.replace('_', '-')} without --teacher", hint="pass --teacher NAME")
        return None
    if args.teacher.endswith(".onnx"):
        return TeacherRequest(args.teacher, None, args.teacher_image_size or 224)
    name = find_model(args.teacher).timm_name
    return TeacherRequest(name, args.teacher_checkpoint, args.teacher_image_size or _own_size(name))
