"""The converter process: TensorFlow and the converters in a process of their own, their noise in a log file."""

import ctypes
import gc
import importlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType, SimpleNamespace, TracebackType
from typing import Any, Self, TypeVar

from export.core.errors import ConversionError, ExportError
from export.core.interrupts import start_beside

Result = TypeVar("Result")

# oneDNN fuses LayerNorm into an operation that TF.js lacks; the converters speak Keras 2; no GPU is needed.
ENVIRONMENT = {
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_USE_LEGACY_KERAS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "CUDA_VISIBLE_DEVICES": "-1",
}
IMPORTED_EARLY = ("tensorflow", "onnxsim", "onnx2tf", "tensorflowjs.converters.tf_saved_model_conversion_v2")
# What the tools would import and can do without, for nothing here runs or converts such models: that takes as long as
# TensorFlow itself. Some ask whether it is there; the TensorFlow.js converter only has to find names.
DISPENSABLE: dict[str, Any] = {
    "torch": None,
    "jax": None,
    "tensorflowjs.converters.jax_conversion": SimpleNamespace(convert_jax=None),
    "tensorflow_decision_forests": SimpleNamespace(),
}
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
CHATTER = re.compile(r"^(INFO|DEBUG|WARNING: All log messages)|^[EWI]\d{4} |Try https?://|^[=\s~^]*$")
TAIL_LINES = 12
EXIT_SECONDS, TERMINATE_SECONDS = 5.0, 1.0
FORKS = sys.platform == "linux"  # where a process that has imported so much can be forked, and its forks die with it
PR_SET_PDEATHSIG = 1


