"""What the tests of training share: one thread, a working folder of their own, and a small set of pictures.

pytest's own process reads this file before any test: what imports PyTorch is imported where it is used.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pictures import SHORT, Train, make_classes


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine the threads of so small a model wait for one another
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of eight pictures in `train`, of four in `val`."""
    folder = tmp_path_factory.mktemp("pictures")
    make_classes(folder / "train", 8)
    make_classes(folder / "val", 4, seed=500)
    return folder


@pytest.fixture
def train(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """The command with the tiny model, unless told otherwise; returns the folder of its result."""
    from export.train import main

    monkeypatch.chdir(tmp_path)

    def command(*options: str, out: str = "out", data: Path = pictures, usual: tuple[str, ...] = SHORT) -> Path:
        main(["--data", str(data), *usual, "--out", out, *options])
        return tmp_path / out

    return command
