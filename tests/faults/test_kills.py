"""`kill -9` at many points of build, quantize and train: what is there is whole, and the next run ends as ever.

The points are changes to files (made, renamed, removed), counted in an undisturbed run and spread over it.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import timm
from faulting import Tally
from fork_server import ROOT, Done, ForkServer
from pictures import SHORT, make_classes
from safetensors.torch import save_file

from export.models.weights.randomise import randomise

pytestmark = [pytest.mark.faults("kills"), pytest.mark.slow]
POINTS, FEW = 20, 1
# Files that differ from run to run: they have times, or are what a run that goes on begins with.
VARYING = ("durations.json", "convert.log", "checkpoint.pt", "report.html", "card.json", "README.md")
SIGKILL = -9


@dataclass(frozen=True)
class Case:
    """A command, and what it needs in its folder."""

    argv: tuple[str, ...]
    prepare: Callable[[Path], object]


def checkpoint(folder: Path) -> None:
    module = timm.create_model("vit_tiny_patch16_224", img_size=28, patch_size=7, depth=1, num_classes=10)
    save_file(randomise(module.eval(), seed=1).state_dict(), folder / "tiny.safetensors")


def with_caches(folder: Path) -> None:
    """A checkpoint, and the compiled engine and the page's scripts, which are not what is tried here."""
    checkpoint(folder)
    (folder / ".cache").symlink_to(ROOT / ".cache", target_is_directory=True)


OWN = ("--model", "timm/vit_tiny_patch16_224", "--checkpoint", "tiny.safetensors")
CASES = {
    "build": Case(("build", *OWN, "--engine", "vit", "--recipe", "w8_dynamic"), with_caches),
    "quantize": Case(
        ("quantize", *OWN, "--recipe", "w8a8_minmax", "--calibration", "8", "--out", "out/model.safetensors"),
        checkpoint,
    ),
    "train": Case(
        ("train", "--data", "pictures", *SHORT, "--epochs", "1", "--out", "out"),
        lambda folder: make_classes(folder / "pictures", 8),
    ),
}


def visible(folder: Path) -> dict[str, bytes]:
    """Return the files that a command has put in place: none under a temporary name, none of caches."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    named = ((path.relative_to(folder), path) for path in paths)
    return {
        place.as_posix(): path.read_bytes()
        for place, path in named
        if not any(part.startswith(".") for part in place.parts)
    }


def lasting(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if Path(name).name not in VARYING}


def halves(found: dict[str, bytes], whole: dict[str, bytes]) -> list[str]:
    """Return the files that are neither absent nor whole."""
    broken = [name for name, data in lasting(found).items() if whole.get(name) != data]
    for name in found.keys() - lasting(found).keys():
        if name.endswith(".json"):
            try:
                json.loads(found[name])
            except ValueError:
                broken.append(name)
    return broken


@pytest.mark.parametrize("name", CASES)
def test_killed_commands(name: str, commands: ForkServer, tmp_path: Path, full: bool, tally: Tally) -> None:
    case = CASES[name]

    def run(folder: Path, kill_at: int | None = None) -> Done:
        if not folder.exists():
            folder.mkdir()
            case.prepare(folder)
        return commands.run(*case.argv, cwd=folder, watched=folder, kill_at=kill_at)

    undisturbed = run(tmp_path / "undisturbed")
    assert undisturbed.code == 0, undisturbed.stderr
    whole = visible(tmp_path / "undisturbed")
    points = POINTS if full else FEW
    for point in range(points):
        kill_at = 1 + round((point + 0.5) * (undisturbed.changes - 1) / points)
        folder = tmp_path / f"killed-{point}"
        killed = run(folder, kill_at)
        assert killed.code == SIGKILL, f"at {kill_at} of {undisturbed.changes}: {killed}"
        broken = halves(visible(folder), whole)
        again = run(folder)
        left = hidden(folder) - hidden(tmp_path / "undisturbed")
        found = lasting(visible(folder))
        what = f"{name} at {kill_at} of {undisturbed.changes}"
        if killed.left_running or again.code is None:
            tally.count("hung", what)
        elif broken or left:
            tally.count("half_written", f"{what}: {broken}, left behind: {sorted(left)}")
        elif again.code != 0:
            tally.count("unclear", f"{what}: {again.stderr}")
        elif found != lasting(whole):
            changed = [path for path in found.keys() | lasting(whole).keys() if found.get(path) != whole.get(path)]
            tally.count("wrong", f"{what}: {changed}")
        else:
            tally.count("answered")
        shutil.rmtree(folder)


def hidden(folder: Path) -> set[str]:
    """Return what is in a folder under names that begin with a dot: temporary ones, among them."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob(".*")}
