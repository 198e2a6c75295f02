"""Size, accuracy and latency of a model's variants in one plot, with the variants marked that no other one beats."""

import math
from dataclasses import dataclass

from export.core.figures.units import format_ms, format_percent
from export.core.records import Measurement
from export.page.results_view import ModelResults, ResultRow

LEFT, RIGHT, TOP, BOTTOM = 52.0, 388.0, 14.0, 224.0  # of the plot, in units of a picture of 400 × 270
LARGEST = 15.0  # radius of the largest variant's circle; areas are proportional to bytes
SPREAD = 3.0  # what the axis of latency extends beyond the fastest and slowest, as a factor, for other devices
STEPS = (1, 2, 5)  # of the ticks in each power of ten
GAP = 11.0  # between labels


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterPoint:
    """A variant at `x`, `y` with a circle of `radius`; `label_y` is where its number is written.

    `front`: no other variant is at least as small, as fast and as accurate.
    """

    number: int
    row: ResultRow
    accuracy: Measurement
    x: float
    y: float
    radius: float
    label_y: float
    front: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scatter:
    """The plot: `points`, ticks as place and text, and the latencies `fastest` and `slowest` at its ends, in ms."""

    metric: str
    points: tuple[ScatterPoint, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    fastest: float
    slowest: float
    left: float = LEFT
    right: float = RIGHT
    top: float = TOP
    bottom: float = BOTTOM


def scatter(results: ModelResults) -> Scatter | None:
    """Return the plot of a model's variants, each on its fastest backend; None for fewer than two with all figures."""
    rows = [mark.row for mark in results.chart]
    metric = "top-1" if all(row.top1 for row in rows) else "agreement with PyTorch float32"
    measured = [(row, accuracy) for row in rows if (accuracy := row.top1 if metric == "top-1" else row.agreement)]
    if len(measured) < 2:
        return None
    latencies = [_ms(row) for row, _ in measured]
    fastest, slowest = min(latencies) / SPREAD, max(latencies) * SPREAD
    low, high = _range([accuracy.value for _, accuracy in measured])
    largest = max(_bytes(row) for row, _ in measured)

    def x_of(milliseconds: float) -> float:
        return LEFT + (RIGHT - LEFT) * math.log(milliseconds / fastest) / math.log(slowest / fastest)

    def y_of(accuracy: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (accuracy - low) / (high - low)

    places = _labels([y_of(accuracy.value) for _, accuracy in measured])
    points = tuple(
        ScatterPoint(
            number=number,
            row=row,
            accuracy=accuracy,
            x=round(x_of(_ms(row)), 1),
            y=round(y_of(accuracy.value), 1),
            radius=round(LARGEST * math.sqrt(_bytes(row) / largest), 1),
            label_y=place,
            front=not any(_beats(other, (row, accuracy)) for other in measured),
        )
        for number, ((row, accuracy), place) in enumerate(zip(measured, places, strict=True), 1)
    )
    return Scatter(
        metric=metric,
        points=points,
        x_ticks=tuple((round(x_of(value), 1), format_ms(value)) for value in _ticks(fastest, slowest)),
        y_ticks=tuple((round(y_of(value), 1), format_percent(value)) for value in (low, (low + high) / 2, high)),
        fastest=fastest,
        slowest=slowest,
    )


def _ms(row: ResultRow) -> float:
    assert row.latency is not None
    return row.latency.value


def _bytes(row: ResultRow) -> int:
    return row.variant.artifact.gzip_bytes


def _range(accuracies: list[float]) -> tuple[float, float]:
    """Return the ends of the axis: multiples of 1 % around the accuracies, at least 2 % apart."""
    low, high = math.floor(100 * min(accuracies) - 0.5) / 100, math.ceil(100 * max(accuracies) + 0.5) / 100
    return max(0.0, low), min(1.0, max(high, low + 0.02))


def _ticks(fastest: float, slowest: float) -> list[float]:
    powers = range(math.floor(math.log10(fastest)), math.ceil(math.log10(slowest)) + 1)
    ticks = [step * 10.0**power for power in powers for step in STEPS]
    inside = [tick for tick in ticks if fastest <= tick <= slowest]
    return inside if len(inside) <= 6 else [tick for tick in inside if math.log10(tick) % 1 < 1e-9] or inside[::2]


def _labels(heights: list[float]) -> list[float]:
    """Return heights near those given with a gap between each two, so that numbers stay apart."""
    placed: dict[int, float] = {}
    last = -math.inf
    for index in sorted(range(len(heights)), key=lambda index: heights[index]):
        last = max(heights[index], last + GAP)
        placed[index] = round(last, 1)
    return [placed[index] for index in range(len(heights))]


def _beats(one: tuple[ResultRow, Measurement], other: tuple[ResultRow, Measurement]) -> bool:
    """Tell whether one variant is at least as small, fast and accurate as another, and better in one of these."""
    pairs = [(_bytes(one[0]), _bytes(other[0])), (_ms(one[0]), _ms(other[0])), (-one[1].value, -other[1].value)]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
