"""Repositories of the hub, for real: a local stand-in serves folders that libraries saved, some to a token alone."""

import hashlib
import json
import os
import re
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
from safetensors.torch import save_file

from tests.library_models import LABELS, VIT, make, save

pytestmark = pytest.mark.slow  # the hub's address counts where its library is imported: in processes of their own

ROOT = Path(__file__).parents[3]
COMMIT, OLDER = "0123456789abcdef0123456789abcdef01234567", "89abcdef0123456789abcdef0123456789abcdef"
TOKEN, EXPIRED = "hf_mySecretToken", "hf_expiredToken"
PRIVATE, GATED, PARTS, TIMM, PLAIN = "me/private", "lab/gated", "me/parts", "me/timm-vit", "me/vit"
NO_CONFIG, NO_WEIGHTS, ONLY_TF, PART_MISSING, FAILING = (
    "me/no-config",
    "me/no-weights",
    "me/tf",
    "me/part-missing",
    "me/failing",
)

# Loads each model and prints what came of it, one JSON line each; NAME=VALUE sets a variable for those that follow.
PROGRAM = """
import json, os, sys
from export.core.errors import RequestError
from export.models.load import load
from export.models.choice.request import ModelRequest, describe

for name in sys.argv[1:]:
    if "=" in name:
        os.environ.update([name.split("=", 1)])
        continue
    said = []
    try:
        request = ModelRequest(model=f"hf_hub:{name}")
        key = describe(request)
        spec, module = load(request, said.append)
        total = sum(value.double().abs().sum().item() for value in module.state_dict().values())
        print(json.dumps({"spec": spec.to_json(), "total": total, "key": key, "said": said}), flush=True)
    except RequestError as error:
        print(json.dumps({"message": error.message, "hint": error.hint, "code": error.exit_code}), flush=True)
"""


@dataclass
class Hub:
    """What the stand-in serves by `user/repo`, and what it was asked."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    url: str = ""


def make_handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
            self.send_response(status)
            for name, value in {"X-Repo-Commit": COMMIT, "Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def respond(self) -> None:
            hub.asked.append((self.command, self.path))
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            found = re.fullmatch(r"/([\w.-]+/[\w.-]+)/resolve/([\w.-]+)/(.+)", self.path)
            repository, revision, file = found.groups() if found else ("", "", "")
            files = hub.repositories.get(repository)
            if token and token != TOKEN:
                self.answer(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
            elif files is None or (repository == PRIVATE and not token):
                self.answer(401, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
            elif repository == GATED and not token:
                self.answer(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to {repository} is gated"})
            elif revision not in ("main", COMMIT, OLDER):
                self.answer(404, {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "Invalid rev id"})
            elif repository == FAILING and file == "preprocessor_config.json":
                self.answer(400, {})  # what is not tried again
            elif file not in files:
                self.answer(404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
            else:
                headers = {"ETag": f'"{hashlib.sha256(files[file]).hexdigest()}"', "Accept-Ranges": "bytes"}
                if self.command == "HEAD":
                    headers["Content-Length"] = str(len(files[file]))
                self.answer(200, headers, files[file])

        def do_HEAD(self) -> None:
            self.respond()

        def do_GET(self) -> None:
            self.respond()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: pytest's output is for results."""

    return Handler


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    root = tmp_path_factory.mktemp("hub")
    model = make("ViTForImageClassification", **VIT)
    whole, parts = contents(save(model, root / "vit")), contents(save(model, root / "parts", max_shard_size="20KB"))
    card = b"---\nlicense: apache-2.0\n---\n# A model\n"
    weights = {"model.safetensors": whole["model.safetensors"]}
    module = timm.create_model("test_vit", pretrained=False, num_classes=2)
    save_file(module.state_dict(), root / "timm.safetensors")
    config = {"architecture": "test_vit", "num_classes": 2, "label_names": ["fox", "hare"]}
    hub = Hub()
    hub.repositories = {
        PLAIN: {**whole, "README.md": card},
        PRIVATE: whole,
        GATED: whole,
        PARTS: parts,
        TIMM: {
            "config.json": json.dumps({**config, "pretrained_cfg": {"license": "mit", "crop_pct": 0.7}}).encode(),
            "model.safetensors": (root / "timm.safetensors").read_bytes(),
        },
        NO_CONFIG: weights,
        NO_WEIGHTS: {"config.json": whole["config.json"]},
        ONLY_TF: {"config.json": whole["config.json"], "tf_model.h5": b"weights"},
        PART_MISSING: {name: data for name, data in parts.items() if "00002-of" not in name},
        FAILING: whole,
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(hub))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


