"""The pretrained path, for real: a local stand-in for the model hub serves files that the test wrote."""

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.models import PretrainedCfg

from export.core.errors import RequestError
from export.models.hub.weights import fetch_weights
from export.models.weights.randomise import randomise

pytestmark = pytest.mark.slow  # the hub's address counts where its library is imported: in processes of their own

ROOT = Path(__file__).parents[3]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
WHOLE, OLD, GONE, SHORT, BREAKS, FORGED, OTHER = (
    "test_vit.r160_in1k",
    "test_vit2.r160_in1k",
    "test_vit3.r160_in1k",
    "test_nfnet.r160_in1k",
    "test_resnet.r160_in1k",
    "test_efficientnet.r160_in1k",
    "test_byobnet.r160_in1k",
)
SILENT = "test_convnext.r160_in1k"
BY_URL = "weights-by-url.pth"

# Loads each model and prints what came of it, one JSON line each; what follows `--` is loaded as a command would.
PROGRAM = """
import json, sys, time
from export.core.console import run
from export.core.errors import RequestError
from export.models.load import load
from export.models.choice.request import ModelRequest

names, _, last = " ".join(sys.argv[1:]).partition("--")
for name in names.split():
    started = time.perf_counter()
    try:
        spec, module = load(ModelRequest(model=f"timm/{name}"))
        total = sum(value.double().abs().sum().item() for value in module.state_dict().values())
        said = {"spec": spec.to_json(), "total": total}
    except RequestError as error:
        said = {"message": error.message, "hint": error.hint}
    print(json.dumps({**said, "seconds": time.perf_counter() - started}), flush=True)
if last:
    run(lambda argv: load(ModelRequest(model=last.strip())))
"""


@dataclass
class Hub:
    """What the stand-in serves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    closing: threading.Event = field(default_factory=threading.Event)
    url: str = ""


def make_handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"X-Repo-Commit": COMMIT, **headers}.items():
                self.send_header(name, value)
            self.end_headers()

        def find(self) -> tuple[str, bytes] | None:
            hub.asked.append((self.command, self.path, self.headers.get("Range", "")))
            if SILENT in self.path:
                hub.closing.wait(60)
            found = re.fullmatch(r"/timm/([\w.]+)/resolve/main/([\w.]+)", self.path)
            name = "/".join(found.groups()) if found else self.path.lstrip("/")
            if name in hub.files:
                return name, hub.files[name]
            known = any(file.startswith(f"{found[1]}/") for file in hub.files) if found else False
            code = "EntryNotFound" if known else "RepoNotFound"
            self.answer(404, {"X-Error-Code": code, "X-Error-Message": "not found", "Content-Length": "0"})
            return None

        def do_HEAD(self) -> None:
            found = self.find()
            if found:
                digest = hashlib.sha256(found[1]).hexdigest() if FORGED not in found[0] else "f" * 64
                length = str(len(found[1]))
                self.answer(200, {"ETag": f'"{digest}"', "Content-Length": length, "Accept-Ranges": "bytes"})

        def do_GET(self) -> None:
            found = self.find()
            if not found:
                return
            name, data = found
            start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
            body = data[start : len(data) // 2] if SHORT in name else data[start:]
            content_range = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
            self.answer(206 if start else 200, {"Content-Length": str(len(body)), **content_range})
            if BREAKS in name and name not in hub.broken:
                hub.broken.add(name)
                self.wfile.write(body[: len(body) // 3])
                self.close_connection = True  # the rest never comes
                return
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: pytest's output is for results."""

    return Handler


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = tmp_path_factory.mktemp("hub")
    hub = Hub()
    for name in (WHOLE, SHORT, BREAKS, FORGED):
        module = randomise(timm.create_model(name.split(".")[0], pretrained=False), seed=7)
        save_file(module.state_dict(), folder / "model.safetensors")
        hub.files[f"{name}/config.json"] = json.dumps({"architecture": name.split(".")[0]}).encode()
        hub.files[f"{name}/model.safetensors"] = (folder / "model.safetensors").read_bytes()
    hub.files[f"{OTHER}/model.safetensors"] = hub.files[f"{WHOLE}/model.safetensors"]
    old = randomise(timm.create_model("test_vit2", pretrained=False), seed=7)
    torch.save(old.state_dict(), folder / "pytorch_model.bin")
    hub.files[f"{OLD}/pytorch_model.bin"] = (folder / "pytorch_model.bin").read_bytes()
    hub.files[BY_URL] = hub.files[f"{OLD}/pytorch_model.bin"]
    server = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(hub))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    yield hub
    hub.closing.set()
    server.shutdown()
    server.server_close()
    thread.join()


def run(cache: Path, endpoint: str, *argv: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"HF_HOME": str(cache), "HF_ENDPOINT": endpoint, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *argv], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300
    )


def load_all(cache: Path, endpoint: str, *names: str, **variables: str) -> dict[str, dict[str, Any]]:
    done = run(cache, endpoint, *names, **variables)
    assert done.returncode == 0, done.stderr
    return dict(zip(names, map(json.loads, done.stdout.splitlines()), strict=True))


