"""What tests of comparisons share: labelled pictures for tiny models."""

from pathlib import Path

import pytest
from pictures import make_classes
from tiny_catalog import CLASSES


@pytest.fixture(scope="session")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of three classes with six pictures each."""
    return make_classes(tmp_path_factory.mktemp("labelled") / "val", 6, CLASSES)
