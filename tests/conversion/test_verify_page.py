"""A published page verified: what is as it should be passes, and whatever was changed is found and named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from published import forge
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from export.core.errors import ArtifactError, ExportError, RequestError
from export.core.files import hash_bytes
from export.measuring.browser.server import serving
from export.models.choice.request import ModelRequest
from export.page.content.manifest import MARKER
from export.publishing.verification.findings import Finding
from export.publishing.verification.verify import verify_page
from export.verify import main

pytestmark = pytest.mark.conversion


@pytest.fixture(scope="module")
def page(build_page: Callable[..., Path]) -> Path:
    """A page of our own engine and of TensorFlow.js, to be left as it is."""
    return build_page("w8a8_gptq,u8")


@pytest.fixture(scope="module")
def small_page(build_page: Callable[..., Path], tiny_model: ModelRequest) -> Path:
    """A page of a tiny model and our own engine alone, which is verified within a second."""
    return build_page("w8a8_gptq", model=tiny_model)


@pytest.fixture
def copied(small_page: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_page, tmp_path / "page"))


def differing(place: Path | str, local: ModelRequest | None = None) -> list[Finding]:
    return [finding for finding in verify_page(str(place), local).findings.all if finding.ok is False]


def find(folder: Path, pattern: str) -> Path:
    (path,) = folder.glob(pattern)
    return path


def test_a_page_passes_by_folder_and_by_address_and_each_file_is_told(
    page: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(page, base_path="/a/page/") as url:
        main([f"{url}index.html", "--model", "fashion"])
    said = capsys.readouterr().out
    listed = json.loads((page / MARKER).read_text())["files"]
    assert all(f"ok     {file['path']}\n" in said for file in listed if not file["path"].startswith("."))
    for words in (
        "fashion w8a8_gptq-vit: weights: 137 tensors",
        "fashion u8-tfjs: weights: model.json: ",
        "same top-1 on 8 of 8 reference images",
        "the local model: logits of the reference images",
        "fashion u8-tfjs: against the local model: SQNR",
        "fashion w8a8_gptq-vit: as the engine is defined: bit for bit",
    ):
        assert words in said, words
    assert "are as they should be" in said and not differing(page)


def test_another_model_is_noticed(page: Path) -> None:
    found = {finding.subject for finding in differing(page, ModelRequest(model="fashion", weights="random"))}
    assert "fashion: the local model: logits of the reference images" in found
    assert "fashion w8a8_gptq-vit: against the local model" in found
    with pytest.raises(RequestError, match="no model called other"):
        verify_page(str(page), ModelRequest(model="fashion", called="other"))


def test_files_that_are_missing_longer_or_changed_are_named(copied: Path) -> None:
    weights = find(copied, "models/*/w8a8_gptq-vit-*/model.vit")
    body = bytearray(weights.read_bytes())
    body[len(body) // 2] ^= 1
    weights.write_bytes(body)
    (copied / "results.html").unlink()
    (copied / "sw.js").write_text("fetch('https://example.org/')")
    found = {finding.subject: finding.text for finding in differing(copied)}
    assert found.keys() == {weights.relative_to(copied).as_posix(), "results.html", "sw.js"}
    assert (
        "SHA-256 begins" in found[weights.relative_to(copied).as_posix()] and found["results.html"] == "it is missing"
    )
    with pytest.raises(ExportError, match="3 differ") as failed:
        main([str(copied)])
    assert failed.value.exit_code == 1


@pytest.mark.parametrize(
    ("tensor", "value", "part", "words"),
    [
        ("head.scale", np.nan, "weights", "head.scale has values that are not finite"),
        ("head.scale", 0, "weights", "head.scale is zero throughout"),
        ("head.weight", 128, "self-test", "allowed"),  # the code of 0: it decodes, and computes something else
    ],
)
def test_changes_that_no_hash_tells_are_found(
    copied: Path, tiny_model: ModelRequest, tensor: str, value: float, part: str, words: str
) -> None:
    weights = find(copied, "models/*/*-vit-*/model.vit")
    with safe_open(weights, "numpy") as opened:
        metadata = opened.metadata()
    tensors = load_file(weights)
    tensors[tensor][:] = value
    save_file(tensors, weights, metadata)
    raw = weights.read_bytes()
    metadata["sha256"] = hash_bytes(raw[8 + int.from_bytes(raw[:8], "little") :])
    save_file(tensors, weights, metadata)
    forge(copied, weights)
    (finding,) = differing(copied)
    assert finding.subject == f"{tiny_model.name} w8a8_gptq-vit: {part}" and words in finding.text


def test_a_page_whose_records_contradict_each_other_is_found(copied: Path) -> None:
    html = (copied / "index.html").read_text()
    manifest = json.loads((copied / MARKER).read_text())
    (copied / "index.html").write_text(html.replace(manifest["models"][0]["variants"][0]["sha256"], "0" * 64))
    forge(copied, copied / "index.html")
    assert "index.html: its models" in {finding.subject for finding in differing(copied)}


@pytest.mark.parametrize("data", ["{", "[]", '{"models": null}', '{"models": [{"name": []}]}', 9999 * "["])
def test_a_page_whose_data_are_none_is_found(copied: Path, data: str) -> None:
    (copied / "index.html").write_text(f'<script type="application/json" id="site-data">{data}</script>')
    forge(copied, copied / "index.html")
    assert "index.html: its models" in {finding.subject for finding in differing(copied)}


@pytest.mark.parametrize(("path", "size"), [("a" * 5000, 1), ("index.html", 10**18), ("\x1b[31mred", 1)])
def test_what_no_file_can_be_differs_and_tells_the_terminal_nothing(copied: Path, path: str, size: int) -> None:
    manifest = json.loads((copied / MARKER).read_text())
    manifest["files"].append({"path": path, "bytes": size, "sha256": "0" * 64})
    (copied / MARKER).write_text(json.dumps(manifest))
    lines = [finding.line() for finding in differing(copied)]
    assert lines and "\x1b" not in "".join(lines)


def test_files_that_the_manifest_does_not_list_are_told_not_trusted(copied: Path) -> None:
    (copied / "thesis.txt").write_text("")
    (copied / "CNAME").write_text("example.org\n")
    verified = verify_page(str(copied))
    assert verified.passed
    (told,) = (finding for finding in verified.findings.all if finding.ok is None)
    assert told.text == f"thesis.txt are not in {MARKER}"


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "C:/x", "a\\b", ""])
def test_a_manifest_that_leads_out_of_the_page_is_refused(copied: Path, path: str) -> None:
    manifest = json.loads((copied / MARKER).read_text())
    manifest["files"].append({"path": path, "bytes": 1, "sha256": "0" * 64})
    (copied / MARKER).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="not within the page"):
        verify_page(str(copied))


def test_what_is_no_page_is_refused_with_a_way_on(tmp_path: Path) -> None:
    url_of_nobody = "http://127.0.0.1:9"
    with pytest.raises(RequestError, match="neither a folder nor an address"):
        main([str(tmp_path / "none")])
    with pytest.raises(ArtifactError, match=f"has no {MARKER}"):
        main([str(tmp_path)])
    (tmp_path / MARKER).write_text('{"generator": "vit-pages", "schema_version": 1, "version": "0.0.1"}')
    with pytest.raises(ArtifactError, match=r"written by ViT Pages 0\.0\.1"):
        main([str(tmp_path / MARKER)])
    (tmp_path / "index.html").write_text("a page of somebody's")
    (tmp_path / MARKER).unlink()
    with serving(tmp_path) as url, pytest.raises(ArtifactError, match=f"has no {MARKER}"):
        main([url])
    with pytest.raises(ExportError, match="cannot be downloaded"):
        main([url])
    for url in ("http://[x/", "http://.../", f"https://{'a' * 300}.org/"):
        with pytest.raises(RequestError, match="is no address"):
            main([url])
    with pytest.raises(ExportError, match=r"gr%C3%B6sse/.* cannot be downloaded"):
        main([f"{url_of_nobody}/grösse"])
    with pytest.raises(RequestError, match="--labels without a model"):
        main([str(tmp_path), "--labels", "labels.txt"])
    (tmp_path / MARKER).write_text("<!doctype html><title>not found</title>")  # what some hosts answer with
    with pytest.raises(ArtifactError, match=f"has no {MARKER}"):
        main([str(tmp_path)])
    (tmp_path / MARKER).write_text('{"generator"')
    with pytest.raises(ArtifactError, match=f"{MARKER} of .* it is not JSON") as unread:
        main([str(tmp_path)])
    assert unread.value.hint
    with pytest.raises(RequestError, match="user name or password") as refused:
        main(["https://me:secret@example.org/"])
    assert "secret" not in str(refused.value)
