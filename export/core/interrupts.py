"""Ctrl-C as `KeyboardInterrupt`, which is never lost."""

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess
    from sys import UnraisableHookArgs

INTERRUPTED = 130  # what a shell reports for a command ended by Ctrl-C
AGAIN_SECONDS = 0.01
IMPORTING = "<frozen importlib._bootstrap>"
STARTING = "BaseProcess.start"  # of multiprocessing


@contextmanager
def heeding_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise `KeyboardInterrupt`, whatever is being done; in a shell's background job it has no effect."""
    interrupts = _Interrupts()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job ignores it
        signal.signal(signal.SIGINT, interrupts.interrupt)
        sys.unraisablehook = interrupts.dropped
    try:
        yield
    except Exception as error:
        if interrupts.pressed:  # what Ctrl-C ended beside us, a browser for instance, was noticed first
            raise KeyboardInterrupt from error
        raise
    finally:
        interrupts.ended = True


def start_beside(process: "BaseProcess") -> None:
    """Start a process that this one ends: it never sees Ctrl-C, which a terminal sends to both."""
    if not hasattr(signal, "pthread_sigmask"):
        process.start()
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # its own start would let SIGINT through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # which a new process inherits
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Interrupts:
    """Whether Ctrl-C was pressed, and whether the command has ended, after which none is sent again."""

    def __init__(self) -> None:
        self.pressed = self.ended = False

    def interrupt(self, number: int, frame: FrameType | None) -> None:
        """Raise `KeyboardInterrupt`, once no module is being imported and no process started.

        Packages in C++ abort where it is raised in them, and others catch it and stay half imported. A process that is
        half started prints that it was sent nothing. Where the command has ended, end the process.
        """
        if self.ended:
            os._exit(INTERRUPTED)
        self.pressed = True
        if _is_inside(frame):
            self.send_again()
        else:
            raise KeyboardInterrupt

    def dropped(self, exception: "UnraisableHookArgs") -> None:
        """Send again what Python drops: it was raised in a destructor or in the callback of a weak reference."""
        if isinstance(exception.exc_value, KeyboardInterrupt):
            self.send_again()
        else:
            sys.__unraisablehook__(exception)

    def send_again(self) -> None:
        """Interrupt the main thread a little later."""
        _thread.start_new_thread(self._interrupt_soon, ())  # threading's own locks may be what is being freed

    def _interrupt_soon(self) -> None:
        time.sleep(AGAIN_SECONDS)
        if self.ended:
            return
        if sys.platform == "win32":
            _thread.interrupt_main()
        else:  # which also ends what the main thread waits for
            signal.pthread_kill(cast(int, threading.main_thread().ident), signal.SIGINT)


def _is_inside(frame: FrameType | None) -> bool:
    """Say whether the main thread is at what must not be interrupted."""
    while frame:
        if frame.f_code.co_filename == IMPORTING or frame.f_code.co_qualname == STARTING:
            return True
        frame = frame.f_back
    return False
