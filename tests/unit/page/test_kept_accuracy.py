"""Accuracies kept beside an embedded model's weights, for pages that are built where its pictures are not."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from export.core.errors import RequestError
from export.core.records import Environment, Measurement, ModelSpec
from export.page.content import kept_accuracy
from export.page.content.inventory import gather_model
from export.page.content.kept_accuracy import keep_accuracy, read_kept
from export.page.results_view import lay_out
from export.pipeline.store import Store
from tests.rendering import make_spec, store_model

ENVIRONMENT = Environment(
    browser="Chromium 1",
    user_agent="agent",
    os="an OS",
    cpu="a CPU",
    logical_cores=2,
    machine="x86_64",
    gpu="none",
    isolated=False,
)


def figure(variant: str, value: float, metric: str = "top1", sha256: str = "cd" * 32) -> Measurement:
    engine = "pytorch" if variant == "f32-torch" else "tfjs"
    return Measurement(
        metric=metric,
        value=value,
        unit="share",
        n=10_000,
        p10=value - 0.01,
        p90=value + 0.01,
        model="net",
        variant=variant,
        engine=engine,
        backend="wasm" if engine == "tfjs" else "cpu",
        threads=1,
        artifact_sha256=sha256,
    )


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(kept_accuracy, "ASSETS", tmp_path / "assets")
    (tmp_path / "assets").mkdir()
    return tmp_path / "assets"


def test_kept_accuracies_stand_in_for_those_of_another_build_and_say_where_they_come_from(
    assets: Path, tmp_path: Path
) -> None:
    store, spec = Store(tmp_path / "artifacts"), make_spec("net")
    store_model(store, spec)
    model = gather_model(store, "net", ["u8", "f32"])
    assert lay_out(model, []).kept is None and lay_out(model, []).reference is None
    measured = [figure("u8-tfjs", 0.7), figure("f32-torch", 0.72), figure("u8-tfjs", 20.0, "latency_ms")]
    name = keep_accuracy(spec, "pictures", "python -m export.measure --data pictures", ENVIRONMENT, measured)
    assert len(json.loads((assets / name).read_text())["measurements"]) == 2, "only accuracies are kept"
    results = lay_out(model, [])
    assert results.kept is not None and results.kept.data == "pictures"
    assert results.reference is not None and results.reference.value == 0.72
    assert {row.variant.id: row.top1 and row.top1.value for row in results.rows} == {"u8-tfjs": 0.7, "f32-tfjs": None}


def test_figures_of_this_build_come_first(assets: Path, tmp_path: Path) -> None:
    store, spec = Store(tmp_path / "artifacts"), make_spec("net")
    store_model(store, spec)
    model = gather_model(store, "net", ["u8"])
    keep_accuracy(spec, "pictures", "command", ENVIRONMENT, [figure("u8-tfjs", 0.7)])
    results = lay_out(model, [figure("u8-tfjs", 0.6, sha256=model.variants[0].artifact.sha256)])
    assert results.kept is None
    assert [row.top1.value for row in results.rows if row.top1] == [0.6]


@pytest.mark.parametrize("other", [{"weights_sha256": "ef" * 32}, {"weights": "checkpoint"}])
def test_other_weights_have_no_kept_accuracies(assets: Path, other: dict[str, str]) -> None:
    spec = make_spec("net")
    keep_accuracy(spec, "pictures", "command", ENVIRONMENT, [figure("u8-tfjs", 0.7)])
    changed: ModelSpec = replace(spec, **other)
    assert read_kept(spec) is not None and read_kept(changed) is None


def test_nothing_to_keep_is_said(assets: Path) -> None:
    with pytest.raises(RequestError, match="its accuracy was not measured"):
        keep_accuracy(make_spec("net"), "pictures", "command", ENVIRONMENT, [figure("u8-tfjs", 20.0, "latency_ms")])
    assert not list(assets.iterdir())
