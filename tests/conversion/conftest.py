"""One converter process for all conversion tests, and each family carried through the chain once.

pytest's own process reads this file before any test: what imports PyTorch is imported where it is used.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from export.conversion.converter_process import ConverterProcess

if TYPE_CHECKING:
    from families import Chain


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConverterProcess]:
    with ConverterProcess(tmp_path_factory.mktemp("log") / "convert.log") as process:
        yield process


@pytest.fixture(scope="session")
def chain(tools: ConverterProcess, tmp_path_factory: pytest.TempPathFactory) -> "Callable[[str], Chain]":
    from families import carry

    made: dict[str, Chain] = {}

    def get(family: str) -> "Chain":
        if family not in made:
            made[family] = carry(family, tools, tmp_path_factory.mktemp(family))
        return made[family]

    return get
