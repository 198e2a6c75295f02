"""A build session: what it makes anew, what it keeps, and what it refuses to keep."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from export.core.errors import VerificationError
from export.models.choice.request import ModelRequest
from export.pipeline import session as session_module
from export.pipeline.formats import FLOAT, FORMATS
from export.pipeline.runtimes import ENGINES, engine_for
from export.pipeline.session import BuildSession
from export.pipeline.store import Store
from export.quantization.recipes import find_recipe

REQUEST = ModelRequest(model="timm/test_vit.r160_in1k", weights="random")  # timm's smallest ViT
RECIPE = find_recipe("w8_rtn")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    with BuildSession(REQUEST, Store(root)) as session:
        session.obtain("safetensors", RECIPE)
    return root


def obtain(root: Path, monkeypatch: pytest.MonkeyPatch, bound: float) -> float:
    """Obtain the integers again with another bound, where nothing may be made; return the bound on record."""
    bounds = {**FORMATS["safetensors"].bounds_db, "int8": bound}
    monkeypatch.setitem(FORMATS, "safetensors", replace(FORMATS["safetensors"], bounds_db=bounds))
    monkeypatch.setattr(BuildSession, "_make", lambda *arguments: pytest.fail("something was made anew"))
    with BuildSession(REQUEST, Store(root)) as session:
        artifact = session.obtain("safetensors", RECIPE)
    assert artifact.verification is not None
    stored = session.store.read(REQUEST.name, RECIPE.name, "safetensors")
    assert stored == artifact
    return artifact.verification.bound_sqnr_db


def test_another_bound_is_kept_to_without_making_anything_anew(
    artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert obtain(artifacts, monkeypatch, 20.0) == 20.0
    assert obtain(artifacts, monkeypatch, 10.0) == 10.0


def test_a_stored_artifact_beyond_a_tighter_bound_is_refused(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VerificationError, match=rf"{REQUEST.name}: safetensors w8_rtn does not agree"):
        obtain(artifacts, monkeypatch, 199.0)


def test_parents_are_recorded_and_the_first_is_the_one_converted_from(artifacts: Path) -> None:
    artifact = Store(artifacts).read(REQUEST.name, RECIPE.name, "safetensors")
    torch = Store(artifacts).read(REQUEST.name, FLOAT.name, "torch")
    assert artifact is not None and torch is not None and not torch.parents
    (parent,) = artifact.parents
    assert (parent.format, parent.recipe, parent.sha256) == ("torch", "f32", torch.sha256)


def test_changed_code_makes_an_artifact_anew(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Store(artifacts).read(REQUEST.name, RECIPE.name, "safetensors")
    monkeypatch.setattr(session_module, "code_key", lambda *modules: "changed" + "".join(modules))
    with BuildSession(REQUEST, Store(artifacts)) as session:
        after = session.obtain("safetensors", RECIPE)
    assert before is not None and after.key != before.key and after.sha256 == before.sha256


def test_threads_that_ask_for_the_same_artifact_get_the_one_that_was_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with BuildSession(REQUEST, Store(tmp_path)) as session, ThreadPoolExecutor(4) as pool:
        wanted = [pool.submit(session.obtain, "safetensors", RECIPE) for _ in range(4)]
        first, *others = [each.result() for each in wanted]
    assert all(other is first for other in others)
    printed = capsys.readouterr().out
    assert printed.count("  safetensors w8_rtn … ") == printed.count("  load the model … ") == 1


def test_a_suffix_of_a_file_that_is_exported_means_one_format() -> None:
    suffixes = [Path(format.file).suffix for format in FORMATS.values() if format.file]
    assert len(suffixes) == len(set(suffixes)) >= 3


def test_every_parent_and_stage_of_the_table_exists() -> None:
    for format in FORMATS.values():
        assert all(parent.format in FORMATS for parent in format.parents)
        assert hasattr(import_module(format.stage), "make")
        assert not format.runner or hasattr(import_module(format.runner), "run")


def test_a_stored_artifact_of_a_format_that_is_no_longer_made_is_passed_over() -> None:
    assert engine_for("a_format_of_another_version") is None and engine_for("onnx") is None
    assert engine_for("qdq") is ENGINES["ort"]
