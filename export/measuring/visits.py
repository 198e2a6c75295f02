"""Visits to the page as a person makes them, beside what the command measures: both must tell the same of a device."""

import io
import os
import re
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from export.core.console import Progress, say
from export.core.errors import MeasurementError, RequestError
from export.core.figures.units import format_ms
from export.core.records import Environment
from export.measuring.browser.browsers import running_browsers
from export.measuring.browser.environment import describe_environment
from export.measuring.browser.page_client import PageClient, page_client, read_site_data
from export.measuring.browser.server import serving
from export.measuring.browser.tab import LIMIT_S, Tab, WebBrowser, read_text, visit
from export.measuring.session import MeasureRequest
from export.page.reports.measured.visits import SCHEMA_VERSION, Visit, VisitFile

SAMPLES = 3  # pictures that are classified, in turn, before Measure is clicked
ANSWERS = 6
PAUSE_MS = 800  # between them
# Clicks on Measure in a visit, with the command before, between and after: at least, and at most.
ROUNDS, MOST_ROUNDS = 3, 16
PRECISE = 0.03  # a visit ends when the page's figure over the command's is known as well, as a relative standard error
SLOW = 1.25  # a number of threads that is so many times slower than another is not measured again
RUNS, WARMUP_MAX = 50, 50  # as the page's own
LOOK_S = 0.5  # rarely: a look takes some of the processor that is measured
# Clicks, and waits for the answer without a look into the page, which would take some of the processor.
ASK = """async ([selector, pause]) => {
  const [answer, problem] = ['#single-run', '#problem'].map((place) => document.querySelector(place));
  answer.textContent = '';
  await new Promise((resolve) => setTimeout(resolve, pause));
  const answered = new Promise((resolve) => {
    const look = () => {
      if (answer.textContent || !problem.hidden) resolve();
    };
    for (const place of [answer, problem])
      new MutationObserver(look).observe(place, { attributes: true, childList: true });
  });
  document.querySelector(selector).click();
  await answered;
  return answer.textContent || problem.innerText;
}"""
# What an earlier click left there would be taken for the answer to the next one.
FORGET = """() => void (document.querySelector('#state').textContent = '')"""
FIGURE = """(name) => document.querySelector(`#warm [data-figure="${name}"]`).textContent"""
THREADS = """() => [...document.querySelectorAll('#device div')]
  .find(({ firstElementChild }) => firstElementChild.textContent === 'Threads')?.lastElementChild.textContent ?? ''"""


def measure_visits(request: MeasureRequest, count: int) -> VisitFile:
    """Visit the page `count` times in the first browser; in turns with each, measure it as the command does.

    Raises `RequestError` when the page lacks what is selected, `MeasurementError` when it fails.
    """
    data = read_site_data(request.site)
    model, variant = _select(data, request)
    visits: list[Visit] = []
    with serving(request.site, isolated=True) as url, running_browsers(request.browsers[:1]) as (browser,):
        progress = Progress(count)
        visitor = Visitor(browser, url, data, model, variant)
        for _ in range(count):
            visits.append(visitor.visit())
            progress.step(f"page {format_ms(visits[-1].page_ms)}, threads: {visits[-1].page_threads}")
    return VisitFile(
        schema_version=SCHEMA_VERSION,
        environment=visitor.places[0],
        model=model["name"],
        variant=variant["id"],
        artifact_sha256=variant["sha256"],
        runs=RUNS,
        visits=tuple(visits),
    )


