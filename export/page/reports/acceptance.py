"""What is asked of a benchmark's figures."""

from collections.abc import Callable
from dataclasses import dataclass

from export.core.units import format_bytes
from export.page.reports.benchmark import Benchmark, ratio


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """What is asked of a figure: `limit` at most, or at least."""

    title: str
    limit: float
    value: Callable[[Benchmark, str], float | None]
    write: Callable[[float], str]
    least: bool = False

    def line(self, found: Benchmark, model: str) -> str:
        """Return the figure beside what was asked."""
        value = self.value(found, model)
        if value is None:
            return f"{self.title}: not measured"
        holds = value >= self.limit if self.least else value <= self.limit
        asked = f"{'at least' if self.least else 'at most'} {self.write(self.limit)} asked"
        return f"{self.title}: {self.write(value)}, {asked}: {'holds' if holds else '**does not hold**'}"


def _times(value: float) -> str:
    return f"{value:.2f}×"


def _ratio(role: str, other: str, lane: str) -> Callable[[Benchmark, str], float | None]:
    def value(found: Benchmark, model: str) -> float | None:
        figure = ratio(found, model, role, other, lane)
        return None if figure is None else figure.value

    return value


def _inverse(role: str, other: str) -> Callable[[Benchmark, str], float | None]:
    value = _ratio(other, role, "1 thread")
    return lambda found, model: value(found, model)


def _sqnr_lead(found: Benchmark, model: str) -> float | None:
    own, *others = (found.row(model, role, "1 thread") for role in ("vit", "litert_stock", "ort"))
    known = [other.sqnr_db for other in others if other and other.sqnr_db is not None]
    return own.sqnr_db - max(known) if own and own.sqnr_db is not None and len(known) == len(others) else None


def _gzip(role: str) -> Callable[[Benchmark, str], float | None]:
    def value(found: Benchmark, model: str) -> float | None:
        start = found.start(model, role)
        return None if start is None else float(start.gzip_bytes)

    return value


def _start_ratio(role: str, other: str) -> Callable[[Benchmark, str], float | None]:
    def value(found: Benchmark, model: str) -> float | None:
        first, second = found.start(model, role), found.start(model, other)
        if first is None or second is None:
            return None
        return first.median_s / second.median_s

    return value


def _count_ratio(role: str, other: str, backend: str) -> Callable[[Benchmark, str], float | None]:
    def value(found: Benchmark, model: str) -> float | None:
        first, second = found.count(model, role, backend), found.count(model, other, backend)
        return None if first is None or second is None else first / second

    return value


def _megabytes(value: float) -> str:
    return format_bytes(int(value))


BARS: tuple[Bar, ...] = (
    *(
        Bar(
            title=f"`vit` / LiteRT.js int8 as onnx2tf converts it, {lane}",
            limit=0.5,
            value=_ratio("vit", "litert_stock", lane),
            write=_times,
        )
        for lane in ("1 thread", "2 threads")
    ),
    *(
        Bar(title=f"`vit` / ONNX Runtime Web int8, {lane}", limit=0.33, value=_ratio("vit", "ort", lane), write=_times)
        for lane in ("1 thread", "2 threads")
    ),
    Bar(
        title="`vit` without relaxed SIMD / LiteRT.js int8, 1 thread",
        limit=1.0,
        value=_ratio("vit_plain", "litert_stock", "1 thread"),
        write=_times,
    ),
    Bar(
        title="`vit` / TF.js, stock conversion, 1 thread",
        limit=0.1,
        value=_ratio("vit", "tfjs_stock", "1 thread"),
        write=_times,
    ),
    Bar(
        title="TF.js, stock conversion / TF.js, shaped for it, 1 thread",
        limit=2.3,
        least=True,
        value=_inverse("tfjs", "tfjs_stock"),
        write=_times,
    ),
    *(
        Bar(
            title=f"TF.js, shaped for it / stock conversion, {lane}",
            limit=1.0,
            value=_ratio("tfjs", "tfjs_stock", lane),
            write=_times,
        )
        for lane in ("webgl", "webgpu")
    ),
    *(
        Bar(
            title=f"TF.js, shaped for it / stock conversion, GPU programs an image on {backend}",
            limit=1.0,
            value=_count_ratio("tfjs", "tfjs_stock", backend),
            write=_times,
        )
        for backend in ("webgl", "webgpu")
    ),
    Bar(
        title="SQNR of 8-bit `vit` less the better one of LiteRT.js and ONNX Runtime Web",
        limit=0.0,
        least=True,
        value=_sqnr_lead,
        write=lambda value: f"{value:.1f} dB",
    ),
    Bar(title="bytes to the first answer, gzip, 8-bit `vit`", limit=5.7e6, value=_gzip("vit"), write=_megabytes),
    Bar(title="bytes to the first answer, gzip, 4-bit `vit`", limit=3.4e6, value=_gzip("vit4"), write=_megabytes),
    Bar(
        title="time to the first answer, slow line and processor, 8-bit `vit` / transformers.js q8",
        limit=0.6,
        value=_start_ratio("vit", "transformers"),
        write=_times,
    ),
    Bar(
        title="time to the first answer, slow line and processor, 4-bit `vit` / transformers.js q8",
        limit=0.4,
        value=_start_ratio("vit4", "transformers"),
        write=_times,
    ),
)
