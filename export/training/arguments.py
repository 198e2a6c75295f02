"""The options of the command line for training on pictures, made from the fields of `PictureTrainOptions`."""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.core.errors import RequestError
from export.models.catalog import find_model
from export.models.choice.request import ModelRequest
from export.training.options import WARMUP_MAX, PictureTrainOptions

if TYPE_CHECKING:
    from export.training.model.teacher import TeacherRequest

NOTES = {
    "optimizer": "one of timm's",
    "layer_decay": "factor of the learning rate from block to block towards the input",
    "crop_min": "smallest share of a picture's area in a random crop",
    "jitter": "largest change of brightness, contrast and saturation",
    "mixup": "alpha of mixup, 0 for none",
    "cutmix": "alpha of CutMix, 0 for none",
    "drop_path": "share of residual branches dropped (stochastic depth)",
    "noise_bits": "round weights at random to that many bits in the last third, 0 for never",
    "frozen_blocks": "leave the embeddings and so many blocks as they are; what they compute is kept on disk, so that "
    "training the others is fast; pictures are then mirrored and mixed, not augmented otherwise",
}
SEPARATE = ("model", "arguments", "image_size")  # which are not plain numbers
FIELDS = {field.name: field for field in dataclasses.fields(PictureTrainOptions) if field.name not in SEPARATE}
OTHERS = (
    *("model_arguments", "image_size", "weights", "checkpoint", "validation", "held_out", "words"),
    *("teacher", "teacher_checkpoint", "teacher_image_size", "data_title", "licence"),
)
NAMES = (*FIELDS, *OTHERS)  # of all options that only training on pictures has, or shares
UNCHANGED = {"crop_min": 1.0, "jitter": 0.0, "erase_prob": 0.0, "cutmix": 0.0}  # with frozen blocks
TAUGHT = 0.5  # the teacher's share of the loss unless told otherwise


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the group of options for pictures; those that other kinds of training share are there already."""
    group = parser.add_argument_group("on pictures: --data is a folder or an archive of class folders")
    group.add_argument(
        "--validation", type=Path, help="held-out pictures (default: the folder val in --data, else a share of --data)"
    )
    group.add_argument("--held-out", type=float, metavar="SHARE", help="that share, of every class (default: 0.1)")
    group.add_argument("--words", type=Path, metavar="FILE", help="lines CLASS<TAB>NAME: names of the class folders")
    group.add_argument(
        "--weights",
        choices=("pretrained", "random"),
        help="what to start from: the hub's weights (default, where timm has any) or random ones; or --checkpoint",
    )
    group.add_argument("--image-size", type=int, metavar="PIXELS", help="side of the model's input (default: its own)")
    group.add_argument(
        "--model-arguments", type=_arguments, metavar="JSON", help='for timm.create_model, such as {"depth": 8}'
    )
    group.add_argument(
        "--teacher", metavar="NAME", help="distil from a model, as --model, or an ONNX file, of the same classes"
    )
    group.add_argument("--teacher-checkpoint", type=Path, metavar="FILE", help="its weights (default: the hub's)")
    group.add_argument("--teacher-image-size", type=int, metavar="PIXELS", help="side of its input (default: its own)")
    group.add_argument("--data-title", metavar="TEXT", help="what the model card calls the pictures (default: --data)")
    group.add_argument("--licence", metavar="TEXT", help="of the pictures, for the model card (default: not stated)")
    known = {option for action in parser._actions for option in action.option_strings}
    for name, field in FIELDS.items():
        flag = f"--{name.replace('_', '-')}"
        if flag not in known:
            group.add_argument(flag, type=type(field.default), help=f"{NOTES[name]} (default: {field.default})")


def _arguments(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise argparse.ArgumentTypeError(f'{text!r} is not a JSON object, such as {{"depth": 8}}')
    return values


def picture_options(args: argparse.Namespace) -> PictureTrainOptions:
    """Return the options that the command line asks for.

    Raises `RequestError` for an unknown model, and for options that would have no effect together.
    """
    entry = find_model(args.model)
    given = {name: getattr(args, name) for name in FIELDS if getattr(args, name) is not None}
    arguments: dict[str, Any] = {**entry.arguments, **(args.model_arguments or {})}
    dropped = ("img_size", "num_classes")
    return PictureTrainOptions(
        model=entry.timm_name,
        arguments={name: value for name, value in arguments.items() if name not in dropped},
        image_size=_image_size(args, arguments, entry.timm_name),
        **given | _implied(args, given),
    )


def _image_size(args: argparse.Namespace, arguments: dict[str, Any], timm_name: str) -> int:
    for name in ("img_size", "num_classes"):
        if name in (args.model_arguments or {}):
            hint = "pass --image-size" if name == "img_size" else "the class folders decide it"
            raise RequestError(f"--model-arguments: {name} is not for them to say", hint=hint)
    own = _own_size(timm_name)
    if args.image_size is not None:
        return int(args.image_size)
    return int(arguments.get("img_size") or own)


def _implied(args: argparse.Namespace, given: dict[str, Any]) -> dict[str, Any]:
    """Return the options that others imply; raises `RequestError` for those that others rule out."""
    epochs, warmup = (given.get(name, FIELDS[name].default) for name in ("epochs", "warmup_epochs"))
    implied: dict[str, Any] = {}
    if "warmup_epochs" not in given:
        implied["warmup_epochs"] = min(warmup, WARMUP_MAX * epochs)
    if args.teacher is None:
        _refuse(args, ("teacher_checkpoint", "teacher_image_size", "distillation"), "without --teacher")
    elif given.get("distillation") == 0:
        raise RequestError("--teacher has no effect with --distillation 0", hint="leave one of them out")
    else:
        implied["distillation"] = given.get("distillation", TAUGHT)
    if args.frozen_blocks:
        _refuse(args, (*UNCHANGED, "teacher"), "with --frozen-blocks")
        implied |= UNCHANGED
    return implied


def _refuse(args: argparse.Namespace, names: tuple[str, ...], where: str) -> None:
    for name in names:
        if getattr(args, name) is not None:
            raise RequestError(f"--{name.replace('_', '-')} does not apply {where}", hint="leave it out")


def model_request(args: argparse.Namespace) -> ModelRequest:
    """Return the architecture with what its weights start from; raises `RequestError`."""
    return ModelRequest(model=args.model, weights=args.weights, checkpoint=args.checkpoint)


def teacher_request(args: argparse.Namespace) -> "TeacherRequest | None":
    """Return the teacher that the command line names, if any."""
    from export.training.model.teacher import TeacherRequest

    if args.teacher is None:
        return None
    if args.teacher.endswith(".onnx"):
        _refuse(args, ("teacher_checkpoint",), "to an ONNX file, which has its weights")
        return TeacherRequest(args.teacher, None, args.teacher_image_size or 224)
    entry = find_model(args.teacher)
    size = args.teacher_image_size or int(entry.arguments.get("img_size") or _own_size(entry.timm_name))
    return TeacherRequest(args.teacher, args.teacher_checkpoint, size)


def _own_size(timm_name: str) -> int:
    import timm

    try:
        config = timm.get_pretrained_cfg(timm_name)
    except RuntimeError:  # the architecture is known, the tag is not
        config = None
    if config is None or not timm.is_model(timm_name):
        raise RequestError(
            f"--model: timm {timm.__version__} has no model {timm_name}",
            hint="python -c 'import timm; print(timm.list_models())' lists them",
        )
    return int(config.input_size[1])
