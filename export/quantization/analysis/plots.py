"""The plots of an analysis as SVG and PNG: a heat map of layers, and the error from layer to layer."""

import io
import re
from pathlib import Path
from typing import Any

from export.core.files import write_atomically
from export.quantization.analysis.records import Analysis

BLOCK = re.compile(r"(?:.*\.)?(\d+)\.(.+)")
DPI = 160


def draw_analysis(analysis: Analysis, path: Path) -> list[Path]:
    """Write the plots beside `path`, and return their paths."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams |= {"svg.hashsalt": "vit-pages", "svg.fonttype": "none"}
    return [
        *_save(_heat_map(analysis), path.with_name(f"{path.stem}-layers")),
        *_save(_error_curve(analysis), path.with_name(f"{path.stem}-depth")),
    ]


def heat_cells(analysis: Analysis) -> dict[tuple[str, str], float]:
    """Return the outputs' SQNR by row and column of the heat map: a block and the layer in it, or a layer outside."""
    cells: dict[tuple[str, str], float] = {}
    for row in analysis.sensitivity:
        matched = BLOCK.fullmatch(row.layer)
        block, name = (matched[1], matched[2]) if matched else ("", row.layer)
        key = (block, f"{name} · {row.tensors}")
        if row.tensors == "both":
            continue
        cells[key] = min(row.sqnr_db, cells.get(key, row.sqnr_db))
    return cells


def _heat_map(analysis: Analysis) -> Any:
    import numpy as np
    from matplotlib.figure import Figure

    cells = heat_cells(analysis)
    rows, columns = (list(dict.fromkeys(key[index] for key in cells)) for index in (0, 1))
    values = np.full((len(rows), len(columns)), np.nan)
    for (row, column), value in cells.items():
        values[rows.index(row), columns.index(column)] = value
    figure = Figure(figsize=(1.2 + 0.62 * len(columns), 2.4 + 0.34 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap="viridis", aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=60, ha="right", fontsize=7)
    axes.set_yticks(range(len(rows)), [row or "outside blocks" for row in rows], fontsize=7)
    for y, x in zip(*np.nonzero(~np.isnan(values)), strict=True):
        axes.text(x, y, f"{values[y, x]:.0f}", ha="center", va="center", fontsize=6, color="white")
    figure.colorbar(image, label="SQNR of the outputs, dB (one layer quantized)")
    axes.set_title(f"{analysis.model}, {analysis.recipe}, n={analysis.n:,}", fontsize=9)
    axes.set_ylabel("block")
    return figure


def _error_curve(analysis: Analysis) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([row.sqnr_db for row in analysis.cumulative], marker=".")
    axes.set_xticks(
        range(len(analysis.cumulative)), [row.layer for row in analysis.cumulative], rotation=90, fontsize=5
    )
    axes.set_ylabel("SQNR of the layer's output, dB")
    axes.set_title(f"{analysis.model}, {analysis.recipe}: all layers quantized, n={analysis.n:,}", fontsize=9)
    axes.grid(alpha=0.3)
    return figure


def _save(figure: Any, path: Path) -> list[Path]:
    paths = []
    for suffix, options in ((".svg", {"metadata": {"Date": None}}), (".png", {"dpi": DPI})):
        stream = io.BytesIO()
        figure.savefig(stream, format=suffix[1:], **options)
        paths.append(path.with_name(path.name + suffix))
        write_atomically(paths[-1], stream.getvalue())
    return paths
