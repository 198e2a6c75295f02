"""Horizontal bars, grouped by model: one bar for each recipe, with its spread and its figure in writing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from export.comparing.plots.style import BAR, MARGIN, colour, drawing


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of a `group`, by `name`: its `value` between `low` and `high`, and the `text` at its end."""

    group: str
    name: str
    value: float
    low: float
    high: float
    text: str


def draw_bars(path: Path, title: str, axis: str, bars: Sequence[Bar]) -> None:
    """Write the bars as SVG and PNG; groups from top to bottom in their order."""
    names = list(dict.fromkeys(bar.name for bar in bars))
    height = MARGIN + BAR * (len(bars) + len({bar.group for bar in bars}))
    with drawing(path, title, height) as (axes,):
        places = _places(bars)
        for name in names:
            own = [(place, bar) for place, bar in zip(places, bars, strict=True) if bar.name == name]
            axes.barh(
                [place for place, _ in own],
                [bar.value for _, bar in own],
                height=0.8,
                color=colour(names.index(name)),
                label=name,
            )
        errors = [[max(0.0, bar.value - bar.low) for bar in bars], [max(0.0, bar.high - bar.value) for bar in bars]]
        axes.errorbar([bar.value for bar in bars], places, xerr=errors, fmt="none", ecolor="#333333", capsize=2)
        for place, bar in zip(places, bars, strict=True):
            axes.annotate(
                f"  {bar.text}", (max(bar.high, bar.value, 0), place), va="center", fontsize=8, annotation_clip=False
            )
        axes.set_yticks(places, [f"{bar.group}  {bar.name}" for bar in bars])
        axes.margins(x=0.18)
        axes.invert_yaxis()
        axes.grid(axis="x", color="#dddddd")
        axes.axvline(0, color="#333333", linewidth=0.8)
        axes.set_xlabel(axis)


def _places(bars: Sequence[Bar]) -> list[float]:
    places, place, group = [], 0.0, None
    for bar in bars:
        place += 1.0 if group in (None, bar.group) else 2.0
        group = bar.group
        places.append(place)
    return places
