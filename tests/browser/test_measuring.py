"""The measuring command on the real page: what it writes, what it refuses, and that it leaves nothing half-done."""

import os
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from interrupts import heed_interrupts
from playwright.sync_api import Browser

from export.core.figures.units import format_ms
from export.core.records import Measurement
from export.page.reports.measured.measurements import SIZE, SQNR
from export.page.reports.measured.visits import read_visits
from export.page.results_view import AGREEMENT, COLD, LATENCY, NATIVE, TOP1, read_measurements
from export.pipeline.store import Store

pytestmark = pytest.mark.browser


def command(site: Path, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "export.measure", "--no-render", "--site", str(site), "--out", str(out), *options]


def run(site: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(site, out, *options), capture_output=True, text=True, check=False, timeout=1200)


def find(measured: tuple[Measurement, ...], metric: str, variant: str) -> Measurement:
    (one,) = [one for one in measured if (one.metric, one.variant) == (metric, variant)]
    return one


def test_latency_size_and_accuracy_of_every_variant(built_site: Path, artifacts: Path, tmp_path: Path) -> None:
    out = tmp_path / "measurements.json"
    options = ["--artifacts", str(artifacts), "--backend", "wasm", "--rounds", "3", "--runs", "5", "--limit", "60"]
    done = run(built_site, out, *options)
    assert done.returncode == 0, done.stderr
    file = read_measurements(out)
    assert file is not None
    for recipe in ("u8", "f32"):
        variant = f"{recipe}-tfjs"
        artifact = Store(artifacts).read("fashion", recipe, "tfjs")
        assert artifact is not None
        warm = find(file.measurements, LATENCY, variant)
        assert (warm.n, warm.backend, warm.threads, warm.artifact_sha256) == (15, "wasm", 1, artifact.sha256)
        assert warm.p10 is not None and warm.p90 is not None and 0 < warm.p10 <= warm.value <= warm.p90
        assert [find(file.measurements, metric, variant).n for metric in COLD] == [3] * 4
        assert find(file.measurements, SIZE, variant).value == artifact.bytes
    native, f32 = (find(file.measurements, TOP1, variant) for variant in ("f32-torch", "f32-tfjs"))
    assert (native.engine, native.n, native.value) == (NATIVE, 60, f32.value)
    assert find(file.measurements, AGREEMENT, "f32-tfjs").value == 1.0
    assert find(file.measurements, SQNR, "f32-tfjs").value > find(file.measurements, SQNR, "u8-tfjs").value > 20
    assert file.environment.isolated is False and file.environment.browser.startswith("Chromium ")
    assert "left" in done.stdout and str(out) in done.stdout
    assert "not measured: tfjs on webgpu" in done.stdout  # what this machine lacks is named


def test_uint8_is_within_half_a_point_of_float(built_site: Path, artifacts: Path, tmp_path: Path) -> None:
    out = tmp_path / "measurements.json"
    options = ["--variant", "u8-tfjs", "--backend", "wasm", "--rounds", "0", "--limit", "400"]
    done = run(built_site, out, "--artifacts", str(artifacts), *options)
    assert done.returncode == 0, done.stderr
    file = read_measurements(out)
    assert file is not None
    native, u8 = (find(file.measurements, TOP1, variant) for variant in ("f32-torch", "u8-tfjs"))
    assert native.n == u8.n == 400
    assert native.value > 0.9 and abs(u8.value - native.value) <= 0.005


def test_gpu_back_ends_answer_as_pytorch_does(tiny_site: Path, artifacts: Path, tmp_path: Path) -> None:
    out = tmp_path / "checks.json"
    options = ["--software-gpu", "--accuracy-backend", "webgl,webgpu", "--rounds", "0", "--limit", "4"]
    done = run(tiny_site, out, "--artifacts", str(artifacts), "--variant", "f32-tfjs", *options)
    assert done.returncode == 0, done.stderr
    file = read_measurements(out)
    assert file is not None and "(software)" in file.environment.gpu
    for backend in ("webgl", "webgpu"):
        found = {one.metric: one for one in file.measurements if one.backend == backend}
        assert found[AGREEMENT].value == 1.0 and found[SQNR].value > 60
        assert LATENCY not in found  # the CPU's speed is no GPU's
    assert "latency of tfjs on webgl" in done.stdout


