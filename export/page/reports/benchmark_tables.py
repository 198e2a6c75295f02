"""A benchmark as Markdown."""

from export.core.units import format_bytes, format_ms
from export.page.reports.acceptance import BARS
from export.page.reports.benchmark import Benchmark, ratio


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


def program_table(found: Benchmark, model: str) -> list[str]:
    """Return how many programs one model's contenders have a GPU run, or nothing where they were not counted."""
    own = [one for one in found.programs if one.model == model]
    if not own:
        return []
    rows = [f"| {one.title} | {one.backend} | {one.count} |" for one in own]
    return [
        "",
        "What a GPU is told to run for an image, counted where the processor stands in for one:",
        "",
        "| engine | on | programs |",
        "|---|---|---|",
        *rows,
    ]


def markdown(found: Benchmark) -> str:
    """Return every model's tables, and the bars for the first one."""
    place = found.environment
    lines = [
        f"{place.browser} on {place.cpu}, {place.logical_cores} logical cores, GPU: {place.gpu}, {place.os}. "
        "All engines lie on one page and take turns, round by round; ratios are of the same rounds."
    ]
    models = list(dict.fromkeys(row.model for row in found.rows))
    for model in models:
        lines += ["", f"**{model}**", "", *latency_table(found, model), "", *start_table(found, model)]
        lines += program_table(found, model)
    lines += ["", f"What is asked of {models[0]}:", "", *(f"* {bar.line(found, models[0])}" for bar in BARS)]
    return "\n".join(lines)
