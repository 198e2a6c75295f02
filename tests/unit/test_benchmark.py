"""What a benchmark says: ratios of the same rounds, what is asked, and how it is shown."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from export.core.errors import RequestError
from export.core.records import SCHEMA_VERSION, Environment
from export.measure import main
from export.measuring.benchmark.first_visit import packed_sizes
from export.measuring.benchmark.peer.target import PEERS
from export.measuring.benchmark.run import GPU_BACKENDS, ROLES
from export.page.reports.acceptance import BARS
from export.page.reports.benchmark import Benchmark, Programs, Row, Start, joined, ratio
from export.page.reports.benchmark_tables import markdown
from export.page.reports.benchmark_view import read_benchmark, views

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


def row(role: str, threads: int, rounds: tuple[float, ...], sqnr: float | None = None, backend: str = "wasm") -> Row:
    return Row(
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


def start(role: str, size: int, seconds: tuple[float, ...]) -> Start:
    return Start(
        model="m", role=role, title=f"`{role}`", bytes=2 * size, gzip_bytes=size, brotli_bytes=size - 1, seconds=seconds
    )


def programs(role: str, backend: str, count: int) -> Programs:
    return Programs(model="m", role=role, title=f"`{role}`", backend=backend, count=count)


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
    starts=(start("vit", 5_000_000, (4.0, 6.0, 5.0)), start("transformers", 9_000_000, (10.0, 11.0, 9.0))),
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

    both = joined(of("a", 1.0), of("b", 2.0))
    assert both is not None and len(both.rows) == 8 and len(both.starts) == 4
    again = joined(both, replace(of("a", 3.0), starts=()))
    assert again is not None and {one.model for one in again.starts} == {"b"}
    assert [(one.model, one.latency_ms) for one in again.rows] == [("a", 3.0)] * 4 + [("b", 2.0)] * 4
    assert joined(replace(FOUND, environment=replace(PLACE, cpu="another")), FOUND) is None
    assert joined(replace(FOUND, mbit_per_s=5), FOUND) is None


def test_what_is_asked_is_judged_and_what_is_missing_is_said() -> None:
    lines = {bar.title: bar.line(FOUND, "m") for bar in BARS}
    found = {title: line for title, line in lines.items() if "not measured" not in line}
    assert len(found) == 5
    assert found["`vit` / LiteRT.js int8 as onnx2tf converts it, 1 thread"].endswith(
        "0.50×, at most 0.50× asked: holds"
    )
    assert "0.25×" in found["`vit` / ONNX Runtime Web int8, 1 thread"]
    lead = next(line for title, line in found.items() if title.startswith("SQNR"))
    assert lead.endswith("-1.0 dB, at least 0.0 dB asked: **does not hold**")
    assert any("0.50×, at most 0.60×" in line for line in found.values())


def test_every_role_that_a_bar_asks_for_takes_part() -> None:
    taking = {role.name for role in ROLES} | {role for role, _, _ in PEERS}
    everyone = replace(
        FOUND,
        rows=tuple(
            row(role, threads, (1.0, 1.0, 1.0), 1.0, backend)
            for role in taking
            for backend, threads in (("wasm", 1), ("wasm", 2), ("webgl", 1), ("webgpu", 1))
        ),
        starts=tuple(start(role, 1, (1.0,)) for role in taking),
        programs=tuple(programs(role, backend, 1) for role in taking for backend in GPU_BACKENDS),
    )
    assert not [bar.title for bar in BARS if "not measured" in bar.line(everyone, "m")]


def test_what_ran_on_a_gpu_is_compared_with_what_ran_there() -> None:
    on_gpu = (row("tfjs", 1, (3.0, 4.0, 5.0), 50.0, "webgl"), row("tfjs_stock", 1, (6.0, 5.0, 5.0), 50.0, "webgl"))
    both = replace(FOUND, rows=(*FOUND.rows, row("tfjs", 1, (60.0, 70.0, 80.0), 50.0), *on_gpu))
    figure = ratio(both, "m", "tfjs", "tfjs_stock", "webgl")
    assert figure is not None and figure.value == pytest.approx(0.8)
    lines = [bar.line(both, "m") for bar in BARS]
    assert "TF.js, shaped for it / stock conversion, webgl: 0.80×, at most 1.00× asked: holds" in lines
    assert "TF.js, shaped for it / stock conversion, webgpu: not measured" in lines
    (view,) = views(both)
    assert [group.title for group in view.groups] == ["1 thread", "2 threads", "webgl"]
    assert "| `tfjs` | webgl |" in markdown(both)


def test_programs_are_compared_by_their_number_and_shown() -> None:
    counted = tuple(
        programs(role, backend, count)
        for role, backend, count in (("tfjs", "webgl", 30), ("tfjs_stock", "webgl", 40), ("tfjs", "webgpu", 20))
    )
    both = replace(FOUND, programs=counted)
    lines = [bar.line(both, "m") for bar in BARS]
    title = "TF.js, shaped for it / stock conversion, GPU programs an image on"
    assert f"{title} webgl: 0.75×, at most 1.00× asked: holds" in lines
    assert f"{title} webgpu: not measured" in lines
    assert "| `tfjs` | webgpu | 20 |" in markdown(both) and "programs |" not in markdown(FOUND)
    (view,) = views(both)
    assert view.programs == counted
    again = joined(both, replace(FOUND, programs=counted[:1]))
    assert again is not None and again.programs == counted[:1]


def test_every_engine_takes_part_on_the_gpu_back_ends_that_it_has() -> None:
    on = {backend: {role.name for role in ROLES if role.takes_part(backend, 1)} for backend in ("webgl", "webgpu")}
    assert on["webgl"] == {"tfjs", "tfjs_stock"}
    assert on["webgpu"] == {"tfjs", "tfjs_stock", "litert", "litert_stock", "ort"}


def test_markdown_names_every_contender() -> None:
    text = markdown(FOUND).replace("\xa0", " ")
    assert text.count("| `vit` |") == 3 and "as with 1 thread" in text
    assert "| `ort` | 1 thread | 80.0 ms (40.0 ms – 120 ms, n=9) | 4.00 | 41.0 dB | 1.00 ms |" in text
    assert "| `vit` | 10.0 MB | 5.00 MB | 5.00 MB | 5.0 s (4.0 – 6.0 s, n=3) |" in text


def test_it_survives_json_and_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "benchmark.json"
    path.write_text(json.dumps(FOUND.to_json()))
    assert read_benchmark(path) == FOUND and read_benchmark(None) is None
    (view,) = views(FOUND)
    assert [group.title for group in view.groups] == ["1 thread", "2 threads"]
    assert view.groups[0].marks[0].bar == (8.33, 16.67, 25.0)
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
        (["--variant", "u8-tfjs"], "--variant has no meaning with --benchmark"),
        (["--software-gpu"], "--software-gpu has no meaning with --benchmark"),
        (["--model", "nope"], "nope"),
    ],
)
def test_what_a_benchmark_cannot_do_is_refused(options: list[str], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        main(["--benchmark", *options])
