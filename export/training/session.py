"""Training on pictures from the request to its files: weights, labels, model card and report."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from msgspec.structs import replace
from timm.data.model_config import resolve_input_data_config
from torch import nn

from export.core.console import say
from export.core.errors import RequestError
from export.core.files import hash_json
from export.core.records import Preprocess
from export.data.pictures.arrays import PictureArray, check_classes, model_inputs, stored_side, training_pictures
from export.data.pictures.training_set import TrainingSet, open_training_set
from export.models.choice.request import ModelRequest
from export.training.devices import choose_device
from export.training.loop.batches import (
    AugmentedPictures,
    Batches,
    FrozenActivations,
    HeldOut,
    HeldOutActivations,
    HeldOutPictures,
    Normalise,
)
from export.training.loop.statistics import estimate_statistics
from export.training.loop.trainer import CHECKPOINT_SECONDS, Trainer, make_optimizer
from export.training.model.architecture import create_model
from export.training.model.first_weights import FirstWeights, find_first_weights, load_first_weights
from export.training.model.frozen import LowerBlocks, freeze_lower
from export.training.model.teacher import Teacher, TeacherRequest, load_teacher
from export.training.options import PictureTrainOptions
from export.training.result import Facts, Result, write_result

CHECKPOINT = "checkpoint.pt"
DEFAULT_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class PictureRequest:
    """What to train on which pictures, and where to write it; see `open_training_set` for `data` to `held_out`.

    `model` names the architecture and where first weights come from; `command` is what the model card says of how the
    weights were made, `data_title` and `licence` what it says of the pictures.
    """

    options: PictureTrainOptions
    model: ModelRequest
    data: Path
    validation: Path | None
    words: Path | None
    held_out: float | None
    teacher: TeacherRequest | None
    cache: Path
    out: Path
    command: str
    data_title: str
    licence: str
    resume: bool = False
    checkpoint_seconds: float = CHECKPOINT_SECONDS


@dataclass(frozen=True, slots=True)
class _Start:
    """What training begins with: the module and its `first` weights, the teacher, `options` fit for the pictures."""

    module: nn.Module
    first: FirstWeights
    teacher: Teacher | None
    options: PictureTrainOptions


@dataclass(frozen=True, slots=True)
class _Data:
    """Decoded pictures: those to train on, and those `held_out`, as `preprocess` makes the model's input of them."""

    train: PictureArray
    held_out: PictureArray
    preprocess: Preprocess


def train_on_pictures(request: PictureRequest) -> Path:
    """Train, checkpoint every minute, write weights, labels, card and report; return the file of weights."""
    device, checkpoint, held_out = choose_device(), request.out / CHECKPOINT, request.held_out
    if request.resume and not checkpoint.exists():
        raise RequestError(f"--resume: there is no checkpoint at {checkpoint}", hint="run without --resume first")
    torch.set_float32_matmul_precision("high")
    with open_training_set(request.data, request.validation, request.words, held_out, request.options.seed) as pictures:
        start = _start(request, pictures, device)
        data = _decode(request, pictures, start)
    say(
        f"{len(data.train)} pictures of {len(pictures.classes)} classes, {len(data.held_out)} held out; "
        f"{_parameters(start.module)} parameters; {device.type}"
    )
    normalise = Normalise(data.preprocess, device)
    batches, validation = _prepare(start, data, normalise, request.cache)
    trainer = Trainer(start.module, batches, start.options, start.teacher, device, _origin(start, data))
    if request.resume:
        trainer.load(checkpoint)
        say(f"resuming after step {trainer.position.step} of {trainer.steps}")
    request.out.mkdir(parents=True, exist_ok=True)
    trainer.run(validation, checkpoint, request.checkpoint_seconds)
    if isinstance(batches, AugmentedPictures):  # no other model has BatchNorm
        estimate_statistics(trainer.ema.module, batches)
    facts = Facts(
        data=request.data_title,
        licence=request.licence,
        command=request.command,
        held_out=pictures.held_out,
        first_weights=start.first.title,
        teacher=request.teacher.model if request.teacher else "none",
    )
    result = Result(trainer, pictures, HeldOutPictures(data.held_out, normalise, device), data.preprocess)
    return write_result(result, facts, request.out)


