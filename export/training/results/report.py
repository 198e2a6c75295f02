"""The report: a page without scripts that shows a card's curves, its classes and what is confused."""

from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from export.core.figures.stats import proportion
from export.core.paths import TEMPLATES
from export.training.results.card import Card
from export.training.results.model_card import weakest

WIDTH, HEIGHT = 600, 200  # of a plot, in SVG's units


@dataclass(frozen=True, slots=True)
class Plot:
    """A curve: the `path` of a line from `first` to `last` epoch, between the values `low` and `high`."""

    title: str
    path: str
    first: str
    last: str
    low: str
    high: str


def render_report(card: Card) -> str:
    """Return the report as HTML."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    classes = [(row, proportion(row.correct, row.n)) for row in weakest(card)]
    return environment.get_template("training.html").render(
        card=card, plots=_plots(card), classes=classes, width=WIDTH, height=HEIGHT
    )


def _plots(card: Card) -> list[Plot]:
    curves = [
        ("Loss", [row.loss for row in card.curve], "{:.3f}"),
        ("Top-1 accuracy", [row.top1_percent for row in card.curve], "{:.1f} %"),
        ("Top-5 accuracy", [row.top5_percent for row in card.curve], "{:.1f} %"),
    ]
    epochs = [row.epoch for row in card.curve]
    return [_plot(title, epochs, values, text) for title, values, text in curves if values]


def _plot(title: str, epochs: Sequence[int], values: Sequence[float], text: str) -> Plot:
    low, high = min(values), max(values)
    span, steps = (high - low) or 1.0, max(1, len(values) - 1)
    points = [f"{WIDTH * at / steps:.1f} {HEIGHT * (high - value) / span:.1f}" for at, value in enumerate(values)]
    if len(points) == 1:
        points.append(f"{WIDTH} {points[0].split()[1]}")
    return Plot(title, "M" + "L".join(points), str(epochs[0]), str(epochs[-1]), text.format(low), text.format(high))
