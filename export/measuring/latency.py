"""Cold and warm latency of every combination in every browser, in interleaved rounds of fresh profiles."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from export.core.console import Progress
from export.core.errors import WrongAnswersError
from export.core.figures.stats import Figure, summarise
from export.core.figures.units import format_ms
from export.core.records import Measurement
from export.measuring.browser.page_client import page_client
from export.measuring.selection import Combination, MeasurementPlan
from export.page.reports.measured.measurements import SIZE
from export.page.results_view import COLD, LATENCY

BUDGET_MS = 6_000  # of warm runs per combination and round; slow back ends get fewer runs, as n shows
RUNS_MIN, WARMUP_MAX = 3, 30


@dataclass
class LatencySamples:
    """Cold and warm times of one combination over all rounds; `skipped` says why it could not be run as selected."""

    cold: list[dict[str, float]] = field(default_factory=list)
    warm: list[float] = field(default_factory=list)
    bytes: int = 0
    skipped: str = ""

    def skip(self, reason: str) -> None:
        """Drop what was collected: it is not what was selected."""
        self.cold, self.warm, self.skipped = [], [], f"skipped, {reason}"


def measure_latency(plans: Sequence[MeasurementPlan], *, rounds: int, runs: int) -> list[Measurement]:
    """Return cold latency over `rounds` fresh profiles and warm latency over all their runs, per combination.

    Browsers take turns within a round. Every second round goes backwards, so that a steady drift of the machine
    cancels out.
    """
    timed = [(plan, combination) for plan in plans for combination in plan.timed]
    collected = {combination: LatencySamples() for _, combination in timed}
    progress = Progress(rounds * len(timed))
    for number in range(rounds):
        for plan, combination in timed if number % 2 == 0 else reversed(timed):
            samples = collected[combination]
            if not samples.skipped:
                _round(plan, combination, samples, runs)
            progress.step(f"{combination}: {samples.skipped or _last(samples, runs)}")
    return [figure for combination, samples in collected.items() for figure in _figures(combination, samples)]


def _round(plan: MeasurementPlan, combination: Combination, samples: LatencySamples, runs: int) -> None:
    with page_client(plan.browser, plan.url, plan.site_data) as client:
        try:
            loaded = combination.load_into(client)
        except WrongAnswersError as error:
            samples.skip(error.message)
            return
        if loaded["threads"] != combination.threads:
            samples.skip(f"it runs with {loaded['threads']} instead ({loaded['threads_reason']})")
            return
        affordable = int(BUDGET_MS / max(loaded["cold"]["first_run_ms"], 0.1))
        samples.cold.append(loaded["cold"])
        samples.bytes = int(loaded["bytes"])
        samples.warm += client.benchmark(
            runs=max(RUNS_MIN, min(runs, affordable)), warmup_max=max(1, min(WARMUP_MAX, affordable // 2))
        )


def _last(samples: LatencySamples, runs: int) -> str:
    return f"cold {format_ms(sum(samples.cold[-1].values()))}, warm {format_ms(summarise(samples.warm[-runs:]).value)}"


def _figures(combination: Combination, samples: LatencySamples) -> list[Measurement]:
    if not samples.cold:
        return []
    times = {metric: [cold[metric] for cold in samples.cold] for metric in COLD} | {LATENCY: samples.warm}
    size = Figure(samples.bytes, 1, None, None)
    return [
        *(combination.measurement(metric, "ms", summarise(values)) for metric, values in times.items()),
        combination.measurement(SIZE, "B", size),
    ]