def _start(request: PictureRequest, pictures: TrainingSet, device: torch.device) -> _Start:
    """Return what training begins with; whatever is wrong with the request is an error here, before the long work."""
    options = _with_batch(request.options, len(pictures.train))
    torch.manual_seed(options.seed)
    module = create_model(options, len(pictures.classes))
    first = find_first_weights(request.model, say)
    if first.path is not None:
        option = "--checkpoint" if request.model.checkpoint else f"--model {request.model.model}:"
        load_first_weights(module, first, pictures.classes, say, option)
    if options.frozen_blocks:
        freeze_lower(module, options.frozen_blocks)
    make_optimizer(module, options)
    teacher = load_teacher(request.teacher, pictures.classes, device) if request.teacher else None
    return _Start(module, first, teacher, options)


def _origin(start: _Start, data: _Data) -> dict[str, str]:
    """Return what decides the result besides the options, as a checkpoint has it."""
    arrays = (data.train, data.held_out)
    return {
        "pictures": hash_json([[array.digest, array.targets.tolist()] for array in arrays]),
        "first weights": start.first.sha256,
        "teacher": start.teacher.sha256 if start.teacher else "",
    }


def _parameters(module: nn.Module) -> str:
    """Return how many parameters are trained, and of how many where some are frozen."""
    total = sum(parameter.numel() for parameter in module.parameters())
    trained = sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    return f"{total:,}" if trained == total else f"{trained:,} of {total:,}"


def _with_batch(options: PictureTrainOptions, count: int) -> PictureTrainOptions:
    """Return the options with a batch that so many pictures fill: of the default one; others are a `RequestError`."""
    if options.batch_size <= count:
        return options
    fitting = 1 << (count.bit_length() - 1)
    if options.batch_size != DEFAULT_BATCH or fitting < 2:
        raise RequestError(
            f"--batch-size {options.batch_size} is larger than the {count} pictures to train on",
            hint=f"pass at most {count}",
        )
    say(f"note: with {count} pictures to train on, the batch is {fitting} instead of {options.batch_size}")
    return dataclasses.replace(options, batch_size=fitting)


def _decode(request: PictureRequest, pictures: TrainingSet, start: _Start) -> _Data:
    """Return the training pictures at the side they are cropped from, the held-out ones as the model gets them.

    Pictures that are smaller than that are not cropped for the model, and enlarged as crops of them are in training.
    With frozen blocks, neither are augmented.
    """
    options, cache = request.options, request.cache
    config = resolve_input_data_config(start.module)
    mean, std = start.first.normalisation or (config["mean"], config["std"])
    preprocess = Preprocess(
        size=options.image_size,
        crop_pct=min(1.0, float(config["crop_pct"])),
        crop_mode="center",
        interpolation="bicubic",
        mean=tuple(map(float, mean)),
        std=tuple(map(float, std)),
    )
    if options.frozen_blocks:
        if stored_side(pictures.train, options.image_size) <= options.image_size:
            preprocess = replace(preprocess, crop_pct=1.0)
        train = model_inputs(pictures.train, preprocess, cache, "training pictures")
    else:
        train = training_pictures(pictures.train, preprocess, cache)
        if train.side <= options.image_size:
            preprocess = replace(preprocess, crop_pct=1.0)
        if train.side < options.image_size:  # enlarged as their crops are
            preprocess = replace(preprocess, interpolation="bilinear")
    check_classes(pictures.train, train)
    return _Data(train, model_inputs(pictures.validation, preprocess, cache, "held-out pictures"), preprocess)


def _prepare(start: _Start, data: _Data, normalise: Normalise, cache: Path) -> tuple[Batches, HeldOut]:
    """Return what is trained on and what is held out: pictures, or activations of the frozen blocks."""
    device, options, classes = choose_device(), start.options, int(data.train.targets.max()) + 1
    if not options.frozen_blocks:
        batches = AugmentedPictures(data.train, classes, options, normalise, device)
        return batches, HeldOutPictures(data.held_out, normalise, device)
    lower = LowerBlocks(start.module.to(device), options.frozen_blocks, normalise, device, cache)
    train = lower.activations(data.train, mirrored=True, title="training pictures")
    held_out = lower.activations(data.held_out, mirrored=False, title="held-out pictures")
    return FrozenActivations(train, classes, options, device), HeldOutActivations(held_out, device)
