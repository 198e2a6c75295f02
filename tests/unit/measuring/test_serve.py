"""The server behaves as a static host does: what it finds, what it answers, what it refuses."""

import gzip
import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from interrupts import heed_interrupts

from export.core.errors import RequestError
from export.measuring.browser.server import read_base_path, serving
from export.serve import main

SCRIPT = b"export const answer = 42; // " + b"x" * 5000


@pytest.fixture
def site(tmp_path: Path) -> Path:
    folder = tmp_path / "site"
    (folder / "models").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html>front")
    (folder / "404.html").write_text("<!doctype html>not here")
    (folder / "results.html").write_text("<!doctype html>results")
    (folder / "main.js").write_bytes(SCRIPT)
    (folder / "engine.wasm").write_bytes(b"\0asm")
    (folder / "models" / "group1-shard1of1.bin").write_bytes(bytes(range(256)) * 40)
    (folder / "sample.png").write_bytes(b"\x89PNG" + bytes(3000))
    (folder / ".secret").write_text("no")
    (tmp_path / "outside.txt").write_text("no")
    (folder / "link.txt").symlink_to(tmp_path / "outside.txt")
    return folder


def ask(url: str, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    try:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


@pytest.fixture
def url(site: Path) -> Iterator[str]:
    with serving(site) as address:
        yield address


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/results", "text/html; charset=utf-8"),
        ("/main.js", "text/javascript; charset=utf-8"),
        ("/engine.wasm", "application/wasm"),
        ("/models/group1-shard1of1.bin", "application/octet-stream"),
        ("/sample.png", "image/png"),
    ],
)
def test_types_and_caching(url: str, path: str, kind: str) -> None:
    answer, _ = ask(url, path)
    assert answer.status == 200
    assert answer.getheader("Content-Type") == kind
    assert answer.getheader("Cache-Control") == "max-age=600"
    assert answer.getheader("Cross-Origin-Opener-Policy") is None


def test_packs_what_pages_packs_and_only_when_asked(url: str) -> None:
    answer, body = ask(url, "/main.js", Accept_Encoding="br, gzip;q=0.8")
    assert answer.getheader("Content-Encoding") == "gzip"
    assert int(answer.getheader("Content-Length") or 0) == len(body) < len(SCRIPT)
    assert gzip.decompress(body) == SCRIPT
    for refusal in ("", "br", "gzip;q=0"):
        answer, body = ask(url, "/main.js", Accept_Encoding=refusal)
        assert answer.getheader("Content-Encoding") is None and body == SCRIPT
    shard, _ = ask(url, "/models/group1-shard1of1.bin", Accept_Encoding="gzip")
    image, _ = ask(url, "/sample.png", Accept_Encoding="gzip")
    assert shard.getheader("Content-Encoding") == "gzip" and image.getheader("Content-Encoding") is None


def test_packs_anew_what_has_changed(url: str, site: Path) -> None:
    ask(url, "/main.js", Accept_Encoding="gzip")
    (site / "main.js").write_bytes(b"export {};" * 100)
    assert gzip.decompress(ask(url, "/main.js", Accept_Encoding="gzip")[1]) == b"export {};" * 100


def test_unchanged_is_not_sent_again(url: str) -> None:
    tag = ask(url, "/main.js")[0].getheader("ETag") or ""
    answer, body = ask(url, "/main.js", If_None_Match=tag)
    assert answer.status == 304 and body == b""


@pytest.mark.parametrize(
    "path",
    [
        "/missing.bin",
        "/models/",
        "/.secret",
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/models/..%2f..%2foutside.txt",
        "/..%5coutside.txt",
        "/link.txt",
        "/main.js%00.html",
        "/" + "x" * 300,
    ],
)
def test_unknown_hidden_and_outside_are_the_sites_404_as_html(url: str, path: str) -> None:
    answer, body = ask(url, path)
    assert answer.status == 404
    assert answer.getheader("Content-Type") == "text/html; charset=utf-8"
    assert body == b"<!doctype html>not here"


def test_folder_leads_to_its_own_address_and_never_elsewhere(url: str, site: Path) -> None:
    assert ask(url, "/models")[0].getheader("Location") == "/models/"
    (site / "models" / "index.html").write_text("models")
    assert ask(url, "/models/")[1] == b"models"
    assert ask(url, "//models")[0].getheader("Location") == "/models/"  # not //models/, which is another host


def test_head_has_headers_alone(url: str) -> None:
    answer, body = ask(url, "/main.js", "HEAD")
    assert int(answer.getheader("Content-Length") or 0) == len(SCRIPT) and body == b""


def test_base_path(site: Path) -> None:
    with serving(site, base_path="repo") as url:
        assert url.endswith("/repo/")
        assert ask(url, "/repo")[0].getheader("Location") == "/repo/"
        assert ask(url, "/repo/main.js")[1] == SCRIPT
        assert ask(url, "/main.js")[0].status == 404
        assert ask(url, "/repo/models")[0].getheader("Location") == "/repo/models/"


def test_isolated_sends_the_headers_for_threads(site: Path) -> None:
    with serving(site, isolated=True) as url:
        for path in ("/", "/main.js", "/missing"):
            answer, _ = ask(url, path)
            assert answer.getheader("Cross-Origin-Opener-Policy") == "same-origin"
            assert answer.getheader("Cross-Origin-Embedder-Policy") == "require-corp"


@pytest.mark.parametrize(
    ("text", "path"), [("/", "/"), ("", "/"), ("repo", "/repo/"), ("/a/b.c", "/a/b.c/"), ("//repo//", "/repo/")]
)
def test_base_path_is_completed(text: str, path: str) -> None:
    assert read_base_path(text) == path


@pytest.mark.parametrize("text", ["/a b/", "/../", "/a?b/", "/é/"])
def test_base_path_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="base-path"):
        read_base_path(text)


def test_port_in_use_says_so(site: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RequestError, match=f"port {port} on 127.0.0.1 is taken") as caught:
            main(["--site", str(site), "--port", str(port)])
    assert "--port 0" in caught.value.hint


def test_missing_or_empty_folder_says_how_to_build(tmp_path: Path) -> None:
    for folder, found in ((tmp_path / "none", "is not a folder"), (tmp_path, "has no index.html")):
        with pytest.raises(RequestError, match=found) as caught:
            main(["--site", str(folder)])
        assert "export.build" in caught.value.hint


def test_command_serves_until_interrupted(site: Path) -> None:
    command = [sys.executable, "-m", "export.serve", "--site", str(site), "--port", "0", "--isolated"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heed_interrupts
    ) as process:
        assert process.stdout
        url = next(word for word in process.stdout.readline().split() if word.startswith("http://"))
        assert ask(url, "/")[1] == b"<!doctype html>front"
        ask(url, "/missing")
        os.kill(process.pid, signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "404 GET /missing" in rest and "Traceback" not in rest


def test_browser_that_hangs_up_is_no_error(url: str, site: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (site / "large.bin").write_bytes(os.urandom(8_000_000))
    host, port = urlsplit(url).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n")
        connection.recv(100)
    assert ask(url, "/")[0].status == 200
    assert capfd.readouterr().err == ""
