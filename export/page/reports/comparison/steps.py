"""What each step of a method gives: the SQNR of recipes with every combination of its steps, in one table."""

from collections.abc import Mapping

from export.core.figures.units import format_bytes, format_decibels
from export.page.reports.comparison.records import Comparison, ComparisonRow
from export.page.reports.markdown import UNKNOWN, table

Rows = dict[str, dict[str, ComparisonRow]]  # of a comparison: by method, and by bits (w4a8)


def steps_section(comparisons: Mapping[str, Comparison | None]) -> str:
    """Return one table of comparisons with `--steps`, by what their weights are called; a row for each method."""
    done = {title: comparison for title, comparison in comparisons.items() if comparison is not None}
    if not done:
        return UNKNOWN
    rows = {title: _by_method(comparison) for title, comparison in done.items()}
    columns = [
        (title, bits) for title in done for bits in dict.fromkeys(bits for of in rows[title].values() for bits in of)
    ]
    methods = dict.fromkeys(method for title in done for method in rows[title])
    cells = []
    for method in methods:
        sqnr = [_sqnr(rows[title].get(method, {}).get(bits)) for title, bits in columns]
        cells.append([f"`{method}`", *sqnr, _seconds(rows, method)])
    header = ("method", *(f"{bits}, {title}" for title, bits in columns), "calibration")
    notes = (f"* {title}: {_describe(comparison, rows[title])}" for title, comparison in done.items())
    return "\n".join([*table(header, cells), "", *notes])


def _by_method(comparison: Comparison) -> Rows:
    found: Rows = {}
    for row in comparison.models[0].rows[1:]:  # behind the float model's
        bits, _, method = row.evaluation.recipe.partition("_")
        found.setdefault(method, {})[bits] = row
    return found


def _sqnr(row: ComparisonRow | None) -> str:
    return UNKNOWN if row is None else format_decibels(row.evaluation.sqnr_db)


def _seconds(rows: Mapping[str, Rows], method: str) -> str:
    """Return the least and the most that a calibration of a method took."""
    found = [row.evaluation.calibration_seconds or 0.0 for of in rows.values() for row in of.get(method, {}).values()]
    return f"{min(found):.0f} – {max(found):.0f} s"


def _describe(comparison: Comparison, rows: Rows) -> str:
    model = comparison.models[0]
    sizes: dict[str, set[int]] = {}
    for of in rows.values():
        for bits, row in of.items():
            sizes.setdefault(bits, set()).add(row.evaluation.bytes)
    written = (f"{bits} {_span(sorted(found))}" for bits, found in sizes.items())
    images = {row.images for of in rows.values() for row in of.values() if row.images}
    return (
        f"SQNR on n={model.n:,} ({model.data}), calibrated on {', '.join(map(str, sorted(images)))} "
        f"({model.calibration_data}); {', '.join(written)}; {model.machine}: `{comparison.command}`"
    )


def _span(sizes: list[int]) -> str:
    return " – ".join(dict.fromkeys(format_bytes(size) for size in (sizes[0], sizes[-1])))
