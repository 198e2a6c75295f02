"""transformers.js as a benchmark target: a page of its own, timed by the same script as ours."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from export.measuring.benchmark.peer.page import Build, blank_page, open_peer
from export.measuring.benchmark.peer.site import IMAGES, peer_site
from export.measuring.browser.server import serving
from export.page.content.inventory import COMMON_SAMPLES, SAMPLES

SAMPLE = SAMPLES / COMMON_SAMPLES
PEERS: tuple[tuple[str, str, Build], ...] = (  # name, title, and build of ONNX Runtime
    ("transformers", "transformers.js q8, default build", "asyncify"),
    ("transformers_plain", "transformers.js q8, build without WebGPU", "plain"),
)


@dataclass(frozen=True)
class PeerTarget:
    """A loaded peer page; `image` is the name of the one that it classifies."""

    name: str
    title: str
    page: Page
    image: str
    first_run_ms: float

    def benchmark(self, runs: int, warmup_max: int) -> list[float]:
        """Return the milliseconds of `runs` warm runs of the model alone, read-back included."""
        options = {"image": f"{IMAGES}/{self.image}", "runs": runs, "warmup_max": warmup_max}
        times: dict[str, Any] = self.page.evaluate("(options) => peer.benchmark(options)", options)
        return list(times["forward"]["samples_ms"])


def sample_image() -> Path:
    """Return the image that every page classifies."""
    return next(path for path in sorted(SAMPLE.iterdir()) if path.suffix in (".jpg", ".png", ".webp"))


@contextmanager
def peer_targets(browser: Browser, artifact: Path, threads: int) -> Iterator[list[PeerTarget]]:
    """Yield transformers.js on the same weights, each of its builds loaded on a page of its own."""
    image = sample_image()
    with ExitStack() as stack:
        site = stack.enter_context(peer_site(artifact, images=[image]))
        url = stack.enter_context(serving(site, isolated=True))
        targets = []
        for name, title, build in PEERS:
            page = stack.enter_context(blank_page(browser))
            open_peer(page, url, image=image.name, dtype="q8", build=build, threads=threads)
            first_run = float(page.evaluate("() => peer.first_prediction_ms - peer.loaded_ms"))
            targets.append(PeerTarget(name=name, title=title, page=page, image=image.name, first_run_ms=first_run))
        yield targets
