"""A benchmark as Markdown."""

from export.core.figures.units import format_bytes, format_ms
from export.page.reports.benchmark.acceptance import CRITERIA
from export.page.reports.benchmark.records import Benchmark, FirstVisit, TargetResult, ratio
from export.page.reports.markdown import UNKNOWN, spread, table, verdict_table

# The README's choice: every engine in its fastest build, and each stock conversion.
SUMMARY = ("vit", "vit4", "litert", "litert_stock", "ort", "tfjs", "tfjs_stock", "transformers")


def _environment(benchmark: Benchmark) -> str:
    place = benchmark.environment
    return f"{place.browser} on {place.cpu}, {place.logical_cores} logical cores, GPU: {place.gpu}, {place.os}."


def _network(benchmark: Benchmark) -> str:
    return (
        f"{benchmark.mbit_per_s:g} Mbit/s, {benchmark.delay_ms:g} ms RTT and {benchmark.cpu_slowdown:g}× CPU throttling"
    )


def _latency(row: TargetResult | None) -> str:
    return UNKNOWN if row is None else spread(row.latency_ms, row.p10, row.p90, row.n, format_ms)


def _relative(benchmark: Benchmark, row: TargetResult) -> str:
    figure = ratio(benchmark, row.model, row.role, "vit", row.runs_on)
    if figure is None:
        return UNKNOWN
    return f"{figure.value:.2f}" + ("" if figure.low == figure.high else f" ({figure.low:.2f} – {figure.high:.2f})")


def _sqnr(benchmark: Benchmark, row: TargetResult) -> str:
    if row.sqnr_db is not None:
        return f"{row.sqnr_db:.1f} dB"
    return "same as with 1 thread" if benchmark.sqnr_is_that_of_one_thread(row) else UNKNOWN


def _first_prediction(visit: FirstVisit) -> str:
    seconds = sorted(visit.seconds)
    return f"{visit.median_s:.1f} s ({seconds[0]:.1f} – {seconds[-1]:.1f} s, n={len(seconds)})"


def latency_table(benchmark: Benchmark, model: str) -> list[str]:
    """Return one model's latencies and their ratios to the `vit` engine."""
    header = (
        "engine",
        "threads or GPU",
        "latency (p10 – p90)",
        "× `vit`",
        "SQNR",
        "cold start: download, decode, compile, first run",
    )
    rows = [
        (
            row.title,
            row.runs_on,
            _latency(row),
            _relative(benchmark, row),
            _sqnr(benchmark, row),
            ", ".join(map(format_ms, row.cold.values())) or UNKNOWN,
        )
        for row in benchmark.rows
        if row.model == model
    ]
    return table(header, rows)


def first_visit_table(benchmark: Benchmark, model: str) -> list[str]:
    """Return one model's first visits, or nothing where none was measured."""
    rows = [
        (visit.title, *map(format_bytes, (visit.bytes, visit.gzip_bytes, visit.brotli_bytes)), _first_prediction(visit))
        for visit in benchmark.starts
        if visit.model == model
    ]
    if not rows:
        return []
    header = ("engine", "download", "gzip", "brotli", "time to first prediction (min – max)")
    return ["", f"First visit with {_network(benchmark)}:", "", *table(header, rows)]


def dispatch_table(benchmark: Benchmark, model: str) -> list[str]:
    """Return one model's GPU dispatches per inference, or nothing where they were not counted."""
    rows = [(one.title, one.backend, str(one.count)) for one in benchmark.programs if one.model == model]
    if not rows:
        return []
    title = "GPU dispatches per inference, counted on a software GPU:"
    return ["", title, "", *table(("engine", "GPU API", "dispatches"), rows)]


def benchmark_section(benchmark: Benchmark) -> str:
    """Return every model's tables, and the acceptance criteria for the first one."""
    lines = [
        f"{_environment(benchmark)} All engines run on one page, in interleaved rounds; ratios compare the "
        "same rounds. Latency is the median of warm runs, read-back included."
    ]
    models = list(dict.fromkeys(row.model for row in benchmark.rows))
    for model in models:
        lines += ["", f"### {model}", "", *latency_table(benchmark, model)]
        lines += [*first_visit_table(benchmark, model), *dispatch_table(benchmark, model)]
    verdicts = [criterion.judge(benchmark, models[0]) for criterion in CRITERIA]
    lines += ["", f"### Acceptance criteria for {models[0]}", "", *verdict_table(verdicts)]
    return "\n".join(lines)


def benchmark_summary(benchmark: Benchmark) -> str:
    """Return the first model's engines in short."""
    model = benchmark.rows[0].model
    rows = []
    for role in SUMMARY:
        one = benchmark.result(model, role, "1 thread")
        if one is None:
            continue
        visit = benchmark.first_visit(model, role)
        rows.append(
            (
                one.title,
                _latency(one),
                _relative(benchmark, one),
                _sqnr(benchmark, one),
                UNKNOWN if visit is None else format_bytes(visit.gzip_bytes),
                UNKNOWN if visit is None else _first_prediction(visit),
            )
        )
    header = ("engine", "latency, 1 thread (p10 – p90)", "× `vit`", "SQNR", "first visit, gzip", "first prediction")
    text = f"{_environment(benchmark)} First visits: {_network(benchmark)}."
    return "\n".join([text, "", *table(header, rows)])
