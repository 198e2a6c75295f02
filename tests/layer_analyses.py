"""Files that `export.analyze` writes, made by the real analysis of a tiny model on a few images."""

from functools import lru_cache
from pathlib import Path

import torch
from msgspec.structs import replace

from export.quantization.analysis.mix import mix
from export.quantization.analysis.mixed_precision import Limit
from export.quantization.analysis.records import Analysis, MixedPrecision
from export.quantization.analysis.run import Subject, analyse, write_json
from export.quantization.recipes import find_recipe
from tests.tiny import tiny

RECIPE = "w4a8_minmax"
COMMAND = f"python -m export.analyze --model plain --recipe {RECIPE} --data /home/somebody/pictures"


@lru_cache(maxsize=1)
def subject() -> Subject:
    """The tiny ViT under the name and weights of the model `plain` in `rendering`."""
    spec, module, images = tiny("vit")
    with torch.no_grad():
        outputs = module(images)
    own = replace(spec, name="plain", weights_sha256="ab" * 32)
    return Subject(own, module, images, outputs.argmax(1), "synthetic images", outputs, None)


def write_analysis(folder: Path, recipe: str = RECIPE) -> tuple[Path, Analysis]:
    """Analyse layers and everything in integers; write the file that the command writes."""
    path = folder / f"analysis-plain-{recipe}.json"
    return path, analyse(subject(), find_recipe(recipe), ladder=True, command=COMMAND, path=path)


def write_mixed(folder: Path) -> tuple[Path, MixedPrecision]:
    """Choose bits of 3 and 8, within 4 a weight on average; write the file that the command writes."""
    _, mixed = mix(subject(), find_recipe(RECIPE), (3, 8), Limit(), average=4.0, command=COMMAND)
    path = folder / f"mixed-plain-{mixed.chosen.recipe}.json"
    write_json(mixed, path)
    return path, mixed
