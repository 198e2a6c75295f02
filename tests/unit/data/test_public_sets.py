"""Public data sets are downloaded whole or not at all: from a real server that cuts, or sends another file."""

import hashlib
import io
import pickle
import socket
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from export.core.errors import ExportError
from export.data.__main__ import main, parser
from export.data.pictures.training_set import open_training_set
from export.data.preprocess import read_image
from export.data.public.get import get
from export.data.public.sets import SETS, PublicSet

CONTENT = bytes(range(256)) * 4000


@dataclass
class Server:
    """What is served, how many bytes of it until a connection is cut, and the ranges that were asked for."""

    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[str | None] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            server.asked.append(wanted)
            if self.path == "/none":
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
            if start >= len(server.content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = server.content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            cut = server.cuts.pop(0) if server.cuts else len(body)
            self.wfile.write(body[:cut])
            self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.05,))
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_port}/set.bin"
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def a_set(server: Server, content: bytes = CONTENT) -> PublicSet:
    return PublicSet("a", "A set", server.url, hashlib.md5(content).hexdigest(), "free", "set.bin")


def test_a_file_is_downloaded_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(Server()) as server:
        for _ in range(2):
            assert get(a_set(server), tmp_path / "sets").read_bytes() == CONTENT
        assert server.asked == [None]
    said = capsys.readouterr().out
    assert "terms of use: free" in said and "is there already" in said
    assert [path.name for path in (tmp_path / "sets").iterdir()] == ["set.bin"]


def test_a_cut_is_gone_on_with(tmp_path: Path) -> None:
    with serving(Server(cuts=[300_000, 5000])) as server:
        assert get(a_set(server), tmp_path).read_bytes() == CONTENT
        assert server.asked == [None, "bytes=300000-", "bytes=305000-"]


def test_an_ended_run_is_gone_on_with(tmp_path: Path) -> None:
    with serving(Server(cuts=[300_000, 0])) as server:
        with pytest.raises(ExportError, match="it goes on where it stopped") as refusal:
            get(a_set(server), tmp_path)
        assert refusal.value.exit_code == 1 and not (tmp_path / "set.bin").exists()
        assert get(a_set(server), tmp_path).read_bytes() == CONTENT
        assert server.asked[-1] == "bytes=300000-"


def test_a_server_without_ranges_sends_it_anew(tmp_path: Path) -> None:
    with serving(Server(cuts=[300_000], ranges=False)) as server:
        assert get(a_set(server), tmp_path).read_bytes() == CONTENT
        assert server.asked == [None, "bytes=300000-"]


@pytest.mark.parametrize("rest", [b"", b"too long"])
def test_a_partial_file_that_is_whole_or_too_long(tmp_path: Path, rest: bytes) -> None:
    (tmp_path / ".set.bin.partial").write_bytes(CONTENT + rest)
    with serving(Server()) as server:
        assert get(a_set(server), tmp_path).read_bytes() == CONTENT


def test_another_file_is_refused_and_removed(tmp_path: Path) -> None:
    with serving(Server(content=b"<html>moved</html>")) as server:
        with pytest.raises(ExportError, match=r"its MD5 is .* not 90528d7ca1a48142e341f4ef8d21d0de"):
            main(["get", "tiny-imagenet", "--out", str(tmp_path), "--url", server.url])
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(ExportError, match="404"):
            get(replace(a_set(server), url=server.url.replace("set.bin", "none")), tmp_path)


def test_without_a_network_it_says_what_can_be_done(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/set.bin"
    with pytest.raises(ExportError, match="cannot be downloaded: ConnectionRefusedError") as refusal:
        get(replace(SETS["imagenette"], url=url), tmp_path)
    assert f"put the file into {tmp_path} yourself" in str(refusal.value) and refusal.value.exit_code == 1


def cifar(classes: list[bytes]) -> bytes:
    """Return an archive in CIFAR-10's form, of two pictures a batch."""
    pixels = np.arange(2 * 3072, dtype=np.uint32).astype(np.uint8).reshape(2, 3072)
    batches = {f"data_batch_{number}": {b"data": pixels, b"labels": [0, 1]} for number in (1, 2)}
    files = {**batches, "test_batch": batches["data_batch_1"], "batches.meta": {b"label_names": classes}}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        for name, values in files.items():
            data = pickle.dumps(values, protocol=3)
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def test_cifar_becomes_class_folders(tmp_path: Path) -> None:
    content = cifar([b"airplane", b"automobile"])
    with serving(Server(content=content)) as server:
        dataset = replace(SETS["cifar10"], url=server.url, md5=hashlib.md5(content).hexdigest())
        path = get(dataset, tmp_path)
    assert path.name == "cifar10.zip" and list(tmp_path.iterdir()) == [path]
    with open_training_set(path) as found:
        assert found.classes == ("airplane", "automobile")
        assert len(found.train) == 4 and len(found.validation) == 2
        picture = read_image(found.train.read(found.train.names[0]))
    assert picture.shape == (32, 32, 3) and picture[0, 1].tolist() == [1, 1025 % 256, 2049 % 256]


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    content = cifar([print])  # type: ignore[list-item]
    with serving(Server(content=content)) as server:
        dataset = replace(SETS["cifar10"], url=server.url, md5=hashlib.md5(content).hexdigest())
        with pytest.raises(ExportError, match=r"is not CIFAR-10 as its authors publish it: .*print"):
            get(dataset, tmp_path)


def test_every_set_is_offered_with_its_terms() -> None:
    assert all(name in parser().format_help() and one.terms and len(one.md5) == 32 for name, one in SETS.items())
