"""All engines on one page, in turns: the benchmark, from the artifacts to the figures."""

import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace
from playwright.sync_api import Browser

from export.core.console import Progress, say, stage
from export.core.errors import MeasurementError
from export.core.fidelity import capped_sqnr_db
from export.core.records import SCHEMA_VERSION
from export.core.stats import summarise
from export.measuring.benchmark.first_visit import SLOW, first_visits
from export.measuring.benchmark.gpu_dispatches import count_programs
from export.measuring.benchmark.peer.target import PeerContender, peer_contenders
from export.measuring.browser.chromium import chromium, fresh_page
from export.measuring.browser.environment import describe_environment, is_software
from export.measuring.browser.page_client import QUIET_PAGE, PageClient, page_client, read_site_data
from export.measuring.browser.server import serving
from export.measuring.float_reference import Reference, float_reference
from export.models.request import ModelRequest
from export.page.bundle import make_bundle
from export.page.render import render
from export.page.reports.benchmark import Benchmark, Programs, Row, Start, lane_title
from export.pipeline.build import make_formats
from export.pipeline.formats import FORMATS
from export.pipeline.runtimes import engine_for
from export.pipeline.store import Store
from export.quantization.recipes import Recipe, find_recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Who takes part, and what it stands for in ratios; `build` is one of the engine's own.

    `gpu`: also on those of the engine's back ends that need a GPU, where there is one.
    """

    name: str
    title: str
    recipe: str
    format: str
    build: str | None = None
    threads: tuple[int, ...] = (1, 2)
    gpu: bool = False

    def takes_part(self, backend: str, threads: int) -> bool:
        """Whether it has a turn there."""
        if backend == "wasm":
            return threads in self.threads
        engine = engine_for(self.format)
        return self.gpu and engine is not None and backend in engine.backends

    @property
    def variant(self) -> str:
        """The variant's id on the page."""
        return f"{self.recipe}-{self.format}"


ROLES: tuple[Role, ...] = (
    Role(name="vit", title="`vit`, 8 bits", recipe="w8a8_gptq", format="vit"),
    Role(name="vit4", title="`vit`, 4-bit weights", recipe="w4a8_gptq", format="vit"),
    Role(
        name="vit_plain",
        title="`vit`, 8 bits, without relaxed SIMD",
        recipe="w8a8_gptq",
        format="vit",
        build="plain",
        threads=(1,),
    ),
    Role(name="litert", title="LiteRT.js int8, shaped for it", recipe="w8_dynamic", format="tflite", gpu=True),
    Role(
        name="litert_stock",
        title="LiteRT.js int8, as onnx2tf converts it",
        recipe="w8_dynamic",
        format="tflite_stock",
        gpu=True,
    ),
    Role(name="ort", title="ONNX Runtime Web int8", recipe="w8_dynamic", format="qdq", gpu=True),
    Role(name="tfjs", title="TF.js, 8-bit weights, shaped for it", recipe="u8", format="tfjs", gpu=True),
    Role(
        name="tfjs_stock",
        title="TF.js, 8-bit weights, as onnx2tf converts it",
        recipe="u8",
        format="tfjs_stock",
        gpu=True,
    ),
)
GPU_BACKENDS = ("webgl", "webgpu")
STARTERS = ("vit", "vit4", "litert_stock", "ort", "tfjs")  # whose first visit is measured
IMAGES = 16  # whose outputs are compared with the float model's
BUDGET_MS, RUNS_MIN, WARMUP_MAX = 1_500, 3, 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ContestRequest:
    """What to let take part, and how often; `folder` keeps artifacts and page, `starts` 0 leaves first visits out.

    Without first visits the programs that GPUs run are not counted either.
    `calibration` is how many images recipes are calibrated on, None as many as they say.
    """

    model: ModelRequest
    folder: Path
    rounds: int = 5
    runs: int = 20
    starts: int = 3
    calibration: int | None = None
    force: bool = False


@dataclass(eq=False)
class Turns:
    """What a contender's turns gave."""

    title: str
    role: str
    engine: str
    cold: dict[str, float]
    sqnr_db: float | None
    runs: int
    medians: list[float] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)

    def take(self, samples: Sequence[float]) -> None:
        """Add a turn."""
        self.medians.append(statistics.median(samples))
        self.samples += samples


def contest(request: ContestRequest) -> Benchmark:
    """Build what takes part, let it, and return the figures; raises what building and measuring raise."""
    store, site, name = Store(request.folder), request.folder / "_site", request.model.name
    pairs = tuple(dict.fromkeys((_recipe(role, request.calibration), role.format) for role in ROLES))
    make_formats(request.model, pairs, store, force=request.force)
    with stage("render the page"):
        render(
            artifacts=request.folder,
            models=[name],
            recipes=list(dict.fromkeys(role.recipe for role in ROLES)),
            bundle=make_bundle(),
            measurements=None,
            out=site,
            variants={role.variant for role in ROLES},
        )
    data = read_site_data(site)
    (model,) = data["models"]
    float_folder = store.folder(name, "f32", "torch")
    starts: list[Start] = []
    with serving(site, isolated=True) as url, chromium() as browser:
        with page_client(browser, url, data) as client:
            environment = describe_environment(browser, client.device())
            lanes = _lanes(client)
        rows = _take_turns(browser, url, data, model, float_folder, lanes, request)
        if request.starts:
            starters = [role for role in ROLES if role.name in STARTERS]
            titles = {role.variant: (role.name, role.title) for role in starters}
            starts += first_visits(browser, url, site, model, titles, float_folder, request.starts)
    return Benchmark(
        schema_version=SCHEMA_VERSION,
        environment=environment,
        mbit_per_s=SLOW.mbit_per_s,
        delay_ms=SLOW.delay_ms,
        cpu_slowdown=SLOW.cpu_slowdown,
        rows=tuple(rows),
        starts=tuple(starts),
        programs=tuple(_programs(site, data, model, float_folder) if request.starts else ()),
    )