def test_second_run_adds_to_the_first_and_threads_need_isolation(tiny_site: Path, tmp_path: Path) -> None:
    out = tmp_path / "measurements.json"
    few = ("--variant", "u8-tfjs", "--rounds", "1", "--runs", "3", "--limit", "0")
    assert run(tiny_site, out, *few, "--backend", "wasm").returncode == 0
    assert run(tiny_site, out, *few, "--backend", "cpu").returncode == 0
    both = read_measurements(out)
    assert both is not None and {one.backend for one in both.measurements} == {"wasm", "cpu"}
    done = run(tiny_site, out, *few, "--backend", "wasm", "--threads", "2")
    assert "dropped" in done.stdout and "isolated" in done.stdout
    threaded = read_measurements(out)
    assert threaded is not None and threaded.environment.isolated
    assert {one.threads for one in threaded.measurements} == {2}


def test_figures_are_put_on_the_page(built_site: Path, artifacts: Path, tmp_path: Path) -> None:
    site, out = tmp_path / "_site", tmp_path / "measurements.json"
    shutil.copytree(built_site, site)
    few = ("--variant", "u8-tfjs", "--backend", "wasm", "--rounds", "1", "--runs", "3", "--limit", "0")
    done = run(site, out, *few, "--artifacts", str(artifacts), "--render")
    assert done.returncode == 0, done.stderr
    file = read_measurements(out)
    assert file is not None
    warm = find(file.measurements, LATENCY, "u8-tfjs")
    assert format_ms(warm.value) in (site / "results.html").read_text()
    assert (site / "index.html").read_bytes() == (built_site / "index.html").read_bytes()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--backend", "webgpu"], ["webgpu", "available: wasm"]),
        (["--backend", "quantum"], ["quantum", "webgl"]),
        (["--model", "deit_t"], ["deit_t", "fashion"]),
        (["--variant", "w4-vit"], ["w4-vit", "u8-tfjs"]),
    ],
    ids=lambda value: value[-1] if value[0].startswith("--") else None,
)
def test_what_is_not_here_is_named_with_what_is(
    built_site: Path, tmp_path: Path, options: list[str], named: list[str]
) -> None:
    done = run(built_site, tmp_path / "out.json", *options)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert all(name in done.stderr for name in named), done.stderr
    assert not (tmp_path / "out.json").exists()


def test_page_that_complains_is_not_measured(built_site: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(built_site, site)
    (site / "assets" / "broken.js").write_text("console.error('a screw is loose');")
    page = site / "method.html"
    page.write_text(page.read_text().replace("</head>", '<script src="assets/broken.js"></script></head>'))
    done = run(site, tmp_path / "out.json", "--rounds", "1", "--limit", "0")
    assert done.returncode == 1
    assert "a screw is loose" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out.json").exists()


def test_page_of_other_artifacts_is_not_called_accurate(built_site: Path, tmp_path: Path) -> None:
    options = ["--artifacts", str(tmp_path), "--rounds", "0"]
    done = run(built_site, tmp_path / "out.json", *options)
    assert done.returncode == 2 and "the page was not built from" in done.stderr


def test_interrupt_leaves_nothing_behind(built_site: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with subprocess.Popen(
        command(built_site, out, "--rounds", "200", "--limit", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heed_interrupts,
    ) as process:
        assert process.stdout and process.stderr
        for line in process.stdout:
            if line.startswith("  ["):
                break
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the browser too
        error = process.stderr.read()
    assert process.returncode == 130, error
    assert "interrupted" in error and "Traceback" not in error
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_the_browser_itself_runs_beside_the_page(chromium: Browser) -> None:
    """Such as suggestions below the address bar, which take the processor that is measured."""
    with chromium.new_context() as context, context.new_page() as page:
        page.goto("about:blank")
        page.wait_for_timeout(2000)  # they come after the window
        found = chromium.new_browser_cdp_session().send("Target.getTargets", {"filter": [{}]})["targetInfos"]
        assert not [one["url"] for one in found if one["url"].startswith("chrome")]


def test_visits_are_compared_with_the_command(build_page: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "visits.json"
    done = run(build_page("w8_dynamic,w4_dynamic", "vit"), out, "--visits", "1", "--variant", "w8_dynamic-vit")
    assert done.returncode == 0, done.stderr
    file = read_visits(out)
    (one,) = file.visits
    assert (file.model, file.variant, file.runs) == ("fashion", "w8_dynamic-vit", 50)
    clicks = len(one.page_rounds_ms)
    assert 3 <= clicks <= 16 and one.page_ms == statistics.geometric_mean(one.page_rounds_ms) > 0
    assert (len(one.first_ms), len(one.command_first_ms)) == (6, 12)
    assert set(one.command_rounds_ms) == {"1", str(os.cpu_count())}
    assert max(map(len, one.command_rounds_ms.values())) == clicks + 1
    assert "the page's median over the command's" in done.stdout and str(out) in done.stdout
