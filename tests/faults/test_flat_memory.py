"""A page that is used for long needs no more memory than at first: many inferences, many switches between models."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulting import Tally
from playwright.sync_api import Browser, Playwright
from test_bad_pictures import encoded

from export.measuring.browser.chromium import launch
from export.measuring.browser.page_client import PageClient, page_client, read_site_data
from export.measuring.browser.server import serving
from export.page.reports.faults import Growth

pytestmark = [pytest.mark.faults("memory"), pytest.mark.browser]
# The memory of a page and its workers is told at once, after a collection of garbage, not within minutes.
FLAGS = ("--enable-blink-features=ForceEagerMeasureMemory", "--js-flags=--expose-gc")
MEASURE = """async () => {
  for (let times = 0; times < 3; times++) globalThis.gc();
  return (await performance.measureUserAgentSpecificMemory()).bytes;
}"""
PAGE, PROCESS = "page and worker", "Chromium's process"
SPARE = {PAGE: 4_000_000, PROCESS: 40_000_000}  # what garbage that is not collected yet may take
BATCH = 50
PATIENCE_S, LOOK_S = 60.0, 2.0  # the process gives pages back when it finds the time


@dataclass(frozen=True)
class Watched:
    """A page and what it takes."""

    client: PageClient
    data: dict[str, Any]
    browser: Browser

    def load(self, index: int) -> None:
        model = self.data["models"][0]
        self.client.load(model, model["variants"][index], "wasm", 1)

    def memory(self) -> dict[str, int]:
        session = self.browser.new_browser_cdp_session()
        processes = session.send("SystemInfo.getProcessInfo")["processInfo"]
        session.detach()
        pages = [Path(f"/proc/{one['id']}/statm") for one in processes if one["type"] == "renderer"]
        resident = sum(int(path.read_text().split()[1]) for path in pages if path.exists()) * 4096
        return {PAGE: int(self.client.page.evaluate(MEASURE)), PROCESS: resident}

    def memory_after(self, before: dict[str, int]) -> dict[str, int]:
        """Return the memory as soon as it has not grown, else what it is in the end."""
        deadline = time.monotonic() + PATIENCE_S
        while has_grown(before, after := self.memory()) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        return after


def has_grown(before: dict[str, int], after: dict[str, int]) -> bool:
    return any(after[memory] - before[memory] > SPARE[memory] for memory in SPARE)


@pytest.fixture
def watched(playwright: Playwright, build_page: Callable[..., Path]) -> Iterator[Watched]:
    """An isolated page, as only such a one is told what memory it takes."""
    site = build_page("w8_dynamic,u8,f32")
    data = read_site_data(site)
    with (
        launch(playwright, flags=FLAGS) as browser,
        serving(site, isolated=True) as url,
        page_client(browser, url, data) as client,
    ):
        yield Watched(client, data, browser)


def compare(tally: Tally, before: dict[str, int], after: dict[str, int], n: int, repeated: str) -> None:
    for memory in SPARE:
        tally.growth.append(Growth(memory=memory, repeated=repeated, n=n, before=before[memory], after=after[memory]))
    tally.count("wrong" if has_grown(before, after) else "answered", f"{n} {repeated}: {before} → {after}")


def test_inferences_leave_memory_as_it_is(watched: Watched, full: bool, tally: Tally) -> None:
    pictures = [encoded("PNG")] * BATCH
    count = 1000 if full else 2 * BATCH
    watched.load(0)
    list(watched.client.classify(pictures))
    before = watched.memory()
    answers = [logits for _ in range(count // BATCH) for logits in watched.client.classify(pictures)]
    compare(tally, before, watched.memory_after(before), count, "inferences")
    assert all(np.array_equal(one, answers[0]) for one in answers)


def test_switches_leave_memory_as_it_is(watched: Watched, full: bool, tally: Tally) -> None:
    count, kinds = 50 if full else 3, len(watched.data["models"][0]["variants"])
    for index in range(2 * kinds):
        watched.load(index % kinds)
    before = watched.memory()
    for index in range(count):
        watched.load((index + 1) % kinds)
    watched.load(kinds - 1)
    compare(tally, before, watched.memory_after(before), count, "switches between models")
