"""From the results of the grid to one comparison: the rows of each model, in the order of the request."""

from collections.abc import Sequence
from typing import Any

from export.comparing.grid.job import Job, JobResult
from export.comparing.grid.run import Grid
from export.comparing.plan import ModelPlan
from export.comparing.variations import Variation
from export.core.environment.machine import cpu_model
from export.core.errors import ExportError
from export.core.records import ModelSpec
from export.page.reports.comparison.records import (
    SCHEMA_VERSION,
    Comparison,
    ComparisonRow,
    DynamicCheck,
    Failed,
    ModelComparison,
    Operator,
    Peer,
    Speed,
)
from export.quantization.evaluation.records import EvaluationRow


def compile_comparison(
    plans: Sequence[ModelPlan], variations: Sequence[Variation], grid: Grid, command: str, refused: Sequence[Failed]
) -> Comparison:
    """Return what was found of every model whose float row there is; what failed is listed, with the models `refused`.

    Raises `ExportError` when there is no model left.
    """
    models = [
        _model(plan, variations, grid.results[plan.float_row.key], grid, command)
        for plan in plans
        if plan.float_row.key in grid.results
    ]
    failures = [Failed(subject=one.job.subject, message=one.message) for one in grid.failures]
    if not models:
        raise ExportError("no model could be evaluated", hint="; ".join(one.message for one in (*refused, *failures)))
    return Comparison(
        schema_version=SCHEMA_VERSION, command=command, models=tuple(models), failures=(*refused, *failures)
    )


def _model(
    plan: ModelPlan, variations: Sequence[Variation], float_result: JobResult, grid: Grid, command: str
) -> ModelComparison:
    found = float_result.result
    spec = ModelSpec.from_json(found["spec"])
    pairs = [(Variation("f32"), plan.float_row), *zip(variations, plan.evaluations, strict=True)]
    others = _others(plan.others, grid)
    return ModelComparison(
        model=spec.name,
        title=spec.title,
        weights=spec.weights,
        weights_sha256=spec.weights_sha256,
        parameters=spec.parameters,
        data=found["data"],
        calibration_data=found["calibration_data"],
        n=found["n"],
        labelled=found["labelled"],
        features=spec.features,
        machine=found["machine"],
        cpu=cpu_model(),
        tools=found["tools"],
        rows=tuple(_row(one, grid.results[job.key]) for one, job in pairs if job.key in grid.results),
        speeds=tuple(Speed.from_json(values) for values in others.get("speeds", ())),
        operators=tuple(Operator.from_json(values) for values in others.get("operators", ())),
        dynamic=DynamicCheck.from_json(others["dynamic"]) if "dynamic" in others else None,
        peers=tuple(Peer.from_json(values) for values in others.get("peers", ())),
        commands=(command,),
    )


def _others(jobs: Sequence[Job], grid: Grid) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for job in jobs:
        if job.key in grid.results:
            found |= grid.results[job.key].result
    return found


def _row(variation: Variation, result: JobResult) -> ComparisonRow:
    recipe = variation.recipe
    method = None if isinstance(recipe, str) or recipe.quantization is None else recipe.quantization.method
    return ComparisonRow(
        evaluation=EvaluationRow.from_json(result.result["row"]),
        method=method.name if method else "",
        weight_groups=method.weight_groups if method else 1,
        images=variation.images,
        seed=variation.seed,
        cell=variation.cell,
        seconds=result.seconds,
        peak_bytes=result.peak_bytes,
    )
