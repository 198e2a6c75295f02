"""A file of confidence, as `python -m export.evaluate --confidence` writes it, and what a model takes from it."""

from collections.abc import Callable

from export.core.errors import ArtifactError, RequestError
from export.core.records import Confidence, Estimate, ModelSpec, Preprocess
from export.core.schema import Count, PositiveInt, Record
from export.models.choice.request import ModelRequest

SCHEMA_VERSION = 1
FIT_AGAIN = "fit it again: python -m export.evaluate --confidence"


class UnknownSet(Record, frozen=True, kw_only=True):
    """The share of the images of `data`, which show none of the model's classes, that are called unknown."""

    data: str
    rejected: Estimate


class QuantizedConfidence(Record, frozen=True, kw_only=True):
    """What a quantized model does with the float model's threshold on the same held-out images."""

    recipe: str
    top1: Estimate
    false_alarms: Estimate


class ConfidenceFile(Record, frozen=True, kw_only=True):
    """The whole file: a model's `confidence`, fitted on `fitted_on` images, and figures of the held-out ones.

    `ece` is the expected calibration error of the largest probability in 15 bins, with a 95 % bootstrap interval;
    `uncalibrated_ece` that at temperature 1.
    """

    schema_version: int
    model: str
    weights_sha256: str
    preprocess: Preprocess
    confidence: Confidence
    fitted_on: PositiveInt
    top1: Estimate
    uncalibrated_ece: Estimate
    ece: Estimate
    unknown: tuple[UnknownSet, ...]
    quantized: tuple[QuantizedConfidence, ...]
    command: str
    machine: str
    threads: Count
    tools: dict[str, str]


def confidence_for(request: ModelRequest, spec: ModelSpec, tell: Callable[[str], None]) -> Confidence | None:
    """Return the confidence of the requested file, else the embedded model's, or None where there is neither.

    An embedded file of other weights or preprocessing is left out, with a note; raises `RequestError` for a requested
    one, and for a model whose classes do not exclude each other.
    """
    from export.data.embedded import embedded_model  # brings NumPy

    own = embedded_model(request.entry.name) if request.kind == "embedded" else None
    path = request.confidence or (own.confidence if own else None)
    if path is None:
        return None
    if request.confidence is None and not path.is_file():
        tell(f"note: {path.name} is missing; the page will not say when an image is of no class")
        return None
    try:
        file = ConfidenceFile.read(path, hint=FIT_AGAIN)
    except ArtifactError as error:
        if request.confidence is None:
            raise
        raise RequestError(f"--confidence {error.message}", hint=error.hint) from error
    fault = _fault(file, spec)
    if not fault:
        return file.confidence
    if request.confidence is not None:
        raise RequestError(f"--confidence {path} {fault}", hint=f"leave it out, or {FIT_AGAIN}")
    tell(f"note: {path.name} {fault} and is not used; the page will not say when an image is of no class")
    return None


def require_exclusive_classes(spec: ModelSpec) -> None:
    """Raise `RequestError` for a model that does not choose one of several classes."""
    if not _chooses(spec):
        raise RequestError(
            f"{spec.name} does not choose one of several classes, and only such models have a confidence",
            hint="leave --confidence out",
        )


def _chooses(spec: ModelSpec) -> bool:
    return not spec.features and spec.probabilities == "softmax" and spec.outputs >= 2


def _fault(file: ConfidenceFile, spec: ModelSpec) -> str:
    """Return why a file is not that of a model, or ''."""
    if not _chooses(spec):
        return f"is for models that choose one of several classes, which {spec.name} does not"
    if file.weights_sha256 != spec.weights_sha256:
        return (
            f"was fitted on other weights ({file.model}, SHA-256 {file.weights_sha256[:10]}…) "
            f"than these of {spec.name} ({spec.weights_sha256[:10]}…)"
        )
    return "" if file.preprocess == spec.preprocess else f"was fitted with another preprocessing than {spec.name} has"
