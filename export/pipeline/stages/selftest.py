"""What a page tests its back ends by: the reference images, and what each artifact makes of them in the build itself.

A page refuses a back end that lies much further from the float model: the rule is in the page's self-test.
"""

import json
from importlib import import_module
from typing import TYPE_CHECKING, cast

from export.core.records import ModelSpec
from export.pipeline.stage import Outcome, Stage

if TYPE_CHECKING:
    from export.pipeline.stage import RunnerModule

REFERENCE, RESULT = "selftest.safetensors", "selftest.json"


def make(stage: Stage) -> Outcome:
    """Write the images with the float model's outputs, or, given a `runner`, how far an artifact lies from them."""
    if stage.runner:
        _run(stage)
    else:
        _write_reference(stage)
    return Outcome()


def _write_reference(stage: Stage) -> None:
    from export.models.weights.float_artifact import read_model
    from export.pipeline.reference_images import write_reference

    write_reference(*read_model(stage.parents["torch"]), stage.folder / REFERENCE)


def _run(stage: Stage) -> None:
    from export.pipeline.reference_images import read_reference

    tested, images, torch = stage.parents.values()
    runner = cast("RunnerModule", import_module(stage.runner))
    reference = read_reference(images / REFERENCE)
    spec = ModelSpec.read(torch / "spec.json")
    result = reference.compare(runner.run(tested, reference.inputs(spec), stage.tools, stage.log))
    (stage.folder / RESULT).write_text(json.dumps(result.to_json()) + "\n", "utf-8")
