"""What tests of comparisons share: tiny models under names of the catalog, and labelled pictures for them."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest
from pictures import make_classes
from tiny_catalog import CLASSES, VIT, Kind

from export.models.catalog import MODELS, CatalogEntry


@pytest.fixture
def tiny_models(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put tiny architectures under names of the catalog: `tiny_models("swin_t", SWIN)`."""

    def replace(name: str, kind: Kind = VIT, classes: int | None = 3) -> None:
        timm_name, arguments = kind
        counted = arguments if classes is None else {**arguments, "num_classes": classes}
        entry = CatalogEntry(name, name, timm_name, "none", "none", MappingProxyType(counted))
        monkeypatch.setitem(MODELS, name, entry)

    return replace


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of three classes with six pictures each."""
    return make_classes(tmp_path_factory.mktemp("labelled") / "val", 6, CLASSES)
