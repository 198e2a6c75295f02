"""A server of one site that answers as a static host would: gzip, ten minutes of caching, errors as HTML."""

import errno
import gzip
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

from export.core.console import say
from export.core.errors import RequestError

# Content types as GitHub Pages sends them, by file extension; OCTETS for all others.
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".webmanifest": "application/manifest+json; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
OCTETS = "application/octet-stream"
COMPRESSED = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "font/")
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}
MAX_AGE = 600  # seconds; fixed on GitHub Pages
PLAIN_404 = b"<!doctype html><html lang=en><title>404</title><h1>404</h1><p>There is no such file here.</html>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """What is served and how."""

    folder: Path
    base_path: str = "/"
    isolated: bool = False
    compress: bool = True
    log: bool = False


class PagesHandler(BaseHTTPRequestHandler):
    """Responds as GitHub Pages does; `server.hosting` says from where."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "vit-pages", ""
    timeout = 60  # an idle kept-alive connection is closed
    server: "PagesServer"

    def do_GET(self) -> None:
        """Respond with the file, a redirect to its folder, 304 or the 404 page."""
        hosting = self.server.hosting
        path = unquote(urlsplit(self.path).path)
        if f"{path}/" == hosting.base_path:
            return self.redirect(hosting.base_path)
        target = find_file(hosting, path)
        if target is None:
            return self.not_found()
        if target.is_dir():
            return self.redirect(f"{urlsplit(self.path).path}/")
        self.answer_file(target)

    do_HEAD = do_GET  # noqa: N815 (the name http.server asks for)

    def answer_file(self, path: Path) -> None:
        """Send a file's bytes, with gzip when the browser accepts it and the file is not compressed already."""
        stat = path.stat()
        kind = TYPES.get(path.suffix.lower(), OCTETS)
        gzipped = self.server.hosting.compress and not kind.startswith(COMPRESSED) and self.accepts_gzip()
        tag = f'"{stat.st_mtime_ns:x}-{stat.st_size:x}{"-gzip" if gzipped else ""}"'
        headers = {"ETag": tag, "Last-Modified": formatdate(stat.st_mtime, usegmt=True)}
        if self.headers.get("If-None-Match") == tag:
            return self.send(HTTPStatus.NOT_MODIFIED, b"", headers)
        body = self.server.compressed(path, tag) if gzipped else path.read_bytes()
        headers["Content-Type"] = kind
        if gzipped:
            headers["Content-Encoding"] = "gzip"
        self.send(HTTPStatus.OK, body, headers)

    def not_found(self) -> None:
        """Send the site's own 404 page, as HTML whatever was requested."""
        page = self.server.hosting.folder / "404.html"
        body = page.read_bytes() if page.is_file() else PLAIN_404
        self.send(HTTPStatus.NOT_FOUND, body, {"Content-Type": TYPES[".html"]})

    def redirect(self, target: str) -> None:
        """Send the browser to a folder's own address."""
        # One leading slash only: //host would lead to another site.
        self.send(HTTPStatus.MOVED_PERMANENTLY, b"", {"Location": "/" + target.lstrip("/")})

    def send(self, status: HTTPStatus, body: bytes, headers: dict[str, str]) -> None:
        """Send a whole response with the headers that every response has."""
        self.send_response(status)
        common = {"Cache-Control": f"max-age={MAX_AGE}", "Access-Control-Allow-Origin": "*", "Vary": "Accept-Encoding"}
        isolation = ISOLATION if self.server.hosting.isolated else {}
        for name, value in {**headers, **common, **isolation}.items():
            self.send_header(name, value)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def accepts_gzip(self) -> bool:
        """Tell whether the browser accepts gzip."""
        offers = (offer.replace(" ", "").lower() for offer in self.headers.get("Accept-Encoding", "").split(","))
        return any(offer.split(";")[0] in ("gzip", "*") and not re.search(r";q=0(\.0*)?$", offer) for offer in offers)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log only what could not be served."""
        if self.server.hosting.log and int(code) >= HTTPStatus.BAD_REQUEST:
            say(f"  {int(code)} {self.command} {self.path}")

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet about idle connections that time out and the like."""


