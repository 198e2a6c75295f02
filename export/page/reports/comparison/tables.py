"""A comparison as Markdown: what each recipe costs and loses, the speed, the steps of a method, and its studies."""

import statistics
from collections.abc import Callable, Iterable, Sequence

from export.core.figures.fidelity import EQUAL_DB
from export.core.figures.units import format_bytes, format_ms, format_percent
from export.page.reports.comparison.records import (
    Cell,
    Comparison,
    ComparisonRow,
    DynamicCheck,
    ModelComparison,
    Operator,
    Peer,
    Speed,
    Spread,
)
from export.page.reports.markdown import UNKNOWN, Table, spread
from export.quantization.evaluation.records import format_estimate

YES, NO = "yes", "–"


def comparison_markdown(comparison: Comparison) -> str:
    """Return the whole comparison as a document."""
    lines = ["# Comparison", "", f"`{comparison.command}`"]
    for model in comparison.models:
        lines += ["", f"## {model.title} (`{model.model}`)", "", model_markdown(model)]
    if comparison.failures:
        lines += ["", "## What failed", "", *(f"* {one.subject}: {one.message}" for one in comparison.failures)]
    return "\n".join(lines) + "\n"


def model_markdown(model: ModelComparison) -> str:
    """Return all tables of one model that have rows."""
    first, *others = model_tables(model)
    parts = [intro(model), *(f"`{command}`" for command in model.commands), first.markdown]
    return "\n\n".join(parts + [f"### {one.title}\n\n{one.markdown}" for one in others])


def model_tables(model: ModelComparison) -> list[Table]:
    """Return the tables of one model that have rows, that of its recipes first."""
    found = (
        recipes_table(model),
        speeds_table(model),
        ablation_table(model),
        study_table(model),
        operators_table(model),
        peers_table(model.peers),
    )
    return [one for one in found if one is not None]


def intro(model: ModelComparison) -> str:
    """Return what was compared: weights, images, machine and tools."""
    tools = ", ".join(f"{name} {version}" for name, version in model.tools.items())
    labels = "" if model.labelled else ", without labels: agreement with the float model stands for accuracy"
    return (
        f"{model.weights} weights, {model.parameters:,} parameters; n={model.n:,} ({model.data}{labels}); "
        f"calibrated on {model.calibration_data}; {model.machine}; {tools}. Proportions have their 95 % Wilson "
        "interval."
    )


def plain_rows(model: ModelComparison) -> list[ComparisonRow]:
    """Return the rows that are not of an ablation."""
    return [row for row in model.rows if row.cell is None]


def loss(row: ComparisonRow, model: ModelComparison) -> float | None:
    """Return by how much a recipe's accuracy is below the float model's, or None where there is none."""
    found, reference = row.accuracy, model.rows[0].accuracy
    return None if found is None or reference is None else reference.value - found.value


def recipes_table(model: ModelComparison) -> Table:
    """Return a row for every recipe, without the columns that no row has a figure for."""
    size = model.rows[0].evaluation.bytes
    columns: dict[str, Callable[[ComparisonRow], str]] = {
        "recipe": lambda row: f"`{row.evaluation.recipe}`",
        "images, seed": lambda row: NO if row.images is None else f"{row.images}, {row.seed}",
        "size": lambda row: format_bytes(row.evaluation.bytes),
        "of float": lambda row: format_percent(row.evaluation.bytes / size),
        "top-1": lambda row: format_estimate(row.evaluation.top1),
        "k-NN": lambda row: format_estimate(row.evaluation.knn),
        "linear probe": lambda row: format_estimate(row.evaluation.linear_probe),
        "loss": lambda row: _points(loss(row, model)),
        "agreement with float": lambda row: format_estimate(row.evaluation.agreement),
        "cosine": lambda row: UNKNOWN if row.evaluation.cosine is None else f"{row.evaluation.cosine:.4f}",
        "SQNR": lambda row: UNKNOWN if row.evaluation.sqnr_db is None else f"{row.evaluation.sqnr_db:.1f} dB",
        "calibration": lambda row: _seconds(row.evaluation.calibration_seconds),
        "whole job": lambda row: _seconds(row.seconds),
        "peak memory": lambda row: UNKNOWN if row.peak_bytes is None else format_bytes(row.peak_bytes),
    }
    rows = plain_rows(model)
    cells = {name: [write(row) for row in rows] for name, write in columns.items()}
    shown = {name: column for name, column in cells.items() if not set(column) <= {UNKNOWN, NO}}
    return Table(title="Recipes", header=tuple(shown), rows=tuple(zip(*shown.values(), strict=True)))


def _points(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:+.2f} points".replace("-", "−")


def _seconds(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.1f} s"


def speeds_table(model: ModelComparison) -> Table | None:
    """Return images a second, with and without dynamic quantization."""

    def row(speed: Speed) -> tuple[str, ...]:
        where = f"{speed.device}, {speed.threads} threads" if speed.device == "cpu" else speed.device
        seconds = 1000 * speed.batch / speed.images_per_second.value
        rate = _spread(speed.images_per_second, lambda value: f"{value:.3g}")
        return f"`{speed.recipe}`", where, str(speed.batch), rate, _spread(speed.ratio, _ratio), format_ms(seconds)

    header = ("recipe", "where", "batch", "images a second", "× float on the CPU", "time of a batch")
    return _table("Throughput", header, map(row, model.speeds))


def _spread(found: Spread, write: Callable[[float], str]) -> str:
    return spread(found.value, found.low, found.high, found.n, write)


def _ratio(value: float) -> str:
    return f"{value:.2f}"


