"""How many programs a GPU is told to run for an image.

To start one costs it, and the processor, more than most of them compute for a small model. The number depends on graph
and runtime and hardly on the GPU, so that it can be counted where the processor stands in for one, whose times say
nothing.
"""

from collections.abc import Sequence
from typing import Any

from playwright.sync_api import Browser, Worker

from export.core.console import say
from export.core.errors import MeasurementError
from export.measuring.browser.chromium import fresh_page
from export.measuring.browser.page_client import QUIET_PAGE, PageClient
from export.page.reports.benchmark import Programs

# Every call that starts a program, of WebGL and of WebGPU.
COUNT = """() => {
  globalThis.gpuPrograms = 0;
  for (const [owner, names] of [
    [globalThis.WebGL2RenderingContext, ['drawArrays', 'drawElements']],
    [globalThis.GPUComputePassEncoder, ['dispatchWorkgroups', 'dispatchWorkgroupsIndirect']],
  ]) {
    for (const name of owner ? names : []) {
      const call = owner.prototype[name];
      owner.prototype[name] = function (...values) {
        globalThis.gpuPrograms++;
        return call.apply(this, values);
      };
    }
  }
}"""
COUNTED = "() => globalThis.gpuPrograms"


def count_programs(
    browser: Browser,
    url: str,
    data: dict[str, Any],
    model: dict[str, Any],
    variants: dict[str, tuple[str, str]],
    backends: Sequence[str],
    image: bytes,
) -> list[Programs]:
    """Return what `variants` of a served page, id → (role, title), have a GPU run for `image`, by back end.

    Raises `MeasurementError` when the page fails; a back end that the browser lacks is left out, aloud.
    """
    found = []
    for backend in backends:
        for variant in (one for one in model["variants"] if one["id"] in variants):
            role, title = variants[variant["id"]]
            with fresh_page(browser, url + QUIET_PAGE) as page:
                client = PageClient(page, url, data)
                reasons = {one["name"]: one["reason"] for one in client.backends("tfjs") if not one["available"]}
                if backend in reasons:
                    say(f"  not counted: programs of {title} on {backend}: {reasons[backend]}")
                    continue
                (worker,) = page.workers
                worker.evaluate(COUNT)
                client.load(model, variant, backend, 1)
                count = _settled(client, worker, image, f"{title} on {backend}")
            found.append(Programs(model=model["name"], role=role, title=title, backend=backend, count=count))
    return found


def _settled(client: PageClient, worker: Worker, image: bytes, what: str) -> int:
    """Return the programs of one run; weights go to the GPU in the first runs, which the later ones need not do."""
    counts = []
    for _ in range(3):
        before = int(worker.evaluate(COUNTED))
        list(client.classify([image]))
        counts.append(int(worker.evaluate(COUNTED)) - before)
    if counts[-1] != counts[-2] or not counts[-1]:
        raise MeasurementError(f"{what}: the programs of single runs are {counts}, which is no number to rely on")
    return counts[-1]
