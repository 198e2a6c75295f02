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
FIGURE = """(name) => document.querySelector(`#warm [data-figure="${name}"]`).textContent"""
THREADS = """() => [...document.querySelectorAll('#device div')]
  .find(({ firstElementChild }) => firstElementChild.textContent === 'Threads')?.lastElementChild.textContent ?? ''"""


def measure_visits(request: MeasureRequest, count: int) -> VisitFile:
    """Visit the page `count` times in the first browser; before and after each, measure it as the command does.

    Raises `RequestError` when the page lacks what is selected, `MeasurementError` when it fails.
    """
    data = read_site_data(request.site)
    model, variant = _select(data, request)
    places: list[Environment] = []
    visits: list[Visit] = []
    counts = sorted({1, os.cpu_count() or 1})
    with serving(request.site, isolated=True) as url, running_browsers(request.browsers[:1]) as (browser,):
        progress = Progress(count)
        before = _command(browser, url, data, (model, variant), counts, places)
        for _ in range(count):
            page_ms, threads, first_ms = _visit(browser, url, model, variant)
            after = _command(browser, url, data, (model, variant), counts, places)
            # Samples of both sides together, so that a machine that slows down meanwhile does so for both.
            one = Visit(
                page_ms=page_ms,
                page_threads=threads,
                first_ms=first_ms,
                command_ms={str(n): statistics.median(before.warm[n] + after.warm[n]) for n in counts},
                command_first_ms=(*before.first, *after.first),
            )
            visits.append(one)
            before = after
            progress.step(f"page {format_ms(page_ms)} with {threads} threads, {one.slower:.2f} of the command's figure")
    return VisitFile(
        schema_version=SCHEMA_VERSION,
        environment=places[0],
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


def _command(
    browser: WebBrowser,
    url: str,
    data: dict[str, Any],
    chosen: tuple[dict[str, Any], dict[str, Any]],
    counts: list[int],
    places: list[Environment],
) -> Command:
    """Measure as the command does; the first answers are asked for as on the page."""
    found = Command()
    for threads in counts:
        with page_client(browser, url, data) as client:
            places.append(describe_environment(browser.title, client.device()))
            loaded = client.load(*chosen, "wasm", threads)
            if loaded["threads"] != threads:
                break
            if threads == counts[-1]:
                found.first = client.answer(_picture(chosen[0]["preprocess"]["size"]), ANSWERS, PAUSE_MS)
            found.warm[threads] = client.benchmark(runs=RUNS, warmup_max=WARMUP_MAX)
    if len(found.warm) < len(counts):
        raise MeasurementError(
            f"{browser.title} runs the model with {loaded['threads']} threads: {loaded['threads_reason']}"
        )
    return found


def _picture(side: int) -> bytes:
    """Return a picture of the model's size as PNG."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), "teal").save(file, "PNG")
    return file.getvalue()


def _visit(
    browser: WebBrowser, url: str, model: dict[str, Any], variant: dict[str, Any]
) -> tuple[float, int, tuple[float, ...]]:
    """Open the page, choose samples, click on Measure; return the median, its threads, and the first answers' times."""
    address = f"{url}#model={model['name']}&variant={variant['id']}&backend=wasm"
    with visit(browser, address) as tab:
        first = []
        group = f'[data-model="{model["name"]}"] .sample'
        for number in range(ANSWERS):
            said = tab.evaluate(ASK, [f"{group}:nth-of-type({number % SAMPLES + 1})", PAUSE_MS])
            first.append(_milliseconds(str(said)))
        tab.click("#measure")
        _await(tab, "#state", r"^Measured", lambda: read_text(tab, "#problem"))
        median = _milliseconds(str(tab.evaluate(FIGURE, "median_ms")))
        threads = int(str(tab.evaluate(THREADS)).partition(":")[0])
    return median, threads, tuple(first)


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
