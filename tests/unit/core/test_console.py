"""How a command ends: its exit code, and what it says, whatever happened."""

import os
import re
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import IO

import pytest

from export.core import console
from export.core.console import say, stage

ROOT = Path(__file__).parents[3]
LOST = """
import time, weakref
def end():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(.05)
class One: pass
one = One()
{}
del one
{}
"""
WAIT = "signal.pause()"
FAIL = "import atexit\natexit.register(time.sleep, .1)\nraise {}"  # which the interrupt, sent again, comes after


def run_command(
    body: str, *, ignored: bool = False, stdout: int | IO[str] = subprocess.PIPE
) -> subprocess.CompletedProcess[str]:
    code = (
        "import os, signal\nfrom export.core.console import run\nfrom export.core.errors import *\n"
        f"def command(argv):\n{textwrap.indent(body, '    ')}\nrun(command)"
    )
    reaction = signal.SIG_IGN if ignored else signal.SIG_DFL
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, reaction),
    )


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("pass", 0, ""),
        ('raise RequestError("no such model", hint="try fashion")', 2, "error: no such model\n  → try fashion"),
        ('raise ConversionError("onnx2tf failed")', 1, "error: onnx2tf failed"),
        ('raise OSError("disk full")', 1, "check free disk space"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("os.kill(os.getpid(), signal.SIGINT)\nwhile True: pass", 130, "interrupted"),
        (
            "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    while True: pass\n"
            'except KeyboardInterrupt:\n    raise MeasurementError("the browser is gone")',
            130,
            "interrupted",
        ),
        (LOST.format("weakref.finalize(one, end)", WAIT), 130, "interrupted"),
        (LOST.format("type(one).__del__ = lambda one: end()", WAIT), 130, "interrupted"),
        (LOST.format("weakref.finalize(one, end)", FAIL.format('ConversionError("half")')), 130, "interrupted"),
        (LOST.format("weakref.finalize(one, end)", FAIL.format('AttributeError("half")')), 130, "interrupted"),
    ],
    ids=[
        "done",
        "request",
        "failure",
        "disk",
        "interrupt",
        "signal",
        "signal that ends a browser first",
        "signal in the callback of a weak reference",
        "signal in a destructor",
        "signal that is lost before a failure",
        "signal that is lost before an error",
    ],
)
def test_exit_codes(body: str, code: int, said: str) -> None:
    done = run_command(body)
    assert done.returncode == code and said in done.stderr and "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(
    "package",
    ["try: press()\nexcept BaseException: pass", "press()\nwhole = True"],
    ids=["catches it", "would stay half imported"],
)
def test_a_package_is_imported_whole_before_the_command_ends(package: str, tmp_path: Path) -> None:
    pressing = "import os, signal, time\ndef press():\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(.05)\n"
    (tmp_path / "package.py").write_text(f"{pressing}{package}\nprint('imported')")
    done = run_command(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport package\nsignal.pause()")
    assert (done.returncode, done.stdout) == (130, "imported\n") and "interrupted" in done.stderr, done.stderr


STARTING = """
import multiprocessing
from export.core.interrupts import start_beside
class Argument:
    def __reduce__(self):
        os.kill(os.getpid(), signal.SIGINT)
        return float, (1.0,)
process = multiprocessing.get_context("spawn").Process(target=print, args=("started", Argument()))
start_beside(process)
"""


def test_a_process_is_started_whole_before_the_command_ends() -> None:
    done = run_command(STARTING + "signal.pause()")
    assert (done.returncode, done.stdout) == (130, "started 1.0\n"), done.stderr
    assert "interrupted" in done.stderr and "Traceback" not in done.stderr


def test_ctrl_c_does_not_reach_a_process_that_this_one_ends() -> None:
    starting = STARTING.replace("os.kill(os.getpid(), signal.SIGINT)", "pass")
    done = run_command(starting + "os.kill(process.pid, signal.SIGINT)\nprocess.join()")
    assert (done.returncode, done.stdout, done.stderr) == (0, "started 1.0\n", "")


AT_THE_END = """
import atexit, tempfile, threading, time
atexit.register(print, "registered")
folder = tempfile.TemporaryDirectory()
threading.Thread(target=lambda: (time.sleep(.1), print("thread"))).start()
print(folder.name)
"""


@pytest.mark.parametrize(("ending", "code"), [("", 0), ('raise ConversionError("half")', 1), ("raise Exception", 1)])
def test_what_is_left_for_the_end_is_done(ending: str, code: int) -> None:
    done = run_command(AT_THE_END + f"globals()['folder'] = folder\n{ending}")
    folder, *said = done.stdout.splitlines()
    assert (done.returncode, said) == (code, ["thread", "registered"]) and not Path(folder).exists(), done.stderr


def test_a_full_disk_is_said_when_output_is_written_out() -> None:
    with Path("/dev/full").open("w") as full:
        done = run_command('print("figures")', stdout=full)
    assert done.returncode == 1 and "error: [Errno 28] No space left" in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error_to_speak_of() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run_command('print("figures")', stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_ctrl_c_while_a_command_ends_ends_it() -> None:
    done = run_command("import atexit\natexit.register(lambda: (os.kill(os.getpid(), signal.SIGINT), signal.pause()))")
    assert (done.returncode, done.stderr) == (130, "")


def test_a_background_job_goes_on_when_its_shell_is_interrupted() -> None:
    done = run_command('os.kill(os.getpid(), signal.SIGINT)\nprint("done")', ignored=True)
    assert (done.returncode, done.stdout) == (0, "done\n")


@pytest.mark.parametrize("encoding", ["utf-8:strict", "ascii:strict", "latin-1:strict"])
def test_what_a_terminal_cannot_show_is_written_out(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    done = run_command('from export.core.console import say\nsay("note: a\\udce9.png → skipped")')
    assert done.returncode == 0 and "a\\udce9.png" in done.stdout, done.stderr


def test_where_nobody_looks_a_line_now_and_then_says_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "LINE_SECONDS", 0)
    with console.LongProgress("training", 4, "step", 1) as progress:
        for _ in range(3):
            progress.step()
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0].strip() for line in said] == ["training: 2 of 4 steps", "training: 3 of 4 steps"]
    assert all("left" in line for line in said)


def test_lines_of_stages_at_the_same_time_are_whole(capsys: pytest.CaptureFixture[str]) -> None:
    with stage("calibrate"):
        with stage("convert") as note:
            note("4 MB")
            note("")
        say("  a note")
    lines = re.sub(r"\d+\.\d s", "1.0 s", capsys.readouterr().out).splitlines()
    assert lines == ["  calibrate …", "  convert … 1.0 s; 4 MB", "  a note", "  calibrate … 1.0 s"]


def test_a_stage_alone_is_one_line_and_says_when_it_failed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), stage("calibrate"):
        raise KeyError
    assert capsys.readouterr().out == "  calibrate … failed\n"