class Converter:
    """A process with the converters, which answers one call after the other.

    Everything that they print goes to the end of `log`; `scratch` is a folder for their own files (and their working
    folder) that vanishes at the end.
    """

    def __init__(self, log: Path, scratch: Path) -> None:
        self.log, self.scratch, self._lock = log, scratch, threading.Lock()
        self._connection, self._theirs = multiprocessing.Pipe()

    def run(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Call a module-level function in the process and return what it returns; threads wait for each other.

        Raises the `ExportError` that it raised; any other failure, an exit or a crash of the tools becomes a
        `ConversionError` with the last meaningful lines of the log.
        """
        start = self.log.stat().st_size if self.log.exists() else 0  # before the process opened it, there is none
        try:
            with self._lock:
                self._connection.send((function, arguments))
                succeeded, result = self._connection.recv()
        except (EOFError, OSError) as error:
            what = f"the converter process ended within {function.__name__}{self._exit_code()}"
            raise _failure(what, self.log, start) from error
        if succeeded:
            return result  # type: ignore[no-any-return]
        if isinstance(result, ExportError):
            raise result
        raise _failure(f"{function.__name__} failed", self.log, start)

    def _exit_code(self) -> str:
        """Say how the process ended: of a fork, only the process that it was forked from is told."""
        return ""

    def _await_end(self) -> None:
        """Wait until nothing has the other end of the connection any more."""
        with self._lock, suppress(EOFError, OSError):  # a thread that waits for an answer has seen the end before
            while True:
                self._connection.recv()
        self._connection.close()


class ConverterProcess(Converter):
    """One process for all conversions of a build: TensorFlow is imported once, while torch still works here.

    Use it as a context manager; the process begins to import its tools at once. With `twin`, and where the system
    allows it, it forks once they are there: `twin` is then a second converter, which took no time to import them and
    shares their memory.
    """

    def __init__(self, log: Path, *, twin: bool = False) -> None:
        self._forks = twin and FORKS
        self.twin: Converter | None = None
        super().__init__(log.absolute(), Path(tempfile.mkdtemp(prefix="vit-pages-convert-")))

    def __enter__(self) -> Self:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self._forks:
            self.twin = Converter(self.log, self.scratch / "twin")
            self.twin.scratch.mkdir()
        ends = [(one._theirs, str(one.scratch)) for one in (self, self.twin) if one]
        spawn = multiprocessing.get_context("spawn")  # a fork would inherit torch's threads
        self._process = spawn.Process(target=_serve, args=(ends, str(self.log)), daemon=True)
        start_beside(self._process)
        for connection, _ in ends:
            connection.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()  # it owns nothing but its scratch folder, and may be in the middle of something
        self._process.join(TERMINATE_SECONDS)
        self._process.kill()
        self._process.join()
        for one in filter(None, (self, self.twin)):  # the twin dies with it
            one._await_end()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def _exit_code(self) -> str:
        self._process.join(EXIT_SECONDS)
        return f" (exit code {self._process.exitcode})"


def run_node(script: Path, arguments: Sequence[str], log: Path) -> None:
    """Run a script in Node.js with its output in the log; raises `ConversionError` when Node is missing or fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        start = stream.tell()
        command = ["node", str(script), *arguments]
        try:
            done = subprocess.run(command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, check=False)
        except FileNotFoundError as error:
            message = "Node.js is not on PATH; it runs the page's engines to verify conversions"
            raise ConversionError(message, hint="install Node.js 20.10 or newer") from error
    if done.returncode != 0:
        raise _failure(f"node {script.name} ended with exit code {done.returncode}", log, start)


def meaningful_lines(text: str, count: int = TAIL_LINES) -> list[str]:
    """Return the last lines of a tool's output that say something, without colours and routine chatter."""
    lines = [COLOURS.sub("", line).rstrip() for line in text.splitlines()]
    return [line for line in lines if line and not CHATTER.search(line)][-count:]


def _failure(what: str, log: Path, start: int) -> ConversionError:
    with log.open("rb") as stream:
        stream.seek(start)
        lines = meaningful_lines(stream.read().decode(errors="replace"))
    return ConversionError("\n    ".join([what, *lines]), hint=f"full log: {log}")


def _serve(ends: list[tuple[Connection, str]], log: str) -> None:
    """Answer calls until the other end closes; runs in the converter process, and in its twin if there are two ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it ends this process
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (1, 2):
        os.dup2(handle, stream)
    os.environ.update(ENVIRONMENT)
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    (connection, scratch), *others = ends
    os.chdir(scratch)
    _answer(_import_tools, ())
    for other in others:
        _end_with_this(_fork(connection, *other))
    _answer_calls(connection)
    shutil.rmtree(scratch, ignore_errors=True)
    signal.raise_signal(signal.SIGTERM)


def _fork(own: Connection, connection: Connection, scratch: str) -> int:
    """Return the id of a copy of this process, which answers the calls of another connection and dies with this one.

    The tools have not worked yet: they have no threads that a copy would lack.
    """
    original = os.getpid()
    if copy := os.fork():
        connection.close()
        return copy
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    own.close()
    os.chdir(scratch)
    if os.getppid() == original:  # else it died before it could take this one along
        _answer_calls(connection)
    os._exit(0)  # what the tools do at exit is the original's to do


def _end_with_this(twin: int) -> None:
    """End a fork when this process is told to end, and wait for it: so the time that it took counts as this one's."""

    def end(number: int, frame: FrameType | None) -> None:
        os.kill(twin, signal.SIGKILL)
        os.waitpid(twin, 0)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)


def _answer_calls(connection: Connection) -> None:
    with suppress(EOFError, OSError):  # the parent is gone
        while True:
            connection.send(_answer(*connection.recv()))


def _import_tools() -> None:
    gc.disable()
    sys.modules.update(DISPENSABLE)
    for module in IMPORTED_EARLY:
        with suppress(ModuleNotFoundError):  # a build without TF.js does without its converter
            importlib.import_module(module)
    for module in DISPENSABLE:
        del sys.modules[module]  # whatever does want it later imports it then
    gc.freeze()  # millions of objects that stay: to look through them again and again takes seconds of a conversion
    gc.enable()


def _answer(function: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        return True, function(*arguments)
    except ExportError as error:
        return False, error
    except BaseException:  # the tools call sys.exit; whatever it was, the log has it and the caller is told
        traceback.print_exc()
        return False, None
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
