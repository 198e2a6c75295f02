"""What a benchmark of all engines found, its ratios, and what is asked of them."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

from export.figures import format_bytes, format_ms
from export.spec import Environment, Record
from export.statistics import Figure, summarise


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Record):
    """One contender on a back end, with so many threads; `rounds_ms` are its rounds' medians, in their order.

    `role` is what stands in ratios. `cold` are the milliseconds of a start on localhost by phase; `sqnr_db` is that of
    the outputs against the float model, None where it is the same as with one thread.
    """

    model: str
    role: str
    title: str
    engine: str
    threads: int
    rounds_ms: tuple[float, ...]
    n: int
    latency_ms: float
    p10: float
    p90: float
    cold: dict[str, float]
    sqnr_db: float | None
    backend: str = "wasm"

    @property
    def lane(self) -> str:
        """Where it ran, for a reader."""
        return lane_title(self.backend, self.threads)


def lane_title(backend: str, threads: int) -> str:
    """Return the name of a back end with so many threads, among which contenders take turns."""
    return f"{threads} thread{'s' * (threads > 1)}" if backend == "wasm" else backend


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Record):
    """A first visit: all bytes until the first answer, and the seconds it took on a slow line and processor."""

    model: str
    role: str
    title: str
    bytes: int
    gzip_bytes: int
    brotli_bytes: int
    seconds: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """The median of `seconds`."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark(Record):
    """A whole run; starts had `mbit_per_s`, answers `delay_ms` later, and the `cpu_slowdown`-th part of the time."""

    schema_version: int
    environment: Environment
    mbit_per_s: float
    delay_ms: float
    cpu_slowdown: float
    rows: tuple[Row, ...]
    starts: tuple[Start, ...]

    def row(self, model: str, role: str, lane: str) -> Row | None:
        """Return a contender's row; `lane` is `1 thread`, `2 threads`, `webgl` and so on."""
        return next((row for row in self.rows if (row.model, row.role, row.lane) == (model, role, lane)), None)

    def start(self, model: str, role: str) -> Start | None:
        """Return a contender's first visit."""
        return next((start for start in self.starts if (start.model, start.role) == (model, role)), None)


def joined(old: Benchmark, new: Benchmark) -> Benchmark | None:
    """Return both, models measured anew in the places of the old ones; None where they were not measured alike."""
    if replace(old, rows=(), starts=()) != replace(new, rows=(), starts=()):
        return None
    models = dict.fromkeys(row.model for row in (*old.rows, *new.rows))
    anew = {row.model for row in new.rows}
    sources = [new if model in anew else old for model in models]
    return replace(
        new,
        rows=tuple(row for model, one in zip(models, sources, strict=True) for row in one.rows if row.model == model),
        starts=tuple(
            start for model, one in zip(models, sources, strict=True) for start in one.starts if start.model == model
        ),
    )


def ratio(found: Benchmark, model: str, role: str, other: str, lane: str) -> Figure | None:
    """Return the median of latency over the other's, round by round, so that what slowed a round slowed both."""
    first, second = found.row(model, role, lane), found.row(model, other, lane)
    if first is None or second is None:
        return None
    return summarise([mine / theirs for mine, theirs in zip(first.rounds_ms, second.rounds_ms, strict=True)])


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


def _megabytes(value: float) -> str:
    return format_bytes(int(value))


