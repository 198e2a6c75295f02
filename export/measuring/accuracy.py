"""Accuracy in the browser and in PyTorch, on the same encoded images; imports PyTorch."""

from pathlib import Path
from typing import Any

import numpy as np

from export.core.console import Progress
from export.core.errors import RequestError, WrongAnswersError
from export.core.records import Artifact, Measurement
from export.measuring.browser.page_client import page_client
from export.measuring.float_reference import FloatReference, Outputs, compare_outputs, float_reference, top1
from export.measuring.selection import Combination, MeasurementPlan
from export.page.content.kept_accuracy import TOP1
from export.page.results_view import NATIVE
from export.pipeline.store import Store

REPORT_EVERY = 250  # images between two lines of progress


def measure_accuracy(plan: MeasurementPlan, *, artifacts: Path, data: Path | None, limit: int) -> list[Measurement]:
    """Return accuracy and agreement of every combination to check, and PyTorch's accuracy on the same images.

    A back end that fails the page's self-test is skipped with a warning.

    Raises `RequestError` when the artifacts are not those the page was built from.
    """
    measured: list[Measurement] = []
    store = Store(artifacts)
    for model in {combination.model["name"]: combination.model for combination in plan.checked}.values():
        combinations = [combination for combination in plan.checked if combination.model is model]
        original = _original(store, model)
        reference = _reference(
            store.folder(model["name"], original.recipe, original.format), data, limit, model["name"]
        )
        measured += _native(original, reference)
        progress = Progress(len(combinations) * len(reference.images))
        for combination in combinations:
            try:
                outputs = _outputs(plan, combination, reference, progress)
            except WrongAnswersError as error:
                progress.step(f"{combination}: skipped, {error.message}", len(reference.images))
                continue
            for metric, unit, figure in compare_outputs(reference, outputs):
                measured.append(combination.measurement(metric, unit, figure))
    return measured


def _original(store: Store, model: dict[str, Any]) -> Artifact:
    """Return the float model's artifact, having made sure that the page's variants were made from these artifacts."""
    name = model["name"]
    original = store.read(name, "f32", "torch")
    stored = {variant["id"]: store.read(name, variant["recipe"], variant["format"]) for variant in model["variants"]}
    stale = [
        variant["id"]
        for variant in model["variants"]
        if (artifact := stored[variant["id"]]) is None or artifact.sha256 != variant["sha256"]
    ]
    if original is None or stale:
        raise RequestError(
            f"the page was not built from {store.root / name}"
            + (f" ({', '.join(stale)} differ)" if original else " (it has no float model to compare with)"),
            hint=f"build again: python -m export.build --model {name}   (--limit 0 measures only latency)",
        )
    return original


def _reference(folder: Path, data: Path | None, limit: int, name: str) -> FloatReference:
    progress: list[Progress] = []

    def report(done: int, total: int) -> None:
        if not progress:
            progress.append(Progress(total))
        if done % REPORT_EVERY == 0 or done == total:
            progress[0].step(f"{name} in PyTorch", done - progress[0].done)

    return float_reference(folder, data, limit, report)


def _native(original: Artifact, reference: FloatReference) -> list[Measurement]:
    if reference.labels is None or reference.spec.features:
        return []
    figure = top1(reference.outputs, reference.labels)
    return [
        Measurement(
            metric=TOP1,
            value=figure.value,
            unit="share",
            n=figure.n,
            p10=figure.low,
            p90=figure.high,
            model=original.model,
            variant=f"{original.recipe}-{original.format}",
            engine=NATIVE,
            backend="cpu",
            threads=reference.threads,
            artifact_sha256=original.sha256,
        )
    ]


def _outputs(plan: MeasurementPlan, combination: Combination, reference: FloatReference, progress: Progress) -> Outputs:
    collected: list[Outputs] = []
    unreported = 0
    with page_client(plan.browser, plan.url, plan.site_data) as client:
        combination.load_into(client, batch=combination.threads)
        for outputs in client.classify(reference.images):
            collected.append(outputs)
            unreported += len(outputs)
            if unreported >= REPORT_EVERY:
                progress.step(f"{combination}: accuracy", unreported)
                unreported = 0
    if unreported:
        progress.step(f"{combination}: accuracy", unreported)
    return np.concatenate(collected)
