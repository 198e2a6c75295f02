"""Visits to the page as a person makes them, beside what the command measures: both must tell the same of a device."""

import io
import os
import re
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from export.core.console import Progress, say
from export.core.errors import MeasurementError, RequestError
from export.core.figures.units import format_ms
from export.core.records import Environment
from export.measuring.browser.browsers import running_browsers
from export.measuring.browser.environment import describe_environment
from export.measuring.browser.page_client import page_client, read_site_data
from export.measuring.browser.server import serving
from export.measuring.browser.tab import LIMIT_S, Tab, WebBrowser, read_text, visit
from export.measuring.session import MeasureRequest
from export.page.reports.measured.visits import SCHEMA_VERSION, Visit, VisitFile

SAMPLES = 3  # pictures that are classified, in turn, before Measure is clicked
ANSWERS = 6
PAUSE_MS = 800  # between them
ROUNDS = 3  # of clicks on Measure in a visit, with the command before, between and after
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
    """Milliseconds of warm runs by the number of threads, and of the first answers with the most of them."""

    warm: dict[int, list[float]] = field(default_factory=dict)
    first: list[float] = field(default_factory=list)


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
        command = Command()
        self.measure(command, first=True)
        with visit(self.browser, address) as tab:
            first = [self._answer(tab, number % SAMPLES + 1) for number in range(ANSWERS)]
            medians = []
            for turn in range(ROUNDS):
                tab.evaluate(FORGET)
                tab.click("#measure")
                _await(tab, "#state", r"^Measured", lambda: read_text(tab, "#problem"))
                medians.append(_milliseconds(str(tab.evaluate(FIGURE, "median_ms"))))
                self.measure(command, first=turn == ROUNDS - 1)
            threads = int(str(tab.evaluate(THREADS)).partition(":")[0])
        return Visit(
            page_ms=statistics.median(medians),
            page_rounds_ms=tuple(medians),
            page_threads=threads,
            first_ms=tuple(first),
            command_ms={str(count): statistics.median(times) for count, times in command.warm.items()},
            command_first_ms=tuple(command.first),
        )

    def measure(self, found: Command, *, first: bool) -> None:
        """Measure as the command does; `first` answers are asked for as on the page."""
        counts = sorted({1, os.cpu_count() or 1})
        for threads in counts:
            with page_client(self.browser, self.url, self.data) as client:
                self.places.append(describe_environment(self.browser.title, client.device()))
                loaded = client.load(self.model, self.variant, "wasm", threads)
                if loaded["threads"] != threads:
                    raise MeasurementError(
                        f"{self.browser.title} runs the model with {loaded['threads']} threads: "
                        f"{loaded['threads_reason']}"
                    )
                if first and threads == counts[-1]:
                    found.first += client.answer(_picture(self.model["preprocess"]["size"]), ANSWERS, PAUSE_MS)
                found.warm.setdefault(threads, []).extend(client.benchmark(runs=RUNS, warmup_max=WARMUP_MAX))

    def _answer(self, tab: Tab, sample: int) -> float:
        """Classify a sample after a pause; return what the page says it took."""
        selector = f'[data-model="{self.model["name"]}"] .sample:nth-of-type({sample})'
        return _milliseconds(str(tab.evaluate(ASK, [selector, PAUSE_MS])))


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
