"""The benchmark, from artifacts to figures: latency, first visits and GPU dispatches of all targets."""

import json
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser

from export.core.console import say
from export.core.errors import RequestError
from export.core.files import write_atomically
from export.core.records import SCHEMA_VERSION, Environment
from export.measuring.benchmark.first_visit import SLOW, measure_first_visits
from export.measuring.benchmark.gpu_dispatches import count_dispatches
from export.measuring.benchmark.peer.site import make_peer_bundle
from export.measuring.benchmark.rounds import RoundRobin
from export.measuring.benchmark.site import BenchmarkSite, build_benchmark_site
from export.measuring.benchmark.targets import GPU_BACKENDS, TARGETS, VISITED
from export.measuring.browser.chromium import chromium
from export.measuring.browser.environment import describe_environment, is_software
from export.measuring.browser.page_client import PageClient, page_client
from export.measuring.browser.server import serving
from export.measuring.float_reference import float_reference
from export.models.choice.request import ModelRequest
from export.page.reports.benchmark.records import Benchmark, DispatchCount, TargetResult, merge_benchmarks
from export.page.reports.benchmark.view import read_benchmark
from export.pipeline.formats import FORMATS

IMAGES = 16  # whose outputs are compared with the float model's


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRequest:
    """Which models to compare all targets on, and how often; `folder` keeps artifacts and page, `out` is the file.

    `visits` are first visits of each target; with none, GPU dispatches are not counted either. `calibration` is how
    many images recipes are calibrated on, None as many as they say.
    """

    models: tuple[ModelRequest, ...]
    folder: Path
    out: Path
    rounds: int = 5
    runs: int = 20
    visits: int = 3
    calibration: int | None = None
    force: bool = False

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.runs < 1 or self.visits < 0:
            raise RequestError(
                "--benchmark needs --rounds and --runs of at least 1, --starts of at least 0",
                hint="leave them out for the defaults",
            )
        if self.calibration is not None and self.calibration < 1:
            raise RequestError(
                f"--calibration {self.calibration} is below 1", hint="leave it out for the recipes' own number"
            )


def run_benchmark(request: BenchmarkRequest) -> Benchmark:
    """Measure one model after another, and return all figures of `out`, which is written after each.

    Raises `RequestError` when `out` is something else, and what building and measuring raise.
    """
    benchmark = read_benchmark(request.out if request.out.exists() else None)
    make_peer_bundle()  # or it says what is missing, before the long work
    for model in request.models:
        measured = benchmark_model(model, request)
        merged = measured if benchmark is None else merge_benchmarks(benchmark, measured)
        if merged is None:
            say(f"note: the older figures in {request.out} are dropped: they were measured elsewhere")
            merged = measured
        write_atomically(request.out, (json.dumps(merged.to_json(), indent=1, ensure_ascii=False) + "\n").encode())
        say(f"\n{len(measured.rows)} results for {model.name} → {request.out}")
        benchmark = merged
    assert benchmark is not None
    return benchmark


def benchmark_model(model: ModelRequest, request: BenchmarkRequest) -> Benchmark:
    """Build the page of one model with all targets, and return its figures."""
    site = build_benchmark_site(model, TARGETS, request.folder, calibration=request.calibration, force=request.force)
    with serving(site.folder, isolated=True) as url, chromium() as browser:
        environment, results = _measure_latency(browser, url, site, request)
        visited = [target for target in TARGETS if target.name in VISITED]
        visits = measure_first_visits(browser, url, site, visited, request.visits) if request.visits else []
    return Benchmark(
        schema_version=SCHEMA_VERSION,
        environment=environment,
        mbit_per_s=SLOW.mbit_per_s,
        delay_ms=SLOW.delay_ms,
        cpu_slowdown=SLOW.cpu_slowdown,
        rows=tuple(results),
        starts=tuple(visits),
        programs=tuple(_count_dispatches(site) if request.visits else ()),
    )


def _measure_latency(
    browser: Browser, url: str, site: BenchmarkSite, request: BenchmarkRequest
) -> tuple[Environment, list[TargetResult]]:
    with page_client(browser, url, site.data) as client:
        environment = describe_environment(f"Chromium {browser.version}", client.device())
        backends = _backends(client)
    reference = float_reference(site.float_folder, None, IMAGES)
    rounds = RoundRobin(
        browser=browser, url=url, site=site, reference=reference, rounds=request.rounds, runs=request.runs
    )
    return environment, [result for backend, threads in backends for result in rounds.measure(backend, threads)]


def _backends(client: PageClient) -> list[tuple[str, int]]:
    """Return back ends with a number of threads each; only targets on the same one are compared."""
    backends = [("wasm", count) for count in sorted({count for target in TARGETS for count in target.threads})]
    for state in client.backends("tfjs"):
        if state["name"] in GPU_BACKENDS:
            if not state["available"]:
                say(f"  skipped: {state['name']}: {state['reason']}")
            elif is_software(state["reason"]):
                say(f"  skipped: {state['name']}: {state['reason']} is no GPU; its latency would mislead")
            else:
                backends.append((state["name"], 1))
    return backends


def _count_dispatches(site: BenchmarkSite) -> list[DispatchCount]:
    targets = [target for target in TARGETS if FORMATS[target.format].engine == "tfjs"]
    image = float_reference(site.float_folder, None, 1).images[0]
    with serving(site.folder, isolated=True) as url, chromium(software_gpu=True) as browser:
        return count_dispatches(browser, url, site, targets, image)
