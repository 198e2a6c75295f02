"""Cold and warm latency of every combination, in interleaved rounds of fresh browsers."""

from dataclasses import dataclass, field

from playwright.sync_api import Browser

from export.core.console import Progress
from export.core.errors import WrongAnswersError
from export.core.records import Measurement
from export.core.stats import Figure, summarise
from export.core.units import format_ms
from export.measuring.browser.page_client import page_client
from export.measuring.selection import Combination, Plan
from export.page.reports.measurements import SIZE
from export.page.results_view import COLD, LATENCY

BUDGET_MS = 6_000  # of warm runs per combination and round; slow back ends run less often, and n says so
RUNS_MIN, WARMUP_MAX = 3, 30


@dataclass
class Samples:
    """What one combination's rounds gave; `refused` says why it could not be run as asked."""

    cold: list[dict[str, float]] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    bytes: int = 0
    refused: str = ""

    def refuse(self, reason: str) -> None:
        """Take back what was collected: it is not what was asked for."""
        self.cold, self.warm, self.refused = [], [], reason


def measure_latency(browser: Browser, plan: Plan, *, rounds: int, runs: int) -> list[Measurement]:
    """Return cold figures of `rounds` fresh browsers and warm ones of all their runs pooled, per combination.

    Every second round goes backwards, so that a steady drift of the machine cancels out.
    """
    collected = {combination: Samples() for combination in plan.timed}
    progress = Progress(rounds * len(plan.timed))
    for number in range(rounds):
        for combination in plan.timed if number % 2 == 0 else reversed(plan.timed):
            samples = collected[combination]
            if not samples.refused:
                _round(browser, plan, combination, samples, runs)
            progress.step(f"{combination}: {samples.refused or _last(samples, runs)}")
    return [one for combination, samples in collected.items() for one in _figures(combination, samples)]


def _round(browser: Browser, plan: Plan, combination: Combination, samples: Samples, runs: int) -> None:
    with page_client(browser, plan.url, plan.site_data) as client:
        try:
            loaded = combination.load_into(client)
        except WrongAnswersError as error:
            samples.refuse(f"left out, {error.message}")
            return
        if loaded["threads"] != combination.threads:
            samples.refuse(f"left out, it runs with {loaded['threads']} instead ({loaded['threads_reason']})")
            return
        affordable = int(BUDGET_MS / max(loaded["cold"]["first_run_ms"], 0.1))
        samples.cold.append(loaded["cold"])
        samples.bytes = int(loaded["bytes"])
        samples.warm += client.benchmark(
            runs=max(RUNS_MIN, min(runs, affordable)), warmup_max=max(1, min(WARMUP_MAX, affordable // 2))
        )


def _last(samples: Samples, runs: int) -> str:
    return f"cold {format_ms(sum(samples.cold[-1].values()))}, warm {format_ms(summarise(samples.warm[-runs:]).value)}"


def _figures(combination: Combination, samples: Samples) -> list[Measurement]:
    if not samples.cold:
        return []
    times = {metric: [cold[metric] for cold in samples.cold] for metric in COLD} | {LATENCY: samples.warm}
    size = Figure(samples.bytes, 1, None, None)
    return [
        *(combination.measurement(metric, "ms", summarise(values)) for metric, values in times.items()),
        combination.measurement(SIZE, "B", size),
    ]
