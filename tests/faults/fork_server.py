"""Runs the project's commands in forked children, so that none pays for the imports: one request in JSON a line.

A child can kill itself by SIGKILL at the n-th change to files below a folder, for instance between writing a file and
renaming it: the same point every time.
"""

import atexit
import contextlib
import ctypes
import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
LIMIT_S = 300  # that a command may take before it counts as hung, on a busy machine
ENDING_S = 30  # that what it has started may live on
SET_CHILD_SUBREAPER = 36  # of prctl
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink")


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended: its exit code, minus the signal that ended it, or None when it hung; and what it said."""

    code: int | None
    stdout: str
    stderr: str
    changes: int
    left_running: bool


class ForkServer:
    """The process and the requests to it; a context manager."""

    def __enter__(self) -> Self:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        return self

    def __exit__(self, *error: object) -> None:
        self._process.communicate()  # which closes its input, and so ends it

    def run(self, *argv: str | Path, cwd: Path = ROOT, watched: Path | None = None, kill_at: int | None = None) -> Done:
        """Run a command; with `watched`, count the changes to files below it, and kill the process at one of them."""
        request = {"argv": [str(one) for one in argv], "cwd": str(cwd), "kill_at": kill_at}
        request |= {"watched": str(watched) if watched else None}
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Done(**json.loads(self._process.stdout.readline()))


def serve() -> None:
    """Answer requests until there are no more."""
    sys.path[0] = str(ROOT)
    import timm  # noqa: F401
    import torch

    import export.build
    import export.evaluate
    import export.models.load
    import export.quantize
    import export.train
    import export.training.session  # noqa: F401
    from export.core.source_code import code_key
    from export.pipeline.formats import FORMATS

    for format in FORMATS.values():
        code_key(format.stage)  # reads our code, which every child would do for itself
    gc.freeze()  # nor does a child look for garbage among what all have
    torch.set_num_threads(1)
    _adopt_orphans()
    for line in sys.stdin:
        print(json.dumps(_fork(json.loads(line))), flush=True)


def _fork(request: dict[str, Any]) -> dict[str, Any]:
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        tempfile.TemporaryFile("w+") as count,
    ):
        reading, writing = os.pipe()  # closed by the system when the child has ended, in whatever way
        child = os.fork()
        if child == 0:
            _run(request, out.fileno(), err.fileno(), count.fileno())
        os.close(writing)
        ended = bool(select.select([reading], [], [], LIMIT_S)[0])
        os.close(reading)
        if not ended:
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        left = _outlives(child)
        for stream in (out, err, count):
            stream.seek(0)
        return {
            "code": os.waitstatus_to_exitcode(status) if ended else None,
            "stdout": out.read(),
            "stderr": err.read(),
            "changes": int(count.read() or 0),
            "left_running": left,
        }


def _adopt_orphans() -> None:
    """Be the parent of what killed children leave behind, so that it is known when it has ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _outlives(group: int) -> bool:
    """Tell whether something of a process group does not end by itself; it is ended then."""
    deadline = time.monotonic() + ENDING_S
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-group, os.WNOHANG)
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.02)
    os.killpg(group, signal.SIGKILL)
    return True


def _run(request: dict[str, Any], out: int, err: int, count: int) -> None:
    """Be the command, as `python -m export` is; does not return."""
    code = 1
    try:
        os.setsid()
        for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
            os.dup2(source, target)
        os.chdir(request["cwd"])
        if request["watched"]:
            _watch(os.path.realpath(request["watched"]), request["kill_at"], count)
        from export.__main__ import dispatch
        from export.core.console import run

        atexit._clear()  # what is registered is this server's to do
        run(dispatch, request["argv"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _watch(folder: str, kill_at: int | None, count: int) -> None:
    changes = 0

    def hear(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal changes
        if not (event in CHANGES or (event == "open" and _writes(arguments))):
            return
        if not any(_is_below(argument, folder) for argument in arguments[:2]):
            return
        changes += 1
        if changes == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        os.pwrite(count, str(changes).encode(), 0)

    sys.addaudithook(hear)


def _writes(arguments: tuple[Any, ...]) -> bool:
    _, mode, flags = arguments
    return (
        any(letter in mode for letter in "wax+") if isinstance(mode, str) else bool(flags & (os.O_WRONLY | os.O_RDWR))
    )


def _is_below(argument: Any, folder: str) -> bool:
    if not isinstance(argument, str | bytes | os.PathLike):
        return False
    return os.path.abspath(os.fsdecode(argument)).startswith(folder + os.sep)  # noqa: PTH100 (links stay)


if __name__ == "__main__":
    serve()
