"""What tests of comparisons share: tiny models under names of the catalog, and labelled pictures for them."""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType

import pytest
from pictures import make_classes

from export.models.catalog import MODELS, CatalogEntry

CLASSES = ("0", "1", "2")
VIT = ("vit_tiny_patch16_224", {"img_size": 28, "patch_size": 7, "embed_dim": 24, "depth": 2, "num_heads": 3})
SWIN = (
    "swin_tiny_patch4_window7_224",
    {"img_size": 28, "patch_size": 2, "embed_dim": 12, "depths": (1, 1), "num_heads": (2, 4), "window_size": 7},
)


@pytest.fixture
def tiny_models(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put tiny architectures under names of the catalog: `tiny_models("deit_t", swin="swin_t")`."""

    def replace(name: str, kind: tuple[str, dict[str, object]] = VIT, classes: int = 3) -> None:
        timm_name, arguments = kind
        entry = CatalogEntry(
            name, name, timm_name, "none", "none", MappingProxyType({**arguments, "num_classes": classes})
        )
        monkeypatch.setitem(MODELS, name, entry)

    return replace


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of three classes with six pictures each."""
    return make_classes(tmp_path_factory.mktemp("labelled") / "val", 6, CLASSES)
