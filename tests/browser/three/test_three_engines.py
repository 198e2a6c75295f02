"""The page in the three browser engines that there are: Chromium's, Firefox's and WebKit's."""

import os
from pathlib import Path

import pytest
from test_selftest import with_wrong_exponential
from visitor import Visitor
from visits import Handler

from export.measuring.browser.page_client import read_site_data
from export.measuring.browser.server import serving
from export.measuring.browser.tab import WebBrowser
from export.measuring.latency import measure_latency
from export.measuring.selection import Selection, plan_measurements
from export.page.results_view import BROWSERS, LATENCY

pytestmark = pytest.mark.browser

RUNTIMES = {"w8_dynamic-vit": "vit", "u8-tfjs": "tfjs", "w8_dynamic-tflite": "litert", "w8_dynamic-qdq": "ort"}

ONE_THREAD = ("LiteRT",)  # which needs relaxed SIMD for more
ONE_THREAD_IN_FIREFOX = ("in Firefox, TensorFlow.js",)  # whose threads the page cannot start for it
COUNT_WORKERS = """() => {
  const running = (globalThis.runningWorkers = new Set());
  globalThis.Worker = class extends Worker {
    constructor(...given) {
      super(...given);
      running.add(this);
    }
    terminate() {
      super.terminate();
      running.delete(this);
    }
  };
}"""


@pytest.mark.parametrize("variant", RUNTIMES, ids=RUNTIMES.values())
def test_every_runtime_classifies_after_its_self_test(
    visitor: Visitor, browser: WebBrowser, whole_site: Path, variant: str
) -> None:
    with serving(whole_site, isolated=True) as url:
        visitor.open(url, variant)
        visitor.classify()
        assert visitor.device("Self-test").startswith("same top-1 on ")
        assert visitor.device("Cross-origin isolated") == "yes"
        threads, _, reason = visitor.device("Threads").partition(": ")
        allowed = ONE_THREAD + (ONE_THREAD_IN_FIREFOX if browser.title.startswith("Firefox") else ())
        assert int(threads) >= min(2, os.cpu_count() or 1) or any(words in reason for words in allowed), reason
    assert visitor.tab.troubles == []


def test_the_page_starts_the_workers_of_workers_in_firefox(
    visitor: Visitor, browser: WebBrowser, whole_site: Path
) -> None:
    """There, a worker that starts one itself may wait for ever; those of a model end with it."""

    def running(variant: str) -> int:
        visitor.tab.evaluate("(shown) => { location.hash = `variant=${shown}&backend=wasm`; }", variant)
        visitor.expect("#state", "chosen")
        visitor.classify()
        return int(visitor.tab.evaluate("() => globalThis.runningWorkers.size"))

    with serving(whole_site, isolated=True) as url:
        visitor.open(url, "u8-tfjs")
        visitor.tab.evaluate(COUNT_WORKERS)
        first = [running(variant) for variant in ("w8_dynamic-vit", "w8_dynamic-tflite", "w8_dynamic-qdq")]
        assert [count > 0 for count in first] == [browser.title.startswith("Firefox") and (os.cpu_count() or 1) > 1] * 3
        assert running("w8_dynamic-vit") == first[0]


def test_a_wrong_back_end_gives_no_answer(visitor: Visitor, whole_site: Path, tmp_path: Path) -> None:
    site = with_wrong_exponential(whole_site, tmp_path, builds_of="vit-")
    with serving(site, isolated=True) as url:
        visitor.open(url)
        visitor.choose_sample("Bag")
        visitor.expect("#state", "wrong|Most likely")
        assert "self-test" in visitor.read("#problem") + visitor.read("#refusals")


def test_one_reload_isolates_the_page_and_the_next_visit_needs_no_network(
    visitor: Visitor, whole_site: Path, handler: type[Handler]
) -> None:
    with serving(whole_site, base_path="/repo/", handler=handler) as url:
        visitor.open(url, loads=2)
        visitor.expect("#state", "reloaded once")
        assert visitor.device("Cross-origin isolated") == "yes"
        visitor.classify()
        handler.gone.set()
        visitor.open(url)
        visitor.classify()
        assert visitor.device("Cross-origin isolated") == "yes"
        visitor.expect("#load-note", "Loaded from this device")


def test_a_download_can_be_cancelled(visitor: Visitor, whole_site: Path, handler: type[Handler]) -> None:
    handler.held.add("model.vit")
    with serving(whole_site, isolated=True, handler=handler) as url:
        visitor.open(url)
        visitor.choose_sample("Bag")
        visitor.expect("#state", "Downloading the weights")
        visitor.press("cancel")
        visitor.expect("#state", "Cancelled")
        handler.released.set()
        visitor.classify()


def test_a_file_that_is_no_picture_is_refused_with_a_way_on(visitor: Visitor, whole_site: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "letter.txt"
    wrong.write_text("Dear Sir or Madam")
    with serving(whole_site, isolated=True) as url:
        visitor.open(url)
        visitor.choose_file(wrong)
        visitor.expect("#problem", "not an image(.|\n)*Choose a PNG")
        visitor.classify()
        assert visitor.read("#problem") == ""


def test_latency_is_measured(visitor: Visitor, whole_site: Path) -> None:
    with serving(whole_site, isolated=True) as url:
        visitor.open(url)
        visitor.classify()
        visitor.press("measure")
        visitor.expect("#state", r"Measured: a median of \d.* over 50 runs")
        assert "test whether fewer" not in visitor.device("Threads")
        assert visitor.read("#warm-note").startswith("After ")


def test_webkit_that_shares_no_memory_says_so_and_runs_one_thread(
    webkit_as_shipped: WebBrowser, whole_site: Path
) -> None:
    with webkit_as_shipped.tab() as tab, serving(whole_site, isolated=True) as url:
        visitor = Visitor(tab)
        visitor.open(url)
        visitor.classify()
        reason = "this browser does not let threads share memory"
        assert visitor.device("Threads") == f"1: {reason}, so it allows only one"
        assert visitor.device("Threads available") == f"1: {reason}"
        assert tab.troubles == []


def test_the_command_measures_latency_there(browser: WebBrowser, whole_site: Path) -> None:
    with serving(whole_site) as url:
        data = read_site_data(whole_site)
        plan = plan_measurements(browser, url, data, Selection(variants=("w8_dynamic-vit",)))
        measured = measure_latency([plan], rounds=1, runs=3)
    (latency,) = [one for one in measured if one.metric == LATENCY]
    assert (latency.browser, latency.threads, latency.n) == (browser.title, 1, 3)
    assert latency.browser.startswith(BROWSERS) and plan.environment.browser == latency.browser
