"""One converter process for all conversion tests, and each family carried through the chain once."""

from collections.abc import Callable, Iterator

import pytest
from families import Chain, carry

from export.conversion.converter_process import ConverterProcess


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConverterProcess]:
    with ConverterProcess(tmp_path_factory.mktemp("log") / "convert.log") as process:
        yield process


@pytest.fixture(scope="session")
def chain(tools: ConverterProcess, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Chain]:
    made: dict[str, Chain] = {}

    def get(family: str) -> Chain:
        if family not in made:
            made[family] = carry(family, tools, tmp_path_factory.mktemp(family))
        return made[family]

    return get
