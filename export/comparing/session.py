"""A comparison from beginning to end: float models, the grid, one file of all figures, its tables and its plots."""

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from export.comparing.compile import compile_comparison
from export.comparing.grid.processes import Crew
from export.comparing.grid.run import run_grid
from export.comparing.plan import ModelPlan, Request, identify, plan_model
from export.comparing.plots.comparison import draw_comparison
from export.comparing.plots.curves import draw_curves
from export.comparing.plots.studies import draw_studies
from export.core.console import say
from export.core.environment.extras import require
from export.core.errors import ExportError, RequestError
from export.core.files import write_atomically
from export.page.reports.bitwidths import bitwidth_table, read_study
from export.page.reports.comparison.records import Comparison, Failed, read_comparison
from export.page.reports.comparison.tables import comparison_markdown, model_markdown
from export.pipeline.build import float_artifact
from export.pipeline.store import Store

FILE, JOBS = "comparison.json", "jobs"


def compare(request: Request, crew: Crew, *, ray: str | None, command: str) -> Path:
    """Do what is not done yet, write tables and plots of all there is, and return the file of figures.

    A model or job that fails does not stop the others; then raises `ExportError` at the end. Raises `RequestError` for
    what cannot be met by any of them.
    """
    if ray:
        require("ray", "ray")
    for data in (request.data, request.calibration_data):
        identify(data)  # before any work is done
    plans, refused = _plan(request)
    grid = run_grid([job for plan in plans for job in plan.jobs], request.out / JOBS, crew, ray=ray)
    comparison = compile_comparison(plans, request.variations, grid, command, refused)
    path = request.out / FILE
    write_atomically(path, (json.dumps(comparison.to_json(), indent=1, ensure_ascii=False) + "\n").encode())
    write_all(comparison, request.out)
    grid.check()
    if refused:
        raise ExportError(
            f"{len(refused)} of {len(request.models)} models could not be loaded: "
            + "; ".join(f"{one.subject}: {one.message}" for one in refused),
            hint="the others are compared",
        )
    return path


def _plan(request: Request) -> tuple[list[ModelPlan], list[Failed]]:
    """Return the jobs of every model that can be loaded, and why the others cannot."""
    plans, refused = [], []
    for model in request.models:
        try:
            artifact = float_artifact(model, Store(request.artifacts))
        except ExportError as error:
            if len(request.models) == 1:
                raise
            say(f"{model.name}: {error}")
            refused.append(Failed(subject=model.name, message=error.message))
        else:
            plans.append(plan_model(request, model, artifact))
    return plans, refused


def redraw(out: Path) -> None:
    """Write tables and plots again from the file of figures in a folder."""
    require("compare", "matplotlib")
    path = out / FILE
    if not path.is_file():
        raise RequestError(f"{path} does not exist", hint="run python -m export.compare with the same --out first")
    write_all(read_comparison(path), out)


def write_all(comparison: Comparison, out: Path) -> None:
    """Write a comparison as Markdown, CSV and plots, and say its tables."""
    write_atomically(out / "comparison.md", comparison_markdown(comparison).encode())
    for name, rows in _tables(comparison).items():
        if rows:
            write_atomically(out / f"{name}.csv", _csv(rows).encode())
    drawn = draw_comparison(comparison, out)
    drawn += [name for model in comparison.models for name in draw_studies(model, out)]
    for model in comparison.models:
        say(f"\n{model.title}\n\n{model_markdown(model)}")
    say(f"\n→ {out / FILE}, comparison.md, .csv; plots: {', '.join(drawn) or 'none'} (.svg, .png)")


def _tables(comparison: Comparison) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each table, with the model's name, by the name of its file."""
    tables: dict[str, list[dict[str, Any]]] = {"comparison": [], "throughput": [], "operators": [], "runtimes": []}
    for model in comparison.models:
        for name, records in zip(tables, (model.rows, model.speeds, model.operators, model.peers), strict=True):
            tables[name] += [{"model": model.model, **dict(_flat(record.to_json()))} for record in records]
    return tables


def _flat(values: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    """Yield the values in nested objects by their path: `evaluation.top1.low`."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _csv(rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def draw_bitwidths(path: Path, out: Path) -> None:
    """Draw what a study over bit widths kept: accuracy by width, and how training converged; and write its table."""
    require("compare", "matplotlib")
    study = read_study(path)
    table, drawn = bitwidth_table(study), draw_curves(study, out)
    write_atomically(out / "bitwidths.md", f"{table}\n".encode())
    say(f"{table}\n\n→ {out / 'bitwidths.md'}; plots: {', '.join(drawn)} (.svg, .png)")