def _programs(site: Path, data: dict[str, Any], model: dict[str, Any], float_folder: Path) -> list[Programs]:
    counted = {role.variant: (role.name, role.title) for role in ROLES if FORMATS[role.format].engine == "tfjs"}
    image = float_reference(float_folder, None, 1).images[0]
    with serving(site, isolated=True) as url, chromium(software_gpu=True) as browser:
        return count_programs(browser, url, data, model, counted, GPU_BACKENDS, image)


def _recipe(role: Role, calibration: int | None) -> Recipe:
    recipe = find_recipe(role.recipe)
    if calibration is None or recipe.quantization is None:
        return recipe
    how = recipe.quantization
    return replace(recipe, quantization=replace(how, calibration=replace(how.calibration, images=calibration)))


def _lanes(client: PageClient) -> list[tuple[str, int]]:
    """Return back ends, each with a number of threads; only those in the same one take turns."""
    lanes = [("wasm", count) for count in sorted({count for role in ROLES for count in role.threads})]
    for state in client.backends("tfjs"):
        if state["name"] in GPU_BACKENDS:
            if not state["available"]:
                say(f"  left out: {state['name']}: {state['reason']}")
            elif is_software(state["reason"]):
                say(f"  left out: {state['name']}: {state['reason']} is no GPU; what it takes would mislead")
            else:
                lanes.append((state["name"], 1))
    return lanes


def _take_turns(
    browser: Browser,
    url: str,
    data: dict[str, Any],
    model: dict[str, Any],
    folder: Path,
    lanes: list[tuple[str, int]],
    request: ContestRequest,
) -> list[Row]:
    reference = float_reference(folder, None, IMAGES)
    rows = []
    for backend, threads in lanes:
        with _contenders(browser, url, data, model, folder, backend, threads, reference, request.runs) as contenders:
            progress = Progress(request.rounds * len(contenders))
            for number in range(request.rounds):
                order = list(contenders.items())
                for turns, client in order if number % 2 == 0 else reversed(order):
                    turns.take(client.benchmark(turns.runs, WARMUP_MAX))
                    where = lane_title(backend, threads)
                    progress.step(f"{model['name']}, {turns.title}, {where}: {turns.medians[-1]:.1f} ms")
        rows += [_row(model["name"], backend, threads, turns) for turns in contenders]
    return rows


@contextmanager
def _contenders(
    browser: Browser,
    url: str,
    data: dict[str, Any],
    model: dict[str, Any],
    folder: Path,
    backend: str,
    threads: int,
    reference: Reference,
    runs: int,
) -> Iterator["Contenders"]:
    """Yield everyone who runs there with so many threads, loaded and checked, on one page (a peer on its own)."""
    with ExitStack() as stack:
        page = stack.enter_context(fresh_page(browser, url + QUIET_PAGE))
        found: Contenders = {}
        for role in (role for role in ROLES if role.takes_part(backend, threads)):
            client = PageClient(page, url, data)
            variant = next(one for one in model["variants"] if one["id"] == role.variant)
            loaded = _loaded(client, role, model, variant, backend, threads)
            if loaded is None:
                continue
            sqnr = None
            if threads == 1:
                outputs = np.concatenate(list(client.classify(reference.images)))
                sqnr = capped_sqnr_db(reference.outputs, outputs)
            turns = Turns(
                role.title,
                role.name,
                variant["engine"],
                loaded["cold"],
                sqnr,
                _affordable(loaded["cold"]["first_run_ms"], runs),
            )
            found[turns] = client
        peers = stack.enter_context(peer_contenders(browser, folder, threads)) if backend == "wasm" else []
        for peer in peers:
            found[Turns(peer.title, peer.role, "transformers.js", {}, None, _affordable(peer.first_ms, runs))] = peer
        yield found


def _loaded(
    client: PageClient, role: Role, model: dict[str, Any], variant: dict[str, Any], backend: str, threads: int
) -> dict[str, Any] | None:
    """Return how it started, or None, and say why, where it has not so many threads or fails on this GPU."""
    try:
        loaded = client.load(model, variant, backend, threads, build=role.build)
    except MeasurementError as error:
        if backend == "wasm":
            raise
        say(f"  left out: {role.title} on {backend}: {error}")
        return None
    if backend == "wasm" and loaded["threads"] != threads:
        say(f"  left out: {role.title} runs with {loaded['threads']} threads ({loaded['threads_reason']})")
        return None
    return loaded


Contenders = dict[Turns, PageClient | PeerContender]


def _affordable(first_run_ms: float, runs: int) -> int:
    return max(RUNS_MIN, min(runs, int(BUDGET_MS / max(first_run_ms, 0.1))))


def _row(model: str, backend: str, threads: int, turns: Turns) -> Row:
    figure = summarise(turns.samples)
    assert figure.low is not None and figure.high is not None
    return Row(
        model=model,
        role=turns.role,
        title=turns.title,
        engine=turns.engine,
        backend=backend,
        threads=threads,
        rounds_ms=tuple(turns.medians),
        n=figure.n,
        latency_ms=figure.value,
        p10=figure.low,
        p90=figure.high,
        cold=turns.cold,
        sqnr_db=turns.sqnr_db,
    )