BARS: tuple[Bar, ...] = (
    *(
        Bar(
            title=f"`vit` / LiteRT.js int8 as onnx2tf converts it, {lane}", limit=0.5,
            value=_ratio("vit", "litert_stock", lane), write=_times,
        )
        for lane in ("1 thread", "2 threads")
    ),
    *(
        Bar(
            title=f"`vit` / ONNX Runtime Web int8, {lane}", limit=0.33, value=_ratio("vit", "ort", lane), write=_times,
        )
        for lane in ("1 thread", "2 threads")
    ),
    Bar(
        title="`vit` without relaxed SIMD / LiteRT.js int8, 1 thread", limit=1.0,
        value=_ratio("vit_plain", "litert_stock", "1 thread"), write=_times,
    ),
    Bar(
        title="`vit` / TF.js, stock conversion, 1 thread", limit=0.1, value=_ratio("vit", "tfjs_stock", "1 thread"),
        write=_times,
    ),
    Bar(
        title="TF.js, stock conversion / TF.js, shaped for it, 1 thread", limit=2.3, least=True,
        value=_inverse("tfjs", "tfjs_stock"), write=_times,
    ),
    *(
        Bar(
            title=f"TF.js, shaped for it / stock conversion, {lane}", limit=1.0,
            value=_ratio("tfjs", "tfjs_stock", lane), write=_times,
        )
        for lane in ("webgl", "webgpu")
    ),
    Bar(
        title="SQNR of 8-bit `vit` less the better one of LiteRT.js and ONNX Runtime Web", limit=0.0, least=True,
        value=_sqnr_lead, write=lambda value: f"{value:.1f} dB",
    ),
    Bar(title="bytes to the first answer, gzip, 8-bit `vit`", limit=5.7e6, value=_gzip("vit"), write=_megabytes),
    Bar(title="bytes to the first answer, gzip, 4-bit `vit`", limit=3.4e6, value=_gzip("vit4"), write=_megabytes),
    Bar(
        title="time to the first answer, slow line and processor, 8-bit `vit` / transformers.js q8", limit=0.6,
        value=_start_ratio("vit", "transformers"), write=_times,
    ),
    Bar(
        title="time to the first answer, slow line and processor, 4-bit `vit` / transformers.js q8", limit=0.4,
        value=_start_ratio("vit4", "transformers"), write=_times,
    ),
)  # fmt: skip


def latency_table(found: Benchmark, model: str) -> list[str]:
    """Return one model's latencies and their ratios to the first contender as Markdown."""
    rows = [row for row in found.rows if row.model == model]
    lines = [
        "| engine | on | warm latency (p10 – p90) | × `vit` | SQNR | start: load, decode, compile, first run |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        against = ratio(found, model, row.role, "vit", row.lane)
        spread = f"{format_ms(row.latency_ms)} ({format_ms(row.p10)} – {format_ms(row.p90)}, n={row.n})"
        cold = ", ".join(format_ms(value) for value in row.cold.values()) or "not measured"
        sqnr = (
            "as with 1 thread"
            if row.sqnr_db is None and row.threads > 1
            else ("not measured" if row.sqnr_db is None else f"{row.sqnr_db:.1f} dB")
        )
        times = (
            "not measured"
            if against is None
            else (
                f"{against.value:.2f}"
                + (f" ({against.low:.2f} – {against.high:.2f})" if against.low != against.high else "")
            )
        )
        lines.append(f"| {row.title} | {row.lane} | {spread} | {times} | {sqnr} | {cold} |")
    return lines


def start_table(found: Benchmark, model: str) -> list[str]:
    """Return one model's first visits as Markdown, or nothing where none was measured."""
    starts = [start for start in found.starts if start.model == model]
    if not starts:
        return []
    lines = [
        f"A first visit with {found.mbit_per_s:g} Mbit/s, {found.delay_ms:g} ms to every answer, and one part in "
        f"{found.cpu_slowdown:g} of the processor:",
        "",
        "| engine | all bytes: raw | gzip | brotli | first answer after (least – most) |",
        "|---|---|---|---|---|",
    ]
    for start in starts:
        seconds = sorted(start.seconds)
        time = f"{start.median_s:.1f} s ({seconds[0]:.1f} – {seconds[-1]:.1f} s, n={len(seconds)})"
        sizes = [format_bytes(size) for size in (start.bytes, start.gzip_bytes, start.brotli_bytes)]
        lines.append(f"| {start.title} | {' | '.join(sizes)} | {time} |")
    return lines


def markdown(found: Benchmark) -> str:
    """Return every model's tables, and the bars for the first one."""
    place = found.environment
    lines = [
        f"{place.browser} on {place.cpu}, {place.logical_cores} logical cores, GPU: {place.gpu}, {place.os}. "
        "All engines lie on one page and take turns, round by round; ratios are of the same rounds.",
    ]
    models = list(dict.fromkeys(row.model for row in found.rows))
    for model in models:
        lines += ["", f"**{model}**", "", *latency_table(found, model), "", *start_table(found, model)]
    lines += ["", f"What is asked of {models[0]}:", "", *(f"* {bar.line(found, models[0])}" for bar in BARS)]
    return "\n".join(lines)
