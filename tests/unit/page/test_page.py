"""Rendering: what goes into the site, what is refused, and that nothing is lost."""

import json
import re
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace
from rendering import (
    ENGINES,
    PAGES,
    Tags,
    ancestors,
    contents,
    make_site,
    make_spec,
    read_site_data,
    store_model,
    write_file,
)

import export.page.render
from export.core.errors import ArtifactError, ExportError, RequestError
from export.core.files import hash_bytes
from export.page.content.inventory import read_bundle
from export.page.render import MARKER, render
from export.pipeline.store import Store


def test_site_holds_what_its_pages_refer_to_and_nothing_else(built: Path) -> None:
    present = set(contents(built))
    variants = [variant for model in read_site_data(built)["models"] for variant in model["variants"]]
    weights = {variant["folder"] + file["path"] for variant in variants for file in variant["files"]}
    weights |= {model["selftest"]["folder"] + model["selftest"]["path"] for model in read_site_data(built)["models"]}
    assert {variant["id"] for variant in variants} == {"u8-tfjs", "f32-tfjs"}
    referred = set()
    for name in PAGES:
        for _, attributes in Tags((built / name).read_text()).found:
            for key in ("href", "src", "data-sample"):
                address = attributes.get(key) or "#"
                if not re.match(r"https://|data:|#", address):
                    referred.add(address.partition("#")[0])
    assert not [address for address in referred if address.startswith("/")]
    assert referred <= present
    assert weights <= present
    manifests = {model["manifest"] for model in read_site_data(built)["models"]}
    assert {path for path in present if path.startswith("models/")} == weights | manifests
    assert "assets/left-over.js" not in present and "assets/chunk.EE.js" in present
    assert {".nojekyll", MARKER, *PAGES} <= present


