"""Layers solved side by side: in their order, to the same bits, and PyTorch's threads are as before."""

import threading
from collections.abc import Iterator

import pytest
import torch
from tiny import searching_less, tiny
from torch import Tensor

from export.quantization.calibration.calibrate import calibrate
from export.quantization.calibration.side_by_side import side_by_side
from export.quantization.recipes import find_recipe

CPU = torch.device("cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_results_come_in_order_from_threads_of_one_each() -> None:
    barrier = threading.Barrier(2, timeout=60)

    def solve(item: int) -> tuple[int, int]:
        if item < 2:
            barrier.wait()  # both at the same time, or never
        return item, torch.get_num_threads()

    assert list(side_by_side(solve, range(5), CPU)) == [(item, 1) for item in range(5)]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_an_error_ends_it_and_leaves_out_what_has_not_begun() -> None:
    begun: list[int] = []

    def solve(item: int) -> int:
        begun.append(item)
        if item == 0:
            raise ValueError("item 0")
        release.wait(60)
        return item

    release = threading.Event()
    found = side_by_side(solve, range(100), CPU)
    threading.Timer(0.5, release.set).start()
    with pytest.raises(ValueError, match="item 0"):
        next(found)
    assert len(begun) < 100 and torch.get_num_threads() == 2


@pytest.mark.parametrize("recipe", ["w6a6_ptq4vit", "w4a8_basic"])
def test_it_gives_the_same_bits(recipe: str, two_threads: None) -> None:
    def calibrated() -> tuple[dict[str, Tensor], list[tuple[int, int, str]]]:
        _, module, images = tiny("vit")
        told: list[tuple[int, int, str]] = []
        quantized = calibrate(module, searching_less(find_recipe(recipe)), images[:8], tell=lambda *of: told.append(of))
        return quantized.state_dict(), told

    parallel, told = calibrated()
    torch.set_num_threads(1)
    expected, told_alone = calibrated()
    assert told == told_alone and [done for done, _, _ in told] == list(range(1, len(told) + 1))
    assert list(parallel) == list(expected)
    assert all(torch.equal(value, expected[name]) for name, value in parallel.items())