def load_all(cache: Path, hub: Hub, *names: str, **variables: str) -> tuple[dict[str, Any], str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"HF_HOME": str(cache), "HF_ENDPOINT": hub.url, "OMP_NUM_THREADS": "1", **variables}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *names], capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    asked = [name for name in names if "=" not in name]
    return dict(zip(asked, map(json.loads, done.stdout.splitlines()), strict=True)), done.stdout + done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def results(hub: Hub, cache: Path) -> tuple[dict[str, Any], str]:
    public = (PLAIN, PARTS, TIMM, f"{PLAIN}@{OLDER}", f"{PLAIN}@nowhere", "me/nothing", NO_CONFIG, NO_WEIGHTS, ONLY_TF)
    refused = (PART_MISSING, FAILING, PRIVATE, GATED, f"HF_TOKEN={EXPIRED}", "me/expired", f"HF_TOKEN={TOKEN}")
    hub.repositories["me/expired"] = hub.repositories[PLAIN]
    hub.repositories["me/private-too"] = hub.repositories[PLAIN]
    return load_all(cache, hub, *public, *refused, "me/private-too", "me/nothing-either")


def test_repositories_of_both_libraries_are_loaded(results: tuple[dict[str, Any], str], hub: Hub) -> None:
    plain, parts, own = (results[0][name] for name in (PLAIN, PARTS, TIMM))
    assert plain["total"] == parts["total"]
    spec = plain["spec"]
    assert (spec["name"], spec["title"], spec["weights"]) == ("me-vit", PLAIN, "pretrained")
    assert (spec["labels"], spec["licence"]) == (LABELS, "apache-2.0")
    assert spec["source"] == f"https://huggingface.co/{PLAIN}"
    assert spec["preprocess"]["mean"] == [0.5, 0.4, 0.6]
    assert own["spec"]["labels"] == ["fox", "hare"] and own["spec"]["licence"] == "mit"
    assert own["spec"]["preprocess"]["crop_pct"] == 0.7
    assert results[0][f"{PLAIN}@{OLDER}"]["spec"]["name"] == "me-vit"


def test_the_files_of_a_repository_decide_the_artifact(results: tuple[dict[str, Any], str], hub: Hub) -> None:
    key = results[0][PLAIN]["key"]["folder"]
    assert key["model.safetensors"] == hashlib.sha256(hub.repositories[PLAIN]["model.safetensors"]).hexdigest()
    assert set(key) == {"config.json", "README.md", "preprocessor_config.json", "model.safetensors"}


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        (f"{PLAIN}@nowhere", "has no revision 'nowhere'", "a branch, a tag or a commit"),
        ("me/nothing", "has no such repository, or it is private", "set HF_TOKEN"),
        (NO_CONFIG, "has no config.json", "--checkpoint FILE"),
        (NO_WEIGHTS, "no weights that can be read", "model.safetensors"),
        (ONLY_TF, "only tf_model.h5", "model.safetensors"),
        (PART_MISSING, "model-00002-of-", "tell its owner"),
        (FAILING, "cannot be reached: ", "--checkpoint FOLDER"),
        (PRIVATE, "or it is private", "create one at https://huggingface.co/settings/tokens, and set HF_TOKEN"),
        (GATED, "is gated", f"{GATED}; then create one"),
        ("me/expired", "refuses the token in HF_TOKEN (HTTP 401)", "it may have expired"),
        ("me/nothing-either", "or the token may not read it", "the token in HF_TOKEN needs the right"),
    ],
)
def test_what_a_repository_lacks_or_the_hub_refuses_is_said(
    results: tuple[dict[str, Any], str], name: str, message: str, hint: str
) -> None:
    found = results[0][name]
    assert message in found["message"] and hint in found["hint"], found
    assert found["code"] == 2 and name.partition("@")[0] in found["message"]


def test_a_token_opens_private_repositories_and_is_shown_nowhere(
    results: tuple[dict[str, Any], str], hub: Hub, cache: Path
) -> None:
    assert results[0]["me/private-too"]["total"] == results[0][PLAIN]["total"]
    assert TOKEN not in results[1] and EXPIRED not in results[1]
    assert not any(TOKEN.encode() in path.read_bytes() for path in cache.rglob("*") if path.is_file())


def test_without_the_hub_the_cache_serves(results: tuple[dict[str, Any], str], hub: Hub, cache: Path) -> None:
    before = len(hub.asked)
    found, _ = load_all(cache, hub, PLAIN, PARTS, "me/never", HF_HUB_OFFLINE="1")
    assert found[PLAIN]["total"] == found[PARTS]["total"] == results[0][PLAIN]["total"]
    assert "HF_HUB_OFFLINE is set" in found["me/never"]["message"] and "local folder" in found["me/never"]["hint"]
    assert len(hub.asked) == before