def closed_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture(scope="module")
def results(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, dict[str, Any]], Path]:
    cache = tmp_path_factory.mktemp("cache")
    names = (WHOLE, OLD, GONE, SHORT, BREAKS, FORGED, OTHER, SILENT)
    return load_all(cache, hub.url, *names, HF_HUB_ETAG_TIMEOUT="2"), cache


def total_of(architecture: str) -> float:
    module = randomise(timm.create_model(architecture, pretrained=False), seed=7)
    return sum(value.double().abs().sum().item() for value in module.state_dict().values())


def test_weights_come_from_the_hub(results: tuple[dict[str, dict[str, Any]], Path], hub: Hub) -> None:
    found = results[0][WHOLE]
    assert found["total"] == pytest.approx(total_of("test_vit"), rel=1e-12)
    spec = found["spec"]
    assert (spec["name"], spec["timm_name"], spec["weights"]) == (f"timm-{WHOLE}", WHOLE, "pretrained")
    assert spec["weights_sha256"] == hashlib.sha256(hub.files[f"{WHOLE}/model.safetensors"]).hexdigest()
    assert (spec["outputs"], spec["preprocess"]["size"], spec["licence"]) == (1000, 160, "apache-2.0")
    assert spec["labels"][:2] == ["tench", "goldfish"]
    assert spec["source"].endswith(f"/timm/{WHOLE}")


def test_an_older_repository_without_safetensors_is_read_too(results: tuple[dict[str, dict[str, Any]], Path]) -> None:
    assert results[0][OLD]["total"] == pytest.approx(total_of("test_vit2"), rel=1e-12)


def test_a_download_that_breaks_off_is_taken_up_again(
    results: tuple[dict[str, dict[str, Any]], Path], hub: Hub
) -> None:
    assert results[0][BREAKS]["total"] == pytest.approx(total_of("test_resnet"), rel=1e-12)
    assert len([path for method, path, _ in hub.asked if method == "GET" and BREAKS in path]) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (GONE, ("denies access to", "404")),
        (SHORT, ("was interrupted", "should be of size")),
        (FORGED, ("damaged", "ffff")),
        (OTHER, ("cannot be loaded", "Missing key")),
    ],
)
def test_what_the_hub_has_not_or_sends_wrongly_is_said(
    results: tuple[dict[str, dict[str, Any]], Path], name: str, words: tuple[str, ...]
) -> None:
    found = results[0][name]
    assert all(word in found["message"] for word in (name, *words)), found
    assert "--checkpoint" in found["hint"] or "delete" in found["hint"]


def test_a_hub_that_never_answers_is_given_up_within_seconds(results: tuple[dict[str, dict[str, Any]], Path]) -> None:
    found = results[0][SILENT]
    assert "cannot be reached" in found["message"] and "Timeout" in found["message"]
    assert found["seconds"] < 30


def test_without_a_hub_the_cache_serves_and_the_rest_ends_with_one_message(
    results: tuple[dict[str, dict[str, Any]], Path],
) -> None:
    endpoint = closed_port()
    done = run(results[1], endpoint, WHOLE, GONE, "--", "deit_t")
    cached, refused = map(json.loads, done.stdout.splitlines())
    assert cached["total"] == results[0][WHOLE]["total"]
    assert refused["seconds"] < 30
    assert done.returncode == 2 and "Traceback" not in done.stderr
    message = done.stderr.strip().splitlines()
    assert len(message) == 2, done.stderr
    assert all(word in message[0] for word in ("deit_t", endpoint, "cannot be reached"))
    assert all(way in message[1] for way in ("--checkpoint", "--weights random", "--model photos"))


def test_offline_by_choice_is_said(results: tuple[dict[str, dict[str, Any]], Path], hub: Hub) -> None:
    before = len(hub.asked)
    found = load_all(results[1], hub.url, WHOLE, GONE, HF_HUB_OFFLINE="1")
    assert found[WHOLE]["total"] == results[0][WHOLE]["total"]
    assert "HF_HUB_OFFLINE" in found[GONE]["message"] and "--checkpoint" in found[GONE]["hint"]
    assert len(hub.asked) == before


def test_weights_that_lie_at_a_url_are_fetched_once(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    paths = [fetch_weights("gcvit", PretrainedCfg(url=f"{hub.url}/{BY_URL}")) for _ in range(2)]
    assert paths[0] == paths[1] and paths[0].read_bytes() == hub.files[BY_URL]
    assert [method for method, path, _ in hub.asked if path == f"/{BY_URL}"] == ["HEAD", "GET"]
    with pytest.raises(RequestError, match=r"none\.pth cannot be downloaded: HTTPError: HTTP Error 404"):
        fetch_weights("gcvit", PretrainedCfg(url=f"{hub.url}/none.pth"))
    with pytest.raises(RequestError, match="no pretrained weights"):
        fetch_weights("gcvit", PretrainedCfg())
