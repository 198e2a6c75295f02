"""Stages made in a thread beside others: those of the converter process, or of its twin.

TensorFlow's converter keeps one core busy for as long as calibration takes, in a process of its own. What it needs of
PyTorch (the ONNX files) is made before. Where nothing is calibrated meanwhile, a model's second graph is converted
beside the first.
"""

import threading
from collections.abc import Callable, Sequence

from export.core.errors import UnsupportedError


class Beside:
    """A thread that makes one thing after the other; what stops it is raised to whoever waits or checks."""

    def __init__(self, tasks: Sequence[Callable[[], object]], name: str = "converter stages") -> None:
        self._tasks, self._stopped = tasks, threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name)
        self._thread.start()

    def _run(self) -> None:
        try:
            for task in self._tasks:
                if self._stopped.is_set():
                    return
                try:
                    task()
                except UnsupportedError:  # whoever asks for it again is told
                    continue
        except BaseException as error:  # not lost: raised by `check`
            self._error = error

    def is_current(self) -> bool:
        """Tell whether it is this thread that asks."""
        return threading.current_thread() is self._thread

    def is_running(self) -> bool:
        """Tell whether there is more to do."""
        return self._thread.is_alive()

    def check(self) -> None:
        """Raise what has stopped the thread, if something has."""
        if self._error is not None and not self._stopped.is_set():
            raise self._error

    def wait(self) -> None:
        """Wait until all is made; raises what stopped the thread."""
        while self._thread.is_alive():
            self._thread.join(0.1)  # so that Ctrl-C is heard
        self.check()

    def stop(self) -> None:
        """Let the thread begin nothing more."""
        self._stopped.set()

    def join(self) -> None:
        """Wait until the thread has ended, and cleaned up what it was making."""
        self._thread.join()
