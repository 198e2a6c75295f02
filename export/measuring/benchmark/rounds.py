"""Warm latency in interleaved rounds: all targets of a back end are loaded on one page and run one after another."""

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from playwright.sync_api import Browser

from export.core.console import Progress, say
from export.core.errors import MeasurementError
from export.core.figures.fidelity import capped_sqnr_db
from export.core.figures.stats import summarise
from export.measuring.benchmark.peer.target import PeerTarget, peer_targets
from export.measuring.benchmark.site import BenchmarkSite
from export.measuring.benchmark.targets import TARGETS, Target
from export.measuring.browser.chromium import fresh_page
from export.measuring.browser.page_client import QUIET_PAGE, PageClient
from export.measuring.float_reference import FloatReference
from export.page.reports.benchmark.records import TargetResult, describe_backend

BUDGET_MS, RUNS_MIN, WARMUP_MAX = 1_500, 3, 40


@dataclass(kw_only=True)
class LoadedTarget:
    """A target that is ready to run, and its samples so far; `cold` and `sqnr_db` are what `TargetResult` says."""

    name: str
    title: str
    engine: str
    client: PageClient | PeerTarget
    first_run_ms: float
    cold: dict[str, float] = field(default_factory=dict)
    sqnr_db: float | None = None
    medians: list[float] = field(default_factory=list)
    samples: list[float] = field(default_factory=list)

    def run_round(self, runs: int) -> float:
        """Run up to `runs` times, as far as the time budget reaches, and return the median."""
        affordable = int(BUDGET_MS / max(self.first_run_ms, 0.1))
        samples = self.client.benchmark(max(RUNS_MIN, min(runs, affordable)), WARMUP_MAX)
        self.samples += samples
        self.medians.append(statistics.median(samples))
        return self.medians[-1]

    def result(self, model: str, backend: str, threads: int) -> TargetResult:
        """Return all rounds as a record."""
        figure = summarise(self.samples)
        assert figure.low is not None and figure.high is not None
        return TargetResult(
            model=model,
            role=self.name,
            title=self.title,
            engine=self.engine,
            backend=backend,
            threads=threads,
            rounds_ms=tuple(self.medians),
            n=figure.n,
            latency_ms=figure.value,
            p10=figure.low,
            p90=figure.high,
            cold=self.cold,
            sqnr_db=self.sqnr_db,
        )


@dataclass(frozen=True, kw_only=True)
class RoundRobin:
    """`rounds` of up to `runs` each on a served site; whatever slows a round slows all targets in it."""

    browser: Browser
    url: str
    site: BenchmarkSite
    reference: FloatReference
    rounds: int
    runs: int

    def measure(self, backend: str, threads: int) -> list[TargetResult]:
        """Return the results of every target that runs there; every second round goes backwards."""
        model, where = self.site.model["name"], describe_backend(backend, threads)
        with self._loaded(backend, threads) as targets:
            progress = Progress(self.rounds * len(targets))
            for number in range(self.rounds):
                for target in targets if number % 2 == 0 else reversed(targets):
                    median = target.run_round(self.runs)
                    progress.step(f"{model}, {target.title}, {where}: {median:.1f} ms")
            return [target.result(model, backend, threads) for target in targets]

    @contextmanager
    def _loaded(self, backend: str, threads: int) -> Iterator[list[LoadedTarget]]:
        """Yield the targets loaded and checked, ours on one page, peers on their own."""
        with ExitStack() as stack:
            page = stack.enter_context(fresh_page(self.browser, self.url + QUIET_PAGE))
            chosen = [target for target in TARGETS if target.runs_on(backend, threads)]
            tried = [
                self._load(PageClient(page, self.url, self.site.data), target, backend, threads) for target in chosen
            ]
            loaded = [target for target in tried if target is not None]
            if backend == "wasm":
                peers = stack.enter_context(peer_targets(self.browser, self.site.float_folder, threads))
                loaded += [
                    LoadedTarget(
                        name=peer.name,
                        title=peer.title,
                        engine="transformers.js",
                        client=peer,
                        first_run_ms=peer.first_run_ms,
                    )
                    for peer in peers
                ]
            yield loaded

    def _load(self, client: PageClient, target: Target, backend: str, threads: int) -> LoadedTarget | None:
        """Return the target loaded, or None and a warning where it lacks the threads or fails on this GPU."""
        variant = self.site.variant(target)
        try:
            loaded = client.load(self.site.model, variant, backend, threads, build=target.build)
        except MeasurementError as error:
            if backend == "wasm":
                raise
            say(f"  skipped: {target.title} on {backend}: {error}")
            return None
        if backend == "wasm" and loaded["threads"] != threads:
            say(f"  skipped: {target.title} runs with {loaded['threads']} threads ({loaded['threads_reason']})")
            return None
        return LoadedTarget(
            name=target.name,
            title=target.title,
            engine=variant["engine"],
            client=client,
            first_run_ms=loaded["cold"]["first_run_ms"],
            cold=loaded["cold"],
            sqnr_db=self._sqnr_db(client) if threads == 1 else None,
        )

    def _sqnr_db(self, client: PageClient) -> float:
        outputs: Any = np.concatenate(list(client.classify(self.reference.images)))
        return capped_sqnr_db(self.reference.outputs, outputs)