class PagesServer(ThreadingHTTPServer):
    """A server of one site; compresses every file once."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], hosting: Hosting, handler: type[PagesHandler]) -> None:
        self.hosting = hosting
        self._compressed: dict[Path, tuple[str, bytes]] = {}
        self._lock = Lock()
        super().__init__(address, handler)

    def compressed(self, path: Path, tag: str) -> bytes:
        """Return a file's bytes in gzip; `tag` says whether they are still those compressed before."""
        with self._lock:
            known = self._compressed.get(path)
            if known is None or known[0] != tag:
                known = self._compressed[path] = (tag, gzip.compress(path.read_bytes(), 6, mtime=0))
            return known[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a browser that hung up (a cancelled download), and report anything else."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """The address of the site's front page."""
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}{self.hosting.base_path}"


def find_file(hosting: Hosting, path: str) -> Path | None:
    """Return the file or folder a decoded URL path means, or None; never one outside the site.

    A folder means its index.html, a name without extension its .html; names that begin with a dot are not published.
    """
    if not path.startswith(hosting.base_path) or "\0" in path or "\\" in path:
        return None
    inside = path[len(hosting.base_path) :]
    if any(part.startswith(".") for part in inside.split("/")):
        return None
    root = hosting.folder.resolve()
    target = (root / inside.lstrip("/")).resolve()
    if not target.is_relative_to(root):  # a link that leads out
        return None
    if inside == "" or inside.endswith("/"):
        candidates = [target / "index.html"]
    else:
        candidates = [target, target.with_name(target.name + ".html")]
    try:
        return next((path for path in candidates if path.is_file() or (path == target and path.is_dir())), None)
    except OSError:  # a name longer than the file system takes
        return None


def make_server(
    hosting: Hosting, *, host: str = "127.0.0.1", port: int = 0, handler: type[PagesHandler] = PagesHandler
) -> PagesServer:
    """Return a server that is listening; raises `RequestError` when it cannot."""
    if not (hosting.folder / "index.html").is_file():
        state = "has no index.html" if hosting.folder.is_dir() else "is not a folder"
        raise RequestError(f"nothing to serve: {hosting.folder} {state}", hint="build it: python -m export.build")
    if not 0 <= port <= 65535:
        raise RequestError(f"--port {port} is not between 0 and 65535", hint="use --port 0 for any free port")
    try:
        return PagesServer((host, port), hosting, handler)
    except socket.gaierror as error:
        raise RequestError(
            f"--host {host}: no such host ({error.strerror})", hint="use 127.0.0.1 for this machine"
        ) from error
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "is taken by another program" if taken else f"cannot be used: {error.strerror}"
        raise RequestError(f"port {port} on {host} {reason}", hint="use --port 0 for any free port") from error


def read_base_path(text: str) -> str:
    """Return `/repo/` for `repo`, `/repo` or `/repo/`; raises `RequestError` for what is no path."""
    parts = [part for part in text.split("/") if part]
    if not all(re.fullmatch(r"[\w~-][\w.~-]*", part, re.ASCII) for part in parts):
        raise RequestError(
            f"--base-path {text!r} is not a path like /repo/", hint="letters, digits, . _ ~ and - are allowed"
        )
    return "/".join(["", *parts, ""])


@contextmanager
def serving(
    folder: Path,
    *,
    port: int = 0,
    isolated: bool = False,
    base_path: str = "/",
    compress: bool = True,
    handler: type[PagesHandler] = PagesHandler,
) -> Iterator[str]:
    """Serve `folder` while the block runs and yield the address of its front page."""
    hosting = Hosting(folder=folder, base_path=read_base_path(base_path), isolated=isolated, compress=compress)
    server = make_server(hosting, port=port, handler=handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
