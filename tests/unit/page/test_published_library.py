"""What a site has for other people's pages: a manifest of each model, and the library where it can run one."""

import json
import re
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
from rendering import LABELS, LIBRARY, contents, make_site, read_site_data, write_file

from export import __version__
from export.core.errors import ArtifactError
from export.core.files import hash_file
from export.page.content.inventory import read_bundle
from export.pipeline.store import Store


def publish_for_the_library(store: Store) -> None:
    """Store a variant of the library's engine for the first of the two models."""
    parent = store.read("plain", "u8", "tfjs")
    assert parent
    stored = write_file(store, parent, "u8", "vit", "model.vit", b"integers")
    write_file(store, stored, "u8", "selftest_vit", "selftest.json", b'{"max_abs_diff": 0.1, "agrees": [true]}')


@pytest.fixture
def site(store: Store, bundle: Path, out: Path) -> Path:
    publish_for_the_library(store)
    make_site(store, bundle, out)
    return out


def test_a_manifest_names_what_lies_beside_it(site: Path) -> None:
    for model in read_site_data(site)["models"]:
        path = site / unquote(model["manifest"])
        manifest = json.loads(path.read_text())
        assert (manifest["schema_version"], manifest["generator"], manifest["version"]) == (1, "vit-pages", __version__)
        found = manifest["model"]
        assert (found["name"], tuple(found["labels"])) == (model["name"], LABELS)
        assert not {"samples", "manifest"} & set(found)
        assert [variant["id"] for variant in found["variants"]] == [variant["id"] for variant in model["variants"]]
        listed = [(variant["folder"], file) for variant in found["variants"] for file in variant["files"]]
        listed.append((found["selftest"]["folder"], found["selftest"]))
        for folder, file in listed:
            assert hash_file(path.parent / unquote(folder) / file["path"]) == file["sha256"]


def test_the_library_is_laid_over_the_site_and_downloaded_by_no_visitor(site: Path) -> None:
    assert {path: (site / path).read_text() for path in LIBRARY} == {path: path for path in LIBRARY}
    assert read_site_data(site)["assets"]["library"] == {"element": "lib/vit-classifier.js", "engine": "vit"}
    kept = json.loads((site / "sw.js").read_text().partition(";\n")[0].removeprefix("const SHELL="))
    assert not set(LIBRARY) & {*kept["files"], *kept["later"]}


def snippets(site: Path) -> list[str]:
    html = (site / "index.html").read_text()
    return [unescape(text) for text in re.findall(r"<code data-snippet>(.*?)</code>", html, re.DOTALL)]


def test_the_page_offers_lines_for_each_model_that_runs_elsewhere(site: Path) -> None:
    element, iframe = snippets(site)
    assert element == (
        '<script type="module" src="lib/vit-classifier.js"></script>\n'
        '<vit-classifier src="models/plain/manifest.json"></vit-classifier>'
    )
    assert iframe.startswith('<iframe src="index.html?embed#model=plain" title="Plain" allow="camera"')
    assert "None of this model’s variants runs in other pages" in (site / "index.html").read_text()


def test_without_a_variant_that_it_runs_there_is_no_library(built: Path) -> None:
    assert not [path for path in contents(built) if path in LIBRARY or path.startswith("lib/")]
    assert read_site_data(built)["assets"]["library"] is None
    assert snippets(built) == [] and "Use it in your page" not in (built / "index.html").read_text()


def test_a_bundle_without_a_file_of_the_library_is_refused(bundle: Path) -> None:
    assert [file.path for file in read_bundle(bundle, {"vit"}).library] == LIBRARY
    assert read_bundle(bundle, {"tfjs"}).library == ()
    (bundle / "library" / LIBRARY[0]).unlink()
    with pytest.raises(ArtifactError, match=r"bundle\.json cannot be used"):
        read_bundle(bundle, {"vit"})
