"""Training and calibrating quantized versions of one float model, from the images to their table."""

from dataclasses import dataclass
from pathlib import Path

import torch

from export.core.console import say
from export.core.errors import RequestError
from export.data.fashion import read_full
from export.models.catalog import find_model
from export.models.choice.request import ModelRequest
from export.models.load import load
from export.quantization.recipes import RECIPES, Recipe
from export.quantization.training.bitwidth_study import (
    Study,
    check_resumable,
    check_trains,
    obtain,
    ptq_recipes,
    write_table,
)
from export.quantization.training.defaults import DATASETS, TRAINED
from export.quantization.training.images import FashionImages, OwnPicturesRequest, TrainedImages, open_own_pictures
from export.quantization.training.qat_training import FinetuneOptions, load_trained


@dataclass(frozen=True, kw_only=True)
class QatRequest:
    """What to train from which float weights; `ptq` are methods of calibration to compare with, as `affine,minmax`.

    `checkpoint` None stands for the embedded weights, or those that training left; `data` is the folder of
    Fashion-MNIST, unless `pictures` are asked for; `command` what the table says of how it was made.
    """

    model: str
    recipes: tuple[Recipe, ...]
    options: FinetuneOptions
    data: Path | None
    out: Path
    command: str
    pictures: OwnPicturesRequest | None = None
    ptq: str = ""
    checkpoint: Path | None = None
    resume: bool = False

    def float_weights(self) -> Path | None:
        """Return the file of float weights, None for embedded ones; raises `RequestError` where training left none."""
        if self.checkpoint is not None or find_model(self.model).embedded:
            return self.checkpoint
        name = "model" if self.pictures else self.model
        path = TRAINED / self.model / f"{name}.safetensors"
        if not path.is_file():
            data = f"--data {self.pictures.data} " if self.pictures else ""
            raise RequestError(
                f"--model {self.model}: there are no float weights at {path}",
                hint=f"train them: python -m export.train {data}--model {self.model}   (or pass --checkpoint FILE)",
            )
        return path


def train_quantized(request: QatRequest) -> Path:
    """Train (and calibrate) every recipe, and return the table, which is written anew after each."""
    check_trains(request.recipes)
    compared = ptq_recipes(request.recipes, request.ptq)
    weights = request.float_weights()
    if request.resume:
        check_resumable(request.out)
    train: TrainedImages
    test: TrainedImages
    if request.pictures is not None:
        spec, module = load(ModelRequest(model=request.model, checkpoint=weights))
        spec, train, test = open_own_pictures(request.pictures, spec)
        data = request.pictures.data.name
    else:
        spec, module = load_trained(request.model, weights)
        train, test = (_fashion(split, request.data) for split in ("train", "t10k"))
        data = "Fashion-MNIST (Zalando Research)"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    study = Study(
        spec=spec,
        module=module,
        options=request.options,
        train=train,
        test=test,
        data=data,
        device=device,
        out=request.out,
    )
    rows = [study.evaluate(RECIPES["f32"], "float", module)]
    for recipe in (*compared, *request.recipes):
        rows.append(obtain(study, recipe, resume=request.resume))
        table = write_table(study, rows, request.command)
    say(f"float {100 * rows[0].top1:.2f} % on {rows[0].n:,} test images → {table}")
    return table


def _fashion(split: str, folder: Path | None) -> FashionImages:
    data = read_full(split, folder, DATASETS)
    return FashionImages(data.images, data.labels)
