"""transformers.js as a contender: its own page, timed by the same script as ours."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page

from export.measuring.benchmark.peer.page import Build, blank_page, open_peer
from export.measuring.benchmark.peer.site import IMAGES, peer_site
from export.measuring.browser.server import serving
from export.page.inventory import COMMON_SAMPLES, SAMPLES

SAMPLE = SAMPLES / COMMON_SAMPLES
PEERS: tuple[tuple[str, str, Build], ...] = (
    ("transformers", "transformers.js q8, as it chooses", "asyncify"),
    ("transformers_plain", "transformers.js q8, ONNX Runtime without WebGPU", "plain"),
)


@dataclass(frozen=True)
class PeerContender:
    """A loaded peer page."""

    page: Page
    role: str
    title: str
    image: str
    first_ms: float

    def benchmark(self, runs: int, warmup_max: int) -> list[float]:
        """Return the milliseconds of `runs` warm runs of the model alone, read-back included."""
        options = {"image": f"{IMAGES}/{self.image}", "runs": runs, "warmup_max": warmup_max}
        found: dict[str, Any] = self.page.evaluate("(options) => peer.benchmark(options)", options)
        return list(found["forward"]["samples_ms"])


def sample_picture() -> Path:
    """Return the picture that every page is shown."""
    return next(path for path in sorted(SAMPLE.iterdir()) if path.suffix in (".jpg", ".png", ".webp"))


@contextmanager
def peer_contenders(browser: Browser, artifact: Path, threads: int) -> Iterator[list[PeerContender]]:
    """Yield transformers.js on the same weights, each of its builds on a page of its own."""
    picture = sample_picture()
    with ExitStack() as stack:
        site = stack.enter_context(peer_site(artifact, images=[picture]))
        url = stack.enter_context(serving(site, isolated=True))
        found = []
        for role, title, build in PEERS:
            page = stack.enter_context(blank_page(browser))
            open_peer(page, url, image=picture.name, dtype="q8", build=build, threads=threads)
            first = float(page.evaluate("() => peer.first_prediction_ms - peer.loaded_ms"))
            found.append(PeerContender(page, role, title, picture.name, first))
        yield found
