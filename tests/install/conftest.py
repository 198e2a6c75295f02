"""The wheel, built once, and environments in which it is installed with some of its extras."""

from collections.abc import Callable
from pathlib import Path

import pytest
from environments import Environment, build_wheel, install
from sharing import share_bundle


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    share_bundle()
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Environment]:
    made: dict[tuple[str, ...], Environment] = {}

    def get(*extras: str) -> Environment:
        if extras not in made:
            made[extras] = install(wheel, tmp_path_factory.mktemp("installed") / "venv", *extras)
        return made[extras]

    return get