def _select(data: dict[str, Any], request: MeasureRequest) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the first model and variant of the page that are selected; raises `RequestError`."""
    wanted = request.selection
    for model in data["models"]:
        for variant in model["variants"]:
            chosen = (
                (wanted.models, model["name"]),
                (wanted.variants, variant["id"]),
                (wanted.engines, variant["engine"]),
            )
            if all(not names or name in names for names, name in chosen):
                say(f"{model['name']} {variant['id']}")
                return model, variant
    raise RequestError(
        "no variant of this page matches --model, --variant and --engine together",
        hint="leave some of them out: python -m export.measure --visits 5",
    )


@dataclass(slots=True)
class Command:
    """What the command measures: its open `clients`, the medians of each turn, and the first answers with all threads.

    Clients and medians are by the number of threads.
    """

    clients: dict[int, PageClient]
    rounds_ms: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    first_ms: list[float] = field(default_factory=list)

    def answer(self, side: int) -> None:
        """Ask for first answers as on the page."""
        self.first_ms += self.clients[max(self.clients)].answer(_picture(side), ANSWERS, PAUSE_MS)

    def measure(self) -> None:
        """Take a turn with every number of threads that may be the fastest."""
        means = {threads: statistics.geometric_mean(times) for threads, times in self.rounds_ms.items()}
        for threads, client in self.clients.items():
            if len(self.rounds_ms[threads]) < ROUNDS or means[threads] < min(means.values()) * SLOW:
                samples = client.benchmark(runs=RUNS, warmup_max=WARMUP_MAX)
                self.rounds_ms[threads].append(statistics.median(samples))


@dataclass(slots=True)
class Visitor:
    """Visits one model of a page, and measures it as the command does; `places` are what the browser told then."""

    browser: WebBrowser
    url: str
    data: dict[str, Any]
    model: dict[str, Any]
    variant: dict[str, Any]
    places: list[Environment] = field(default_factory=list)

    def visit(self) -> Visit:
        """Open the page, choose samples, click on Measure; the command takes its turns, so that both meet the same."""
        address = f"{self.url}#model={self.model['name']}&variant={self.variant['id']}&backend=wasm"
        side = self.model["preprocess"]["size"]
        with ExitStack() as stack:
            command = Command(self._open_clients(stack))
            command.answer(side)
            command.measure()
            tab = stack.enter_context(visit(self.browser, address))
            first = [self._answer(tab, number % SAMPLES + 1) for number in range(ANSWERS)]
            command.answer(side)
            found, rounds = None, list[float]()
            while found is None or not _is_known(found):
                rounds.append(_click_measure(tab))
                command.measure()
                threads = int(str(tab.evaluate(THREADS)).partition(":")[0])
                found = _found(rounds, threads, first, command)
            return found

    def _open_clients(self, stack: ExitStack) -> dict[int, PageClient]:
        """Return a client for each number of threads, the model loaded."""
        clients = {}
        for threads in sorted({1, os.cpu_count() or 1}):
            client = stack.enter_context(page_client(self.browser, self.url, self.data))
            self.places.append(describe_environment(self.browser.title, client.device()))
            loaded = client.load(self.model, self.variant, "wasm", threads)
            if loaded["threads"] != threads:
                raise MeasurementError(
                    f"{self.browser.title} runs the model with {loaded['threads']} threads: {loaded['threads_reason']}"
                )
            clients[threads] = client
        return clients

    def _answer(self, tab: Tab, sample: int) -> float:
        """Classify a sample after a pause; return what the page says it took."""
        selector = f'[data-model="{self.model["name"]}"] .sample:nth-of-type({sample})'
        return _milliseconds(str(tab.evaluate(ASK, [selector, PAUSE_MS])))


def _found(rounds: Sequence[float], threads: int, first: Sequence[float], command: Command) -> Visit:
    return Visit(
        page_rounds_ms=tuple(rounds),
        page_threads=threads,
        first_ms=tuple(first),
        command_rounds_ms={str(count): tuple(times) for count, times in command.rounds_ms.items()},
        command_first_ms=tuple(command.first_ms),
    )


def _is_known(found: Visit) -> bool:
    """Say whether the visit has told enough, or has gone on for long enough."""
    rounds = len(found.page_rounds_ms)
    fastest = min(map(int, found.command_rounds_ms), key=found.command_ms)
    return rounds >= MOST_ROUNDS or (rounds >= ROUNDS and found.relative_error([fastest]) <= PRECISE)


def _click_measure(tab: Tab) -> float:
    """Click on Measure; return the median that the page shows then."""
    tab.evaluate(FORGET)
    tab.click("#measure")
    _await(tab, "#state", r"^Measured", lambda: read_text(tab, "#problem"))
    return _milliseconds(str(tab.evaluate(FIGURE, "median_ms")))


def _picture(side: int) -> bytes:
    """Return a picture of the model's size as PNG."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), "teal").save(file, "PNG")
    return file.getvalue()


def _await(tab: Tab, selector: str, pattern: str, problem: Callable[[], str]) -> None:
    end = time.monotonic() + LIMIT_S
    while not re.search(pattern, read_text(tab, selector)):
        said = problem()
        if said or time.monotonic() > end:
            raise MeasurementError(f"the page did not say {pattern}: {said or 'it took too long'}")
        time.sleep(LOOK_S)


def _milliseconds(text: str) -> float:
    found = re.search(r"(\d+(?:\.\d+)?)\s*ms", text)
    if found is None:
        raise MeasurementError(f"the page shows no time: {text!r}")
    return float(found[1])
