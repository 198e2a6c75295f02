"""The float model: loaded once, stored with its golden inputs and outputs, and the root of everything else."""

from typing import Any

from export.models.choice.request import describe
from export.pipeline.stage import Outcome, Stage


def options(stage: Stage) -> dict[str, Any]:
    """Return what was asked for, and the SHA-256 of every file that is read."""
    return describe(stage.request)


def make(stage: Stage) -> Outcome:
    """Write spec, weights and golden inputs and outputs."""
    stage.warm_up()  # TensorFlow takes seconds to import: that happens beside the work here
    from export.data.synthetic import golden_inputs
    from export.models.load import load
    from export.models.weights.float_artifact import write_model

    spec, module = load(stage.request, stage.tell)
    write_model(spec, module, golden_inputs(spec), stage.folder)
    return Outcome()
