"""TensorFlow: onnx2tf's conversion of the ONNX parent."""

import shutil

from export.pipeline.stage import Outcome, Stage


def make(stage: Stage) -> Outcome:
    """Write `saved_model`; a parent without a graph of its own gives an artifact without one."""
    from export.conversion.onnx.export import MODEL
    from export.conversion.reshape import REWRITE_RECORD
    from export.conversion.tensorflow import to_tf
    from export.models.weights.float_artifact import read_golden

    onnx = next(folder for format, folder in stage.parents.items() if format.startswith("onnx"))
    if not (onnx / MODEL).is_file():
        shutil.copyfile(onnx / REWRITE_RECORD, stage.folder / REWRITE_RECORD)
        return Outcome()
    inputs, _ = read_golden(stage.parents["torch"])
    comparison = to_tf(stage.tools(), onnx / MODEL, inputs, stage.folder, name=stage.request.name, tell=stage.tell)
    return Outcome(comparisons=(comparison,))
