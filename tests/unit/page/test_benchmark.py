"""What a benchmark says: ratios of the same rounds, acceptance criteria, and how it is shown."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from export.core.errors import RequestError
from export.core.records import SCHEMA_VERSION, Environment
from export.measure import main
from export.measuring.benchmark.first_visit import packed_sizes
from export.measuring.benchmark.peer.target import PEERS
from export.measuring.benchmark.targets import GPU_BACKENDS, TARGETS
from export.page.reports.benchmark.acceptance import CRITERIA
from export.page.reports.benchmark.records import (
    Benchmark,
    DispatchCount,
    FirstVisit,
    TargetResult,
    merge_benchmarks,
    ratio,
)
from export.page.reports.benchmark.tables import benchmark_section, benchmark_summary
from export.page.reports.benchmark.view import read_benchmark, views
from export.page.reports.markdown import Verdict

PLACE = Environment(
    machine="x86_64",
    os="an OS",
    cpu="a CPU",
    logical_cores=2,
    browser="Chromium 1",
    user_agent="agent",
    isolated=True,
    gpu="none",
)


def row(
    role: str, threads: int, rounds: tuple[float, ...], sqnr: float | None = None, backend: str = "wasm"
) -> TargetResult:
    return TargetResult(
        model="m",
        role=role,
        title=f"`{role}`",
        engine=role,
        threads=threads,
        rounds_ms=rounds,
        n=9,
        latency_ms=rounds[1],
        p10=min(rounds),
        p90=max(rounds),
        cold={"decode_ms": 1.0},
        sqnr_db=sqnr,
        backend=backend,
    )


def visit(role: str, size: int, seconds: tuple[float, ...]) -> FirstVisit:
    return FirstVisit(
        model="m", role=role, title=f"`{role}`", bytes=2 * size, gzip_bytes=size, brotli_bytes=size - 1, seconds=seconds
    )


def dispatches(role: str, backend: str, count: int) -> DispatchCount:
    return DispatchCount(model="m", role=role, title=f"`{role}`", backend=backend, count=count)


FOUND = Benchmark(
    schema_version=SCHEMA_VERSION,
    environment=PLACE,
    mbit_per_s=10,
    delay_ms=40,
    cpu_slowdown=4,
    rows=(
        row("vit", 1, (10.0, 20.0, 30.0), 40.0),
        row("litert_stock", 1, (20.0, 50.0, 30.0), 39.0),
        row("ort", 1, (40.0, 80.0, 120.0), 41.0),
        row("vit", 2, (5.0, 6.0, 7.0)),
    ),
    starts=(visit("vit", 5_000_000, (4.0, 6.0, 5.0)), visit("transformers", 9_000_000, (10.0, 11.0, 9.0))),
)


def test_a_ratio_is_that_of_the_same_rounds() -> None:
    figure = ratio(FOUND, "m", "vit", "litert_stock", "1 thread")
    assert figure is not None and figure.value == pytest.approx(0.5) and figure.n == 3
    assert ratio(FOUND, "m", "vit", "tfjs", "1 thread") is None
    with pytest.raises(ValueError, match="zip"):  # rounds that do not belong together
        ratio(replace(FOUND, rows=(*FOUND.rows, row("x", 1, (1.0, 1.0)))), "m", "x", "vit", "1 thread")


def test_models_measured_anew_take_their_places_and_others_stay() -> None:
    def of(model: str, latency: float) -> Benchmark:
        rows = tuple(replace(one, model=model, latency_ms=latency) for one in FOUND.rows)
        return replace(FOUND, rows=rows, starts=tuple(replace(one, model=model) for one in FOUND.starts))

    both = merge_benchmarks(of("a", 1.0), of("b", 2.0))
    assert both is not None and len(both.rows) == 8 and len(both.starts) == 4
    again = merge_benchmarks(both, replace(of("a", 3.0), starts=()))
    assert again is not None and {one.model for one in again.starts} == {"b"}
    assert [(one.model, one.latency_ms) for one in again.rows] == [("a", 3.0)] * 4 + [("b", 2.0)] * 4
    assert merge_benchmarks(replace(FOUND, environment=replace(PLACE, cpu="another")), FOUND) is None
    assert merge_benchmarks(replace(FOUND, mbit_per_s=5), FOUND) is None


def judged(benchmark: Benchmark) -> dict[str, Verdict]:
    return {criterion.title: criterion.judge(benchmark, "m") for criterion in CRITERIA}


def test_criteria_are_judged_and_what_is_missing_is_said() -> None:
    verdicts = judged(FOUND)
    assert sum(verdict.passed is not None for verdict in verdicts.values()) == 5
    litert = verdicts["latency, `vit` / LiteRT.js int8 as onnx2tf converts it, 1 thread"]
    assert (litert.measured, litert.threshold, litert.result) == ("0.50×", "≤ 0.50×", "PASS")
    assert verdicts["latency, `vit` / ONNX Runtime Web int8, 1 thread"].measured == "0.25×"
    lead = next(verdict for title, verdict in verdicts.items() if title.startswith("SQNR"))
    assert lead.line().endswith(": -1.0 dB (threshold ≥ 0.0 dB)") and lead.result == "FAIL"
    missing = next(verdict for verdict in verdicts.values() if verdict.passed is None)
    assert (missing.measured, missing.result) == ("not measured", "not measured")


def test_every_target_that_a_criterion_needs_is_measured() -> None:
    measured = {target.name for target in TARGETS} | {role for role, _, _ in PEERS}
    everyone = replace(
        FOUND,
        rows=tuple(
            row(role, threads, (1.0, 1.0, 1.0), 1.0, backend)
            for role in measured
            for backend, threads in (("wasm", 1), ("wasm", 2), ("webgl", 1), ("webgpu", 1))
        ),
        starts=tuple(visit(role, 1, (1.0,)) for role in measured),
        programs=tuple(dispatches(role, backend, 1) for role in measured for backend in GPU_BACKENDS),
    )
    assert not [title for title, verdict in judged(everyone).items() if verdict.passed is None]


def test_what_ran_on_a_gpu_is_compared_with_what_ran_there() -> None:
    on_gpu = (row("tfjs", 1, (3.0, 4.0, 5.0), 50.0, "webgl"), row("tfjs_stock", 1, (6.0, 5.0, 5.0), 50.0, "webgl"))
    both = replace(FOUND, rows=(*FOUND.rows, row("tfjs", 1, (60.0, 70.0, 80.0), 50.0), *on_gpu))
    figure = ratio(both, "m", "tfjs", "tfjs_stock", "webgl")
    assert figure is not None and figure.value == pytest.approx(0.8)
    verdicts = judged(both)
    title = "latency, rewritten for TF.js / as onnx2tf converts it"
    assert (verdicts[f"{title}, webgl"].measured, verdicts[f"{title}, webgl"].result) == ("0.80×", "PASS")
    assert verdicts[f"{title}, webgpu"].passed is None
    (view,) = views(both)
    assert [group.title for group in view.groups] == ["1 thread", "2 threads", "webgl"]
    assert "| `tfjs` | webgl |" in benchmark_section(both)


def test_gpu_dispatches_are_compared_by_their_number_and_shown() -> None:
    counted = tuple(
        dispatches(role, backend, count)
        for role, backend, count in (("tfjs", "webgl", 30), ("tfjs_stock", "webgl", 40), ("tfjs", "webgpu", 20))
    )
    both = replace(FOUND, programs=counted)
    verdicts = judged(both)
    title = "GPU dispatches per inference, rewritten for TF.js / as onnx2tf converts it"
    assert (verdicts[f"{title}, webgl"].measured, verdicts[f"{title}, webgl"].result) == ("0.75×", "PASS")
    assert verdicts[f"{title}, webgpu"].passed is None
    assert "| `tfjs` | webgpu | 20 |" in benchmark_section(both)
    assert "| dispatches |" not in benchmark_section(FOUND)
    (view,) = views(both)
    assert view.dispatches == counted
    again = merge_benchmarks(both, replace(FOUND, programs=counted[:1]))
    assert again is not None and again.programs == counted[:1]


def test_every_engine_is_compared_on_the_gpu_back_ends_that_it_has() -> None:
    on = {backend: {target.name for target in TARGETS if target.runs_on(backend, 1)} for backend in ("webgl", "webgpu")}
    assert on["webgl"] == {"tfjs", "tfjs_stock"}
    assert on["webgpu"] == {"tfjs", "tfjs_stock", "litert", "litert_stock", "ort"}


def test_markdown_names_every_target() -> None:
    text = benchmark_section(FOUND).replace("\xa0", " ")
    assert text.count("| `vit` |") == 3 and "as with 1 thread" in text
    assert "| `ort` | 1 thread | 80.0 ms (40.0 ms – 120 ms, n=9) | 4.00 | 41.0 dB | 1.00 ms |" in text
    assert "| `vit` | 10.0 MB | 5.00 MB | 5.00 MB | 5.0 s (4.0 – 6.0 s, n=3) |" in text
    assert "10 Mbit/s, 40 ms RTT and 4× CPU throttling" in text


def test_the_summary_has_one_row_an_engine() -> None:
    text = benchmark_summary(FOUND).replace("\xa0", " ")
    assert text.count("\n| `") == 3 and "2 threads" not in text
    assert "| `vit` | 20.0 ms (10.0 ms – 30.0 ms, n=9) | 1.00 | 40.0 dB | 5.00 MB | 5.0 s (4.0 – 6.0 s, n=3) |" in text
    assert "| `ort` | 80.0 ms (40.0 ms – 120 ms, n=9) | 4.00 | 41.0 dB | not measured | not measured |" in text


def test_it_survives_json_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(FOUND.to_json()))
    assert read_benchmark(path) == FOUND and read_benchmark(None) is None
    (view,) = views(FOUND)
    assert [group.title for group in view.groups] == ["1 thread", "2 threads"]
    assert view.groups[0].marks[0].bar == (8.33, 16.67, 25.0)
    assert [mark.same_sqnr for group in view.groups for mark in group.marks] == [False, False, False, True]
    path.write_text("{}")
    with pytest.raises(RequestError, match="is not a benchmark"):
        read_benchmark(path)


def test_bytes_are_those_of_the_files_asked_for(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_bytes(b"page" * 100)
    (tmp_path / "w.bin").write_bytes(b"\0" * 5000)
    raw, packed, best = packed_sizes(tmp_path, ["http://x/", "http://x/w.bin?a=1", "http://x/absent"])
    assert raw == 5400 and 0 < best <= packed < 200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rounds", "0"], "--benchmark needs --rounds"),
        (["--variant", "u8-tfjs"], "--variant does not apply to --benchmark"),
        (["--software-gpu"], "--software-gpu does not apply to --benchmark"),
        (["--model", "nope"], "nope"),
    ],
)
def test_what_a_benchmark_cannot_do_is_refused(options: list[str], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        main(["--benchmark", *options])