def test_same_inputs_same_bytes(store: Store, bundle: Path, tmp_path: Path) -> None:
    make_site(store, bundle, tmp_path / "one")
    make_site(store, bundle, tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_rendering_again_replaces_the_site(store: Store, bundle: Path, out: Path) -> None:
    make_site(store, bundle, out)
    make_site(store, bundle, out, models=("plain",))
    assert [model["name"] for model in read_site_data(out)["models"]] == ["plain"]
    assert not [path for path in contents(out) if "noise" in path]
    assert [path.name for path in out.parent.iterdir() if path.name.startswith("._site")] == []


def test_marker_lists_every_file_with_its_hash(built: Path, built_store: Store) -> None:
    marker = json.loads((built / MARKER).read_text())
    assert {file["path"] for file in marker["files"]} == set(contents(built)) - {MARKER}
    sha256 = {file["path"]: file["sha256"] for file in marker["files"]}
    for variant in marker["models"][0]["variants"]:
        stored = built_store.read("plain", variant["id"].split("-")[0], "tfjs")
        assert stored and {sha256[variant["folder"] + file.path] for file in stored.files} == {
            file.sha256 for file in stored.files
        }


def test_reference_images_travel_with_the_model(built: Path, built_store: Store) -> None:
    for model in read_site_data(built)["models"]:
        record = model["selftest"]
        blob = (built / record["folder"] / record["path"]).read_bytes()
        assert blob == f"images of {model['name']}".encode()
        assert (len(blob), hash_bytes(blob)) == (record["bytes"], record["sha256"])
        assert record["sha256"][:10] in record["path"]
        assert [one["selftest"] for one in model["variants"]] == [{"max_abs_diff": 0.125, "agrees": [True, False]}] * 2


@pytest.mark.parametrize(("recipe", "format"), [("f32", "selftest"), ("u8", "selftest_tfjs")])
def test_page_that_could_not_test_its_back_ends_is_refused(
    store: Store, bundle: Path, out: Path, recipe: str, format: str
) -> None:
    folder = store.folder("plain", recipe, format)
    manifest = json.loads((folder / "artifact.json").read_text())
    (folder / "artifact.json").write_text(json.dumps({**manifest, "parents": [], "digest": ""}))
    with pytest.raises(ArtifactError, match="could not test its backends") as stale:
        make_site(store, bundle, out)
    assert "python -m export.build --model plain --recipe" in stale.value.hint
    shutil.rmtree(folder)
    with pytest.raises(ArtifactError, match="could not test its backends"):
        make_site(store, bundle, out)
    assert not out.exists()


def test_foreign_folder_is_refused_and_left_alone(store: Store, bundle: Path, out: Path) -> None:
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(RequestError, match="not made by this command"):
        make_site(store, bundle, out)
    assert contents(out) == {"thesis.txt": b"years of work"}


def test_foreign_file_in_a_site_is_refused(store: Store, bundle: Path, out: Path) -> None:
    make_site(store, bundle, out)
    (out / "CNAME").write_text("example.org")
    before = contents(out)
    with pytest.raises(RequestError, match="CNAME"):
        make_site(store, bundle, out)
    assert contents(out) == before


def test_file_in_the_sites_place_is_refused(store: Store, bundle: Path, out: Path) -> None:
    out.write_text("a file")
    with pytest.raises(RequestError, match="is a file"):
        make_site(store, bundle, out)


def test_empty_folder_is_taken(store: Store, bundle: Path, out: Path) -> None:
    out.mkdir()
    make_site(store, bundle, out)
    assert (out / "index.html").is_file()


def test_altered_artifact_is_refused_and_the_old_site_stays(store: Store, bundle: Path, out: Path) -> None:
    make_site(store, bundle, out)
    before = contents(out)
    (store.folder("plain", "u8", "tfjs") / "weights.bin").write_bytes(b"rotten")
    with pytest.raises(ArtifactError, match=r"weights\.bin does not match its manifest"):
        make_site(store, bundle, out)
    assert contents(out) == before


def test_variant_of_another_version_of_the_model_is_refused(store: Store, bundle: Path, out: Path) -> None:
    store_model(store, make_spec("plain", "random"), recipes=("f32",))  # the older u8 stays behind
    with pytest.raises(ArtifactError, match=r"u8/tfjs was made from another version of plain"):
        make_site(store, bundle, out)


def test_every_parent_of_a_variant_is_shown_and_must_be_as_it_was(store: Store, bundle: Path, out: Path) -> None:
    torch, tf, variant = (store.read("plain", *place) for place in (("f32", "torch"), ("f32", "tf"), ("u8", "tfjs")))
    assert torch is not None and tf is not None and variant is not None
    second = write_file(store, torch, "f32", "tf_tfjs_gpu", "saved_model.pb", b"for GPUs")
    store.replace_manifest(replace(variant, parents=ancestors(tf, second)))
    make_site(store, bundle, out)
    assert "on GPUs" not in (out / "method.html").read_text(), "an artifact without a graph of its own is left out"
    store.replace_manifest(replace(second, verification=tf.verification))
    make_site(store, bundle, out)
    assert "TensorFlow SavedModel, rewritten for TensorFlow.js on GPUs" in (out / "method.html").read_text()
    write_file(store, torch, "f32", "tf_tfjs_gpu", "saved_model.pb", b"of another build")
    with pytest.raises(ArtifactError, match=r"u8/tfjs was made from another version of plain"):
        make_site(store, bundle, out)


def test_recipe_that_was_never_built_is_named(store: Store, bundle: Path, out: Path) -> None:
    with pytest.raises(ArtifactError, match="recipe f16") as caught:
        render(artifacts=store.root, models=["plain"], recipes=["f16"], bundle=bundle, measurements=None, out=out)
    assert "--recipe f16" in caught.value.hint and not out.exists()


def test_model_that_was_never_built_is_named(store: Store, bundle: Path, out: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no model in .*absent"):
        make_site(store, bundle, out, models=("absent",))


def test_incomplete_bundle_is_refused(store: Store, bundle: Path, out: Path) -> None:
    (bundle / "worker.BB.js").unlink()
    with pytest.raises(ArtifactError, match=r"worker\.BB\.js"):
        make_site(store, bundle, out)


def test_site_beyond_the_limit_is_refused(
    store: Store, bundle: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export.page.render, "SITE_LIMIT", 1000)
    with pytest.raises(ExportError, match="publishes at most") as caught:
        make_site(store, bundle, out)
    assert "fewer models" in caught.value.hint and not out.exists()


def test_report_adds_up(store: Store, bundle: Path, out: Path) -> None:
    report = make_site(store, bundle, out)
    sizes = {path: len(data) for path, data in contents(out).items()}
    assert (report.files, report.variants) == (len(sizes), 4)
    assert report.bytes == sum(sizes.values()) - sizes[MARKER]
    assert report.largest_bytes == max(size for path, size in sizes.items() if path != MARKER)
    assert report.visits_per_month == 100_000_000_000 // report.first_visit_bytes
    assert any("not measured" in note for note in report.notes) and len(report.lines()) == 4


def test_only_the_engines_that_run_something_are_in_the_site(store: Store, bundle: Path, out: Path) -> None:
    make_site(store, bundle, out)
    assets = {path.removeprefix("assets/") for path in contents(out) if path.startswith("assets/")}
    assert set(ENGINES["tfjs"]) <= assets and not set(ENGINES["ort"]) & assets


def test_an_engine_s_files_come_with_its_variants(store: Store, bundle: Path, out: Path) -> None:
    before = make_site(store, bundle, out, models=("plain",))
    parent = store.read("plain", "f32", "tf")
    assert parent
    qdq = write_file(store, parent, "f32", "qdq", "model.onnx", b"onnx" * 99)
    write_file(store, qdq, "f32", "selftest_qdq", "selftest.json", b'{"max_abs_diff": 0.1, "agrees": [true]}')
    (bundle / "ort.wasm").write_bytes(bytes(range(256)) * 40)
    after = make_site(store, bundle, out, models=("plain",))
    assets = {path.removeprefix("assets/") for path in contents(out) if path.startswith("assets/")}
    assert {*ENGINES["tfjs"], *ENGINES["ort"]} <= assets
    engines = {one["id"]: one["engine"] for one in read_site_data(out)["models"][0]["variants"]}
    assert engines == {"u8-tfjs": "tfjs", "f32-qdq": "ort", "f32-tfjs": "tfjs"}
    # The pages name one more variant; the other engine's files are no part of a first visit.
    assert 0 < after.first_visit_bytes - before.first_visit_bytes < 1000


def test_a_file_of_two_engines_comes_with_either(bundle: Path) -> None:
    manifest = bundle / "bundle.json"
    listed = json.loads(manifest.read_text())
    listed["engines"]["ort_too"] = ["ort.wasm"]
    manifest.write_text(json.dumps(listed))
    for engine, alone in (("ort", "ort.GG.js"), ("ort_too", None)):
        found = read_bundle(bundle, {engine})
        own = {file.path for file in found.files if file.path.startswith("ort")}
        assert own == {"ort.wasm", alone} - {None}
        assert {*found.files_for(engine)} == {*found.files}
    both = read_bundle(bundle, {"ort", "ort_too"})
    assert {file.path for file in both.files} - {file.path for file in both.files_for("ort_too")} == {"ort.GG.js"}
    assert {*both.files_for("ort")} == {*both.files}


def test_bundle_without_an_engine_s_file_is_refused(store: Store, bundle: Path, out: Path) -> None:
    (bundle / "tfjs.wasm").unlink()
    with pytest.raises(ArtifactError, match=r"bundle\.json cannot be used"):
        make_site(store, bundle, out)
