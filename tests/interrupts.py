"""Interrupting commands from tests, also where the tests themselves run in the background and ignore Ctrl-C."""

import signal


def heed_interrupts() -> None:
    """Undo what a shell's background job inherits; for `preexec_fn` of a process that is to be interrupted."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
