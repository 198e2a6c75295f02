"""A run that was ended goes on: the same weights as an uninterrupted one, at most a minute lost."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from interrupts import heed_interrupts
from pictures import SHORT, Train, make_classes
from safetensors.torch import load_file

from export.core.errors import RequestError

ROOT = Path(__file__).parents[3]
# Trains as the command does, with a checkpoint after every so many seconds.
PROGRAM = """
import sys
import torch
from export.core.console import run
from export.training import session

torch.set_num_threads(1)
every, *arguments = sys.argv[1:]
train = session.train_on_pictures

def often(request):
    return train(session.dataclasses.replace(request, checkpoint_seconds=float(every)))

session.train_on_pictures = often
import export.train
run(export.train.main, arguments)
"""


def begin(folder: Path, data: Path, every: str, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, every, "--data", str(data), *SHORT, "--out", "out", *options]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_interrupts,
    )


def wait_for(path: Path, after: float, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.stat().st_mtime > after:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {path}; the command said: {process.communicate()[0]}")


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_weights(train: Train, pictures: Path, tmp_path: Path) -> None:
    options = ("--epochs", "30", "--drop-path", "0.2", "--noise-bits", "4")
    whole = load_file(train(*options, out="whole") / "model.safetensors")
    killed = begin(tmp_path, pictures, "0.05", *options)
    wait_for(tmp_path / "out/checkpoint.pt", 0, killed)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "out/model.safetensors").exists()
    step = torch.load(tmp_path / "out/checkpoint.pt", weights_only=True)["step"]
    assert 0 <= step < 90
    resumed = load_file(train(*options, "--resume") / "model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


@pytest.mark.slow
def test_ctrl_c_keeps_a_checkpoint(train: Train, pictures: Path, tmp_path: Path) -> None:
    ended = begin(tmp_path, pictures, "0.05", "--epochs", "5000")
    wait_for(tmp_path / "out/checkpoint.pt", 0, ended)
    ended.send_signal(signal.SIGINT)
    said, _ = ended.communicate(timeout=120)
    assert ended.returncode == 130, said
    found = re.search(r"step (\d+) of 15000 is kept in out/checkpoint.pt: go on with --resume", said)
    assert found and torch.load(tmp_path / "out/checkpoint.pt", weights_only=True)["step"] == int(found[1])


def test_what_is_another_training_is_not_resumed(train: Train, pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="there is no checkpoint"):
        train("--resume")
    train()
    train("--resume")  # has ended: the files are written again
    with pytest.raises(RequestError, match=r"made with other options: lr 0.003, not 0.001"):
        train("--resume", "--lr", "1e-3")
    with pytest.raises(RequestError, match="other pictures"):
        train("--resume", data=make_classes(tmp_path / "others", 10, seed=7))
    (tmp_path / "out/checkpoint.pt").write_bytes(b"none")
    with pytest.raises(RequestError, match="is no checkpoint of this command"):
        train("--resume")