def ablation_table(model: ModelComparison) -> Table | None:
    """Return a row for every cell of a method's ablation; of several seeds the mean."""
    cells: dict[Cell, list[ComparisonRow]] = {}
    for row in model.rows:
        if row.cell is not None:
            cells.setdefault(row.cell, []).append(row)
    rows = [
        (
            f"`{cell.method}`",
            str(cell.bits),
            *(YES if has else NO for has in (cell.hessian, cell.softmax_twin, cell.gelu_twin)),
            _mean_accuracy(found),
            _mean_sqnr(found),
            _mean_seconds(found),
        )
        for cell, found in cells.items()
    ]
    header = ("method", "bits", "Hessian", "softmax twin", "GELU twin", measure_name(model), "SQNR", "calibration")
    return _table("Ablation", header, rows)


def measure_name(model: ModelComparison) -> str:
    """Return what accuracy means for a model and its images."""
    if not model.labelled:
        return "cosine with float" if model.features else "agreement with float"
    return "k-NN accuracy" if model.features else "top-1"


def study_table(model: ModelComparison) -> Table | None:
    """Return mean and standard deviation over seeds, a row for each recipe and number of calibration images."""
    groups = study_groups(model)
    if not any(len(rows) > 1 for rows in groups.values()) and len({images for _, images in groups}) < 2:
        return None
    rows = [
        (
            f"`{recipe}`",
            str(images),
            str(len(found)),
            _mean_accuracy(found),
            _mean_sqnr(found),
            _mean_seconds(found),
            format_bytes(max(row.peak_bytes or 0 for row in found)),
        )
        for (recipe, images), found in groups.items()
    ]
    header = ("recipe", "images", "seeds", measure_name(model), "SQNR", "calibration", "peak memory")
    return _table("Calibration images and seeds", header, rows)


def study_groups(model: ModelComparison) -> dict[tuple[str, int], list[ComparisonRow]]:
    """Return the rows that images decide, by recipe and number of images."""
    groups: dict[tuple[str, int], list[ComparisonRow]] = {}
    for row in plain_rows(model):
        if row.images is not None:
            groups.setdefault((row.evaluation.recipe, row.images), []).append(row)
    return groups


def accuracies(rows: Iterable[ComparisonRow]) -> list[float]:
    """Return the accuracies of rows that have one; of embeddings without labels the cosine."""
    found = (row.accuracy.value if row.accuracy else row.evaluation.cosine for row in rows)
    return [float(value) for value in found if value is not None]


def _mean_accuracy(rows: Sequence[ComparisonRow]) -> str:
    values = accuracies(rows)
    if len(rows) == 1 and rows[0].accuracy is not None:
        return format_estimate(rows[0].accuracy)
    return _mean([100 * value for value in values], "%", 2)


def _mean_sqnr(rows: Sequence[ComparisonRow]) -> str:
    return _mean([float(row.evaluation.sqnr_db) for row in rows if row.evaluation.sqnr_db is not None], "dB", 1)


def _mean_seconds(rows: Sequence[ComparisonRow]) -> str:
    found = [row.evaluation.calibration_seconds for row in rows]
    return _mean([float(value) for value in found if value is not None], "s", 1)


def _mean(values: Sequence[float], unit: str, digits: int) -> str:
    """Write a mean with the standard deviation of a sample of several: `92.31 ± 0.04 %`."""
    if not values:
        return UNKNOWN
    deviation = f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{deviation} {unit}"


def operators_table(model: ModelComparison) -> Table | None:
    """Return which operations are quantized by whom, and why not; and what dynamic quantization leaves in float."""

    def row(one: Operator) -> tuple[str, ...]:
        return one.name, str(one.calls), format_percent(one.share), one.ours, one.torch_ao, one.torchao, one.why

    header = ("operation", "calls", "multiplications", "recipes here", "torch.ao dynamic", "torchao dynamic", "why")
    return _table("Operators", header, map(row, model.operators), _dynamic_note(model.dynamic))


def _dynamic_note(check: DynamicCheck | None) -> str:
    if check is None:
        return ""
    same = "the same outputs, bit for bit" if check.equal else "other outputs"
    kept = ", ".join(f"{count} {kind}" for kind, count in check.kept_float.items()) or "nothing"
    made = ", ".join(f"{count} {kind}" for kind, count in check.converted.items()) or "nothing"
    return (
        f"torch.ao's `quantize_dynamic` of Linear gives {check.linear_bytes:,} bytes, of Linear and Conv2d "
        f"{check.both_bytes:,}, and both {same} on {check.inputs} images: it quantized {made}, and left {kept} in "
        "float."
    )


def peers_table(peers: Sequence[Peer]) -> Table | None:
    """Return the latency of every runtime on one image, and its ratio to the fastest native int8 one."""

    def row(peer: Peer) -> tuple[str, ...]:
        size = UNKNOWN if peer.bytes is None else format_bytes(peer.bytes)
        fidelity = UNKNOWN if peer.sqnr_db is None else f"{peer.sqnr_db:.1f} dB"
        fidelity = "identical" if peer.sqnr_db == EQUAL_DB else fidelity
        latency = _spread(peer.latency_ms, format_ms)
        return peer.runtime, peer.where, str(peer.threads), latency, f"{peer.ratio:.2f}", size, fidelity

    header = ("runtime", "where", "threads", "latency", "× native int8", "size", "SQNR")
    ordered = sorted(peers, key=lambda peer: (peer.threads, peer.latency_ms.value))
    return _table("Other runtimes", header, map(row, ordered))


def _table(title: str, header: tuple[str, ...], rows: Iterable[tuple[str, ...]], note: str = "") -> Table | None:
    """Return a table that has rows."""
    found = tuple(rows)
    return Table(title=title, header=header, rows=found, note=note) if found else None
