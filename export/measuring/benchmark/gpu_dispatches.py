"""GPU dispatches per inference: how many draw calls or compute dispatches a runtime issues for one image.

Each costs GPU and CPU more than most of them compute for a small model. The number depends on the graph and the
runtime and hardly on the GPU, so it can be counted on a software GPU, whose times mean nothing.
"""

from collections.abc import Sequence

from playwright.sync_api import Browser, Worker

from export.core.console import say
from export.core.errors import MeasurementError
from export.measuring.benchmark.site import BenchmarkSite
from export.measuring.benchmark.targets import GPU_BACKENDS, Target
from export.measuring.browser.chromium import fresh_page
from export.measuring.browser.page_client import QUIET_PAGE, PageClient
from export.page.reports.benchmark.records import DispatchCount

# Every call of WebGL and of WebGPU that starts a program.
COUNT = """() => {
  globalThis.gpuDispatches = 0;
  for (const [owner, names] of [
    [globalThis.WebGL2RenderingContext, ['drawArrays', 'drawElements']],
    [globalThis.GPUComputePassEncoder, ['dispatchWorkgroups', 'dispatchWorkgroupsIndirect']],
  ]) {
    for (const name of owner ? names : []) {
      const call = owner.prototype[name];
      owner.prototype[name] = function (...values) {
        globalThis.gpuDispatches++;
        return call.apply(this, values);
      };
    }
  }
}"""
COUNTED = "() => globalThis.gpuDispatches"
RUNS = 3  # weights go to the GPU in the first ones, which the later ones need not do


def count_dispatches(
    browser: Browser, url: str, site: BenchmarkSite, targets: Sequence[Target], image: bytes
) -> list[DispatchCount]:
    """Return the dispatches of `targets` of a served site for `image`, by back end.

    Raises `MeasurementError` when the page fails; a back end that the browser lacks is skipped with a warning.
    """
    counts = []
    for backend in GPU_BACKENDS:
        for target in targets:
            with fresh_page(browser, url + QUIET_PAGE) as page:
                client = PageClient(page, url, site.data)
                missing = {
                    state["name"]: state["reason"] for state in client.backends("tfjs") if not state["available"]
                }
                if backend in missing:
                    say(f"  skipped: GPU dispatches of {target.title} on {backend}: {missing[backend]}")
                    continue
                (worker,) = page.workers
                worker.evaluate(COUNT)
                client.load(site.model, site.variant(target), backend, 1)
                count = _settled(client, worker, image, f"{target.title} on {backend}")
            counts.append(
                DispatchCount(
                    model=site.model["name"], role=target.name, title=target.title, backend=backend, count=count
                )
            )
    return counts


def _settled(client: PageClient, worker: Worker, image: bytes, what: str) -> int:
    """Return the dispatches of one run; raises `MeasurementError` when the last two runs differ."""
    counts = []
    for _ in range(RUNS):
        before = int(worker.evaluate(COUNTED))
        list(client.classify([image]))
        counts.append(int(worker.evaluate(COUNTED)) - before)
    if counts[-1] != counts[-2] or not counts[-1]:
        raise MeasurementError(f"{what}: the number of GPU dispatches varies between single runs: {counts}")
    return counts[-1]
