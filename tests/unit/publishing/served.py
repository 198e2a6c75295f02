"""A server of one file that hangs up half-way, and goes on from any place."""

import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class CutServer:
    """Serves `content` at any path of `url`; the first `cuts` responses end half-way. `ranges` were asked for."""

    def __init__(self, content: bytes, cuts: int = 1) -> None:
        self.content, self.left, self.cuts, self.ranges = content, cuts, 0, list[str]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/files/"
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range") or ""
        self.ranges.append(asked)
        start = int(match[1]) if (match := re.fullmatch(r"bytes=(\d+)-", asked)) else 0
        handler.send_response(206 if asked else 200)
        handler.send_header("Content-Length", str(len(self.content) - start))
        handler.end_headers()
        if self.left:
            self.left, self.cuts = self.left - 1, self.cuts + 1
            handler.wfile.write(self.content[start : len(self.content) // 2])
            handler.close_connection = True
        else:
            handler.wfile.write(self.content[start:])

    def __enter__(self) -> "CutServer":
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
