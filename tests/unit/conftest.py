"""What the unit tests share: tiny models; for rendering, two stored models, a bundle, a site, and measurements."""

import json
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from rendering import make_bundle, make_site, make_store
from tiny_catalog import VIT, Kind

from export.core.records import Artifact, Environment, Measurement, MeasurementFile
from export.models.catalog import MODELS, CatalogEntry
from export.pipeline.store import Store


@pytest.fixture
def tiny_models(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put tiny architectures under names of the catalog: `tiny_models("swin_t", SWIN)`."""

    def replace(name: str, kind: Kind = VIT, classes: int | None = 3) -> None:
        timm_name, arguments = kind
        counted = arguments if classes is None else {**arguments, "num_classes": classes}
        entry = CatalogEntry(name, name, timm_name, "none", "none", MappingProxyType(counted))
        monkeypatch.setitem(MODELS, name, entry)

    return replace


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return make_store(tmp_path / "artifacts")


@pytest.fixture(scope="session")
def built_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """As `store`, to be left as it is."""
    return make_store(tmp_path_factory.mktemp("stored"))


@pytest.fixture(scope="session")
def built(built_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of `built_store` without measurements, to be left as it is."""
    folder = tmp_path_factory.mktemp("rendered")
    make_site(built_store, make_bundle(folder / "bundle"), folder / "_site")
    return folder / "_site"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "_site"


@pytest.fixture
def measurements(store: Store, tmp_path: Path) -> Path:
    u8, torch = store.read("plain", "u8", "tfjs"), store.read("plain", "f32", "torch")
    assert u8 and torch

    def figure(metric: str, value: float, artifact: Artifact, **other: Any) -> Measurement:
        values = {
            "unit": "ms",
            "n": 30,
            "p10": None,
            "p90": None,
            "model": "plain",
            "variant": "u8-tfjs",
            "engine": "tfjs",
            "backend": "wasm",
            "threads": 1,
            "artifact_sha256": artifact.sha256,
            **other,
        }
        return Measurement(metric=metric, value=value, **values)

    gone = figure("latency_ms", 1.0, u8, artifact_sha256="0" * 64, model="gone")
    share = {"unit": "share", "n": 1000, "p10": 0.901, "p90": 0.931}
    figures = (
        figure("latency_ms", 12.34, u8, p10=11.1, p90=15.6),
        figure("compile_ms", 77.7, u8),
        figure("top1", 0.917, u8, **share),
        figure("agreement", 0.989, u8, **share),
        figure("top1", 0.918, torch, engine="pytorch", variant="f32-torch", **share),
        gone,
    )
    place = Environment(
        machine="x86_64",
        os="Debian 12",
        cpu="A <fast> one",
        logical_cores=2,
        browser="Chromium 1",
        user_agent="UA",
        isolated=False,
        gpu="none",
    )
    path = tmp_path / "measurements.json"
    path.write_text(json.dumps(MeasurementFile(schema_version=1, environment=place, measurements=figures).to_json()))
    return path
