"""The acceptance criteria of a benchmark: thresholds for ratios of latency, sizes, start-up times and accuracy."""

from collections.abc import Callable
from dataclasses import dataclass

from export.core.figures.units import format_bytes
from export.page.reports.benchmark.records import Benchmark, ratio
from export.page.reports.markdown import UNKNOWN, Verdict

Value = Callable[[Benchmark, str], float | None]  # a figure of a model, None where it was not measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """A threshold for a figure: an upper bound, or with `at_least` a lower one."""

    title: str
    threshold: float
    value: Value
    write: Callable[[float], str]
    at_least: bool = False

    def judge(self, benchmark: Benchmark, model: str) -> Verdict:
        """Compare a model's figure with the threshold."""
        value = self.value(benchmark, model)
        passed = None if value is None else value >= self.threshold if self.at_least else value <= self.threshold
        return Verdict(
            criterion=self.title,
            measured=UNKNOWN if value is None else self.write(value),
            threshold=f"{'≥' if self.at_least else '≤'} {self.write(self.threshold)}",
            passed=passed,
        )


def _times(value: float) -> str:
    return f"{value:.2f}×"


def _decibels(value: float) -> str:
    return f"{value:.1f} dB"


def _megabytes(value: float) -> str:
    return format_bytes(int(value))


def _latency(role: str, other: str, runs_on: str) -> Value:
    def value(benchmark: Benchmark, model: str) -> float | None:
        figure = ratio(benchmark, model, role, other, runs_on)
        return None if figure is None else figure.value

    return value


def _sqnr_lead(benchmark: Benchmark, model: str) -> float | None:
    own, *others = (benchmark.result(model, role, "1 thread") for role in ("vit", "litert_stock", "ort"))
    known = [other.sqnr_db for other in others if other and other.sqnr_db is not None]
    return own.sqnr_db - max(known) if own and own.sqnr_db is not None and len(known) == len(others) else None


def _gzip(role: str) -> Value:
    def value(benchmark: Benchmark, model: str) -> float | None:
        visit = benchmark.first_visit(model, role)
        return None if visit is None else float(visit.gzip_bytes)

    return value


def _first_prediction(role: str, other: str) -> Value:
    def value(benchmark: Benchmark, model: str) -> float | None:
        own, theirs = benchmark.first_visit(model, role), benchmark.first_visit(model, other)
        return None if own is None or theirs is None else own.median_s / theirs.median_s

    return value


def _dispatches(role: str, other: str, backend: str) -> Value:
    def value(benchmark: Benchmark, model: str) -> float | None:
        own, theirs = benchmark.dispatches(model, role, backend), benchmark.dispatches(model, other, backend)
        return None if own is None or theirs is None else own / theirs

    return value


def _ratio(title: str, threshold: float, value: Value, *, at_least: bool = False) -> Criterion:
    return Criterion(title=title, threshold=threshold, value=value, write=_times, at_least=at_least)


THREADS, GPUS = ("1 thread", "2 threads"), ("webgl", "webgpu")
CRITERIA: tuple[Criterion, ...] = (
    *(
        _ratio(
            f"latency, `vit` / LiteRT.js int8 as onnx2tf converts it, {runs_on}",
            0.5,
            _latency("vit", "litert_stock", runs_on),
        )
        for runs_on in THREADS
    ),
    *(
        _ratio(f"latency, `vit` / ONNX Runtime Web int8, {runs_on}", 0.33, _latency("vit", "ort", runs_on))
        for runs_on in THREADS
    ),
    _ratio(
        "latency, `vit` without relaxed SIMD / LiteRT.js int8, 1 thread",
        1.0,
        _latency("vit_plain", "litert_stock", "1 thread"),
    ),
    _ratio("latency, `vit` / TF.js as onnx2tf converts it, 1 thread", 0.1, _latency("vit", "tfjs_stock", "1 thread")),
    _ratio(
        "latency, TF.js as onnx2tf converts it / rewritten for TF.js, 1 thread",
        2.3,
        _latency("tfjs_stock", "tfjs", "1 thread"),
        at_least=True,
    ),
    *(
        _ratio(
            f"latency, rewritten for TF.js / as onnx2tf converts it, {runs_on}",
            1.0,
            _latency("tfjs", "tfjs_stock", runs_on),
        )
        for runs_on in GPUS
    ),
    *(
        _ratio(
            f"GPU dispatches per inference, rewritten for TF.js / as onnx2tf converts it, {backend}",
            1.0,
            _dispatches("tfjs", "tfjs_stock", backend),
        )
        for backend in GPUS
    ),
    Criterion(
        title="SQNR of 8-bit `vit` minus the better of LiteRT.js and ONNX Runtime Web",
        threshold=0.0,
        value=_sqnr_lead,
        write=_decibels,
        at_least=True,
    ),
    Criterion(title="first-visit download, gzip, 8-bit `vit`", threshold=5.7e6, value=_gzip("vit"), write=_megabytes),
    Criterion(title="first-visit download, gzip, 4-bit `vit`", threshold=3.4e6, value=_gzip("vit4"), write=_megabytes),
    _ratio("time to first prediction, 8-bit `vit` / transformers.js q8", 0.6, _first_prediction("vit", "transformers")),
    _ratio(
        "time to first prediction, 4-bit `vit` / transformers.js q8", 0.4, _first_prediction("vit4", "transformers")
    ),
)
