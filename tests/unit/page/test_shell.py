"""What the service worker is told to keep: the page itself, by its bytes, and no weights."""

import json
from pathlib import Path
from typing import Any

import pytest
from rendering import contents, make_site

import export.page.assets.service_worker
from export.core.errors import ArtifactError
from export.core.files import hash_file
from export.page.assets.service_worker import find_shell
from export.page.content.inventory import read_bundle
from export.pipeline.store import Store


def read_shell(site: Path) -> dict[str, Any]:
    """Return the list that stands before the script of the service worker."""
    first, _, body = (site / "sw.js").read_text().partition(";\n")
    assert body == "the service worker"
    values: dict[str, Any] = json.loads(first.removeprefix("const SHELL="))
    return values


def test_pages_scripts_and_samples_are_kept_by_their_hashes(built: Path) -> None:
    shell = read_shell(built)
    files = shell["files"]
    assert {"index.html", "results.html", "method.html"} <= set(files)
    assert {"assets/main.AA.js", "assets/worker.BB.js", "assets/main.DD.css", "assets/chunk.EE.js"} <= set(files)
    assert any(path.startswith("samples/") for path in files) and any(path.endswith(".svg") for path in files)
    assert shell["files"] | shell["later"] == {path: hash_file(built / path) for path in [*files, *shell["later"]]}


def test_weights_licences_and_the_lost_page_are_not_kept(built: Path) -> None:
    shell = read_shell(built)
    left_out = set(contents(built)) - {*shell["files"], *shell["later"]}
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


def test_large_runtimes_are_kept_when_used_and_pages_at_once(
    store: Store, bundle: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bundle / "chunk.EE.js").write_bytes(bytes(range(256)) * 2)
    whole = make_site(store, bundle, out)
    monkeypatch.setattr(export.page.assets.service_worker, "LARGEST", 400)
    report = make_site(store, bundle, out)
    files, later = (read_shell(out)[name] for name in ("files", "later"))
    assert "assets/chunk.EE.js" in later and "assets/chunk.EE.js" not in files
    assert (out / "index.html").stat().st_size > 400 and "index.html" in files
    assert (report.kept, report.later) == (len(files), len(later)) == (whole.kept - 1, whole.later + 1)
    assert report.kept_bytes == sum((out / path).stat().st_size for path in files)
    assert report.later_bytes == sum((out / path).stat().st_size for path in later)
    assert report.first_visit_bytes == whole.first_visit_bytes  # it is needed all the same


def test_files_of_other_engines_are_kept_when_used(store: Store, bundle: Path, out: Path) -> None:
    make_site(store, bundle, out)
    scripts = read_bundle(bundle, {"tfjs", "ort"})
    shell = find_shell(out, scripts, "ort")
    assert {file.path for file in shell.later} == {"assets/tfjs.FF.js", "assets/tfjs.wasm"}
    assert {"assets/ort.GG.js", "assets/ort.wasm", "assets/main.AA.js"} <= {file.path for file in shell.kept}
    assert shell.runtimes == ()


def test_bundle_without_a_service_worker_is_refused(store: Store, bundle: Path, out: Path) -> None:
    (bundle / "sw.js").unlink()
    with pytest.raises(ArtifactError, match=r"sw\.js"):
        make_site(store, bundle, out)
    assert not out.exists()
