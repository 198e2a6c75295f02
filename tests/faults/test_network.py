"""Every kind of file that the page loads, with every fault of a network: a clear message, and the next try succeeds."""

import re
import socket
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

import pytest
from faulting import Tally
from playwright.sync_api import Browser

from export.core.errors import MeasurementError
from export.measuring.browser.page_client import QUIET_PAGE, PageClient, read_site_data
from export.measuring.browser.server import OCTETS, TYPES, PagesHandler, serving

pytestmark = [pytest.mark.faults("network"), pytest.mark.browser]
Trick = Callable[[PagesHandler, bytes, dict[str, str]], None]
HTML = b"<!doctype html><html><title>Welcome</title><p>Please sign in.</html>"
SIGN_IN = "/sign-in"
PIECES = 10


def not_found(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    handler.not_found()


def html_instead(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    handler.send(200, HTML + bytes(2000), {"Content-Type": TYPES[".html"]})


def html_in_disguise(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    handler.send(200, HTML, kind)


def rate_limited(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    handler.send(429, HTML, {"Content-Type": TYPES[".html"], "Retry-After": "60"})


def failing(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    handler.send(500, HTML, {"Content-Type": TYPES[".html"]})


def empty(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    handler.send(200, b"", kind)


def too_short(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    handler.send(200, body[: len(body) // 2], kind)


def too_long(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    handler.send(200, body + bytes(100), kind)


def altered(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    middle = len(body) // 2
    handler.send(200, body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :], kind)


def cut_off(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    _begin(handler, body, kind)
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def hung_up(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def redirected(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    handler.send(302, b"", {"Location": SIGN_IN, "Content-Type": TYPES[".html"]})


def in_pieces(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    """Send a body slowly: it comes in pieces with breaks between them."""
    _begin(handler, body, kind)
    rest = body[len(body) // 2 :]
    for start in range(0, len(rest), max(1, len(rest) // PIECES)):
        Event().wait(0.1)
        handler.wfile.write(rest[start : start + max(1, len(rest) // PIECES)])
        handler.wfile.flush()


def _begin(handler: PagesHandler, body: bytes, kind: dict[str, str]) -> None:
    handler.send_response(200)
    for name, value in (kind | {"Content-Length": str(len(body))}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body[: len(body) // 2])
    handler.wfile.flush()


FAULTS = (
    *(not_found, html_instead, html_in_disguise, rate_limited, failing, empty),
    *(too_short, too_long, altered, cut_off, hung_up, redirected),
)
# What the page loads → a file of that kind, by the variant that loads it. Scripts are checked by the browser alone,
# which takes an altered one as it is.
FILES: dict[str, tuple[str, str]] = {
    "model of the vit engine": ("vit", r"^model.*\.vit$"),
    "reference images": ("vit", r"^selftest.*\.safetensors$"),
    "build of the vit engine": ("vit", r"^vit-.*\.wasm$"),
    "script of the vit engine": ("vit", r"^vit\..*\.js$"),
    "model of TF.js": ("tfjs", r"^model.*\.json$"),
    "weights of TF.js": ("tfjs", r"shard"),
    "build of TF.js": ("tfjs", r"^tfjs-backend-wasm.*\.wasm$"),
}
SCRIPTS = ("script of the vit engine",)
FOR_SCRIPTS = (not_found, html_instead, html_in_disguise, rate_limited, failing, cut_off, hung_up, redirected)
FEW = {
    ("model of the vit engine", cut_off),
    ("build of the vit engine", html_in_disguise),
    ("reference images", failing),
    ("script of the vit engine", html_instead),
}


class FaultyHandler(PagesHandler):
    """Serves well but for the first answers to the files that `pattern` matches."""

    pattern: ClassVar[str] = ""
    tricks: ClassVar[list[Trick]] = []

    def do_GET(self) -> None:  # noqa: N802 (the name http.server asks for)
        if self.path == SIGN_IN:
            return self.send(200, HTML, {"Content-Type": TYPES[".html"]})
        super().do_GET()

    def answer_file(self, path: Path) -> None:
        if not self.tricks or not re.search(self.pattern, path.name):
            return super().answer_file(path)
        self.tricks.pop(0)(self, path.read_bytes(), {"Content-Type": TYPES.get(path.suffix, OCTETS)})


@pytest.fixture(scope="module")
def site(build_page: Callable[..., Path]) -> Path:
    """The page with a variant for our engine and one for TensorFlow.js."""
    return build_page("w8_dynamic,u8")


def outcome(chromium: Browser, site: Path, engine: str, pattern: str, trick: Trick) -> str:
    """Return what is wrong with how the page answers a trick, played on it until it gives up; empty: nothing."""
    handler: Any = type("Handler", (FaultyHandler,), {"pattern": pattern, "tricks": [trick] * 20})
    data = read_site_data(site)
    model = data["models"][0]
    variant = next(one for one in model["variants"] if one["engine"] == engine)
    with serving(site, handler=handler) as url, chromium.new_context(service_workers="block") as context:
        page = context.new_page()

        def load() -> dict[str, Any]:
            page.goto(url + QUIET_PAGE)
            return PageClient(page, url, data).load(model, variant, "wasm", 1)

        try:
            load()
        except MeasurementError as error:
            said = str(error)
        else:
            return "it was loaded"
        if len(handler.tricks) == 20:
            return "the file was never asked for"
        if "[internal]" in said or "  → " not in said:
            return f"unclear: {said}"
        handler.tricks.clear()
        try:
            load()
        except MeasurementError as error:
            return f"after “{said}”, the next try failed: {error}"
    return ""


@pytest.mark.parametrize("file", FILES)
def test_faults_are_answered(file: str, chromium: Browser, site: Path, full: bool, tally: Tally) -> None:
    engine, pattern = FILES[file]
    for trick in FOR_SCRIPTS if file in SCRIPTS else FAULTS:
        if not full and (file, trick) not in FEW:
            continue
        wrong = outcome(chromium, site, engine, pattern, trick)
        verdict = "answered" if not wrong else "wrong" if wrong == "it was loaded" else "unclear"
        tally.count(verdict, f"{file}, {trick.__name__}: {wrong}")  # type: ignore[arg-type]


@pytest.mark.parametrize("file", FILES)
def test_slow_files_are_waited_for(file: str, chromium: Browser, site: Path, full: bool, tally: Tally) -> None:
    engine, pattern = FILES[file]
    if full:
        found = outcome(chromium, site, engine, pattern, in_pieces)
        tally.count("answered" if found == "it was loaded" else "unclear", f"{file}: {found}")
