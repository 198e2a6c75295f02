"""ONNX of the model rewritten for a runtime, which is named by what follows `_` in the format; or as it is."""

from export.pipeline.stage import Outcome, Stage
from export.pipeline.stages.onnx import plain_model

GPU = "_gpu"  # a second graph: only worth having where the model could be rewritten for the first


def make(stage: Stage) -> Outcome:
    """Write `model.onnx`, and `rewrite.json` with why the model could not be rewritten, if so.

    A second graph of a model that keeps its own would be the same again: then there is that record alone.
    """
    from export.conversion.reshape.export import to_rewritten_onnx

    module, inputs, outputs = plain_model(stage)
    runtime = stage.format.partition("_")[2]
    result = to_rewritten_onnx(
        module,
        inputs,
        outputs,
        stage.folder,
        target=runtime if stage.recipe.quantization is None else f"{runtime}_packed",
        name=stage.request.name,
        log=stage.log,
        optional=runtime.endswith(GPU),
    )
    if result.reason and result.comparisons:
        stage.tell(f"note: {result.reason}; it is converted as it is")
    return Outcome(comparisons=result.comparisons)
