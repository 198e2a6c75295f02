"""Layers solved side by side: one in each thread, in which PyTorch has no more threads.

The operations of a search are small: to share each out among processors takes longer than it saves where other
processes are busy too.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")


def side_by_side(solve: Callable[[Item], Result], items: Sequence[Item], device: torch.device) -> Iterator[Result]:
    """Yield what a function makes of items, in their order, in as many threads as PyTorch has for the CPU.

    Raises what the function raises, for the first item of which it does; those not begun by then are left out.
    """
    count = torch.get_num_threads() if device.type == "cpu" else 1
    if count == 1:
        yield from map(solve, items)
        return
    pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(1,))
    torch.set_num_threads(1)  # MKL has one number for all threads
    try:
        yield from pool.map(solve, items)
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(count)
