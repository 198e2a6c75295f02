"""What a page downloads, counted, and a slow line for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from playwright.sync_api import Page, Request

from export.measuring.browser.throttle import slow_processor


@dataclass
class Transfers:
    """Bytes that came over the line by address, head and packed body together, as the browser's own tools count."""

    bytes: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All bytes."""
        return sum(self.bytes.values())


@contextmanager
def transferred(page: Page) -> Iterator[Transfers]:
    """Count what the page and its workers download within the block; the figures are there when it has ended.

    An answer from the browser's cache counts as 0, an address asked for twice has the sum. Failed requests and what
    never was on the line (`data:`, `blob:`) are left out. Open nothing else in the page's context meanwhile.
    """
    finished: list[Request] = []
    found = Transfers()

    def note(request: Request) -> None:
        finished.append(request)

    page.context.on("requestfinished", note)
    try:
        yield found
    finally:
        page.context.remove_listener("requestfinished", note)
    for request in finished:
        if request.url.startswith("http"):
            found.bytes[request.url] = found.bytes.get(request.url, 0) + _encoded_bytes(request)


def _encoded_bytes(request: Request) -> int:
    sizes = request.sizes()
    head, body = sizes["responseHeadersSize"], sizes["responseBodySize"]
    if body < 0:  # Chromium reports 0 bytes in all, of which Playwright takes the head away: a cache answered
        return 0
    if body == 0:  # of a worker's own script Chromium reports the head alone
        answer = request.response()
        body = int((answer and answer.header_value("content-length")) or 0)
    return head + body


@contextmanager
def slow_line(page: Page, *, mbit_per_s: float, latency_ms: float) -> Iterator[None]:
    """Let the page and its workers download and upload so fast at most, every answer so much later, within the block.

    Chromium does it (`Network.emulateNetworkConditions`), measured with version 156: requests of the page and of the
    workers it starts are slowed, those of workers that a worker starts are not, nor is a worker's script on its way
    from the cache. 1 Mbit is 1,000,000 bits.
    """
    session = page.context.new_cdp_session(page)
    bytes_per_s = mbit_per_s * 1e6 / 8
    session.send("Network.enable")
    session.send(
        "Network.emulateNetworkConditions",
        {"offline": False, "latency": latency_ms, "downloadThroughput": bytes_per_s, "uploadThroughput": bytes_per_s},
    )
    try:
        yield
    finally:
        session.detach()  # which ends the emulation


@contextmanager
def throttle(page: Page, *, mbit_per_s: float, latency_ms: float, cpu_slowdown: float) -> Iterator[None]:
    """Give the page the line of `slow_line` and its browser's pages the processor of `slow_processor`."""
    browser = page.context.browser
    assert browser is not None, "a context that was launched without a browser of its own"
    with slow_line(page, mbit_per_s=mbit_per_s, latency_ms=latency_ms), slow_processor(browser, cpu_slowdown):
        yield
