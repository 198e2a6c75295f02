"""Ctrl-C between two steps of training, not within one: what a checkpoint then holds is whole."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupts:
    """Whether Ctrl-C was pressed; `holding` keeps it back while a step is computed. A second one acts at once."""

    def __init__(self) -> None:
        self.pressed, self.held = False, False

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Keep Ctrl-C back until the block has ended, then raise `KeyboardInterrupt`."""
        self.held = True
        try:
            yield
        finally:
            self.held = False
        if self.pressed:
            raise KeyboardInterrupt


@contextmanager
def between_steps() -> Iterator[Interrupts]:
    """Yield how Ctrl-C is kept back; it is not where it has no effect anyway, as in a background job."""
    interrupts, before = Interrupts(), signal.getsignal(signal.SIGINT)
    try:
        if callable(before):
            signal.signal(signal.SIGINT, _handler(interrupts, before))
    except ValueError:  # in a thread, which Ctrl-C does not reach
        before = None
    try:
        yield interrupts
    finally:
        if callable(before):
            signal.signal(signal.SIGINT, before)


def _handler(interrupts: Interrupts, before: Any) -> Any:
    def handle(number: int, frame: FrameType | None) -> None:
        if interrupts.held and not interrupts.pressed:
            interrupts.pressed = True
        else:
            before(number, frame)

    return handle
