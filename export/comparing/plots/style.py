"""What all plots have in common: their colours, their sizes, and how they are written, twice the same."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from export.core.files import replacing_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which people with any colour vision tell apart; also told apart by place and label.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
WIDTH, BAR, MARGIN = 8.0, 0.24, 1.4  # in inches
DPI = 150
SETTINGS = {
    "svg.hashsalt": "vit-pages",  # identifiers in an SVG file are then the same each time
    "svg.fonttype": "none",  # text stays text
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
}


@contextmanager
def drawing(path: Path, title: str, height: float, *, panels: int = 1) -> Iterator[list["Axes"]]:
    """Yield axes, one below the other, that are written to `path` with the suffixes .svg and .png at the end."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        axes = [figure.add_subplot(panels, 1, number + 1) for number in range(panels)]
        figure.suptitle(title, fontsize=11)
        yield axes
        _write(figure, path, title)


def _write(figure: "Figure", path: Path, title: str) -> None:
    for suffix, metadata in ((".svg", {"Date": None, "Title": title}), (".png", {"Software": None})):
        with replacing_file(path.with_suffix(suffix)) as partial:
            figure.savefig(partial, format=suffix[1:], dpi=DPI, metadata=metadata, facecolor="white")


def colour(index: int) -> str:
    """Return a colour of the palette, over and over."""
    return COLOURS[index % len(COLOURS)]
