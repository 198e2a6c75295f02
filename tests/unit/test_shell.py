"""What the service worker is told to keep: the page itself, by its bytes, and no weights."""

import json
from pathlib import Path
from typing import Any

import pytest
from rendering import contents, make_site

import export.shell
from export.errors import ArtifactError
from export.store import Store, hash_file


def read_shell(site: Path) -> dict[str, Any]:
    """Return the list that stands before the script of the service worker."""
    first, _, body = (site / "sw.js").read_text().partition(";\n")
    assert body == "the service worker"
    values: dict[str, Any] = json.loads(first.removeprefix("const SHELL="))
    return values


def test_pages_scripts_and_samples_are_kept_by_their_hashes(built: Path) -> None:
    files = read_shell(built)["files"]
    assert {"index.html", "results.html", "method.html"} <= set(files)
    assert {"assets/main.AA.js", "assets/worker.BB.js", "assets/main.DD.css", "assets/chunk.EE.js"} <= set(files)
    assert any(path.startswith("samples/") for path in files) and any(path.endswith(".svg") for path in files)
    assert files == {path: hash_file(built / path) for path in files}


def test_weights_licences_and_the_lost_page_are_not_kept(built: Path) -> None:
    left_out = set(contents(built)) - set(read_shell(built)["files"])
    assert {"404.html", "assets/LICENCES.txt", "sw.js", "vit-pages.json", ".nojekyll"} <= left_out
    assert {path for path in contents(built) if path.startswith("models/")} <= left_out


def test_any_change_of_a_kept_file_is_a_new_version(store: Store, bundle: Path, out: Path) -> None:
    make_site(store, bundle, out)
    before = read_shell(out)
    make_site(store, bundle, out)
    assert read_shell(out) == before
    (bundle / "chunk.EE.js").write_text("other bytes under the same name")
    make_site(store, bundle, out)
    assert read_shell(out)["digest"] != before["digest"]


def test_large_runtimes_are_left_out_and_named_but_pages_never(
    store: Store, bundle: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make_site(store, bundle, out)
    monkeypatch.setattr(export.shell, "LARGEST", 400)
    (bundle / "chunk.EE.js").write_bytes(bytes(range(256)) * 2)
    report = make_site(store, bundle, out)
    files = read_shell(out)["files"]
    assert "assets/chunk.EE.js" in report.not_kept and "assets/chunk.EE.js" not in files
    assert (out / "index.html").stat().st_size > 400 and "index.html" in files
    assert report.kept == len(files) and report.kept_bytes == sum((out / path).stat().st_size for path in files)
    assert whole.not_kept == () and report.cold_visit_bytes > whole.cold_visit_bytes  # it is still downloaded when used
    assert any("assets/chunk.EE.js" in line for line in report.lines())


def test_bundle_without_a_service_worker_is_refused(store: Store, bundle: Path, out: Path) -> None:
    (bundle / "sw.js").unlink()
    with pytest.raises(ArtifactError, match=r"sw\.js"):
        make_site(store, bundle, out)
    assert not out.exists()
