"""Ctrl-C as `KeyboardInterrupt`, which is never lost."""

import _thread
import signal
import sys
import threading
import time
from types import FrameType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

AGAIN_SECONDS = 0.01  # Python has left the destructor by then; if not, the next try follows


def heed_interrupts() -> list[int]:
    """Let Ctrl-C raise `KeyboardInterrupt`; return a list that grows with each, empty in a shell's background job.

    Python drops an exception that is raised in a destructor or in the callback of a weak reference, as the lock of a
    module has one: there the interrupt is sent again.
    """
    interrupts: list[int] = []
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # a shell's background job ignores it
        return interrupts

    def interrupt(number: int, frame: FrameType | None) -> None:
        interrupts.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    sys.unraisablehook = _send_again
    return interrupts


def _send_again(dropped: "UnraisableHookArgs") -> None:
    if isinstance(dropped.exc_value, KeyboardInterrupt):
        _thread.start_new_thread(_interrupt_soon, ())  # threading's own locks may be what is being freed
    else:
        sys.__unraisablehook__(dropped)


def _interrupt_soon() -> None:
    time.sleep(AGAIN_SECONDS)
    if sys.platform == "win32":
        _thread.interrupt_main()
    else:  # which also ends what the main thread waits for
        signal.pthread_kill(cast(int, threading.main_thread().ident), signal.SIGINT)
