"""Plots of a study over bit widths: accuracy by width for each method, and the loss of each training by its steps."""

from pathlib import Path
from typing import Any

from export.comparing.plots.style import colour, drawing


def draw_curves(study: dict[str, Any], folder: Path) -> list[str]:
    """Write the plots of a `table.json` that `export.train --qat` wrote; return their names without suffix."""
    drawn = ["bitwidths"]
    _draw_widths(folder / drawn[0], study)
    trained = [row for row in study["rows"] if row.get("curve")]
    if trained:
        drawn.append("convergence")
        _draw_convergence(folder / drawn[1], study, trained)
    return drawn


def _draw_widths(path: Path, study: dict[str, Any]) -> None:
    (reference,) = (row for row in study["rows"] if row["kind"] == "float")
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in study["rows"]:
        if row["kind"] != "float":
            groups.setdefault((row["kind"], row["method"]), []).append(row)
    with drawing(path, f"Bit widths of {study['model']['title']}", 4.5) as (axes,):
        for number, ((kind, method), rows) in enumerate(groups.items()):
            rows.sort(key=lambda row: row["weight_bits"])
            values = [100 * row["top1"] for row in rows]
            errors = [
                [value - 100 * row["low"] for value, row in zip(values, rows, strict=True)],
                [100 * row["high"] - value for value, row in zip(values, rows, strict=True)],
            ]
            axes.errorbar(
                [row["weight_bits"] for row in rows],
                values,
                yerr=errors,
                marker="o" if kind == "qat" else "s",
                linestyle="-" if kind == "qat" else "--",
                capsize=3,
                color=colour(number),
                label=f"{kind.upper()} {method}",
            )
        axes.axhline(100 * reference["top1"], color="#333333", linewidth=1, label="float")
        axes.set_xlabel("bits of weights and activations")
        axes.set_ylabel("top-1, %, with 95 % interval")
        axes.set_xticks(sorted({row["weight_bits"] for rows in groups.values() for row in rows}))
        axes.grid(color="#dddddd")
        axes.legend()


def _draw_convergence(path: Path, study: dict[str, Any], trained: list[dict[str, Any]]) -> None:
    methods = list(dict.fromkeys(row["method"] for row in trained))
    title = f"Training of {study['model']['title']}"
    with drawing(path, title, 1.0 + 3.2 * len(methods), panels=len(methods)) as panels:
        for axes, method in zip(panels, methods, strict=True):
            for row in (row for row in trained if row["method"] == method):
                steps = [point["step"] for point in row["curve"]]
                losses = [point["loss"] for point in row["curve"]]
                axes.plot(
                    steps, losses, marker=".", color=colour(8 - row["weight_bits"]), label=f"{row['weight_bits']} bits"
                )
            axes.set_title(method, fontsize=9, loc="left")
            axes.set_xlabel("step")
            axes.set_ylabel("mean loss")
            axes.grid(color="#dddddd")
            axes.legend()
