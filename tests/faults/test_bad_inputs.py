"""Every bad input ends with its exit code and one message with the next step, without a traceback or half a file."""

import re
from pathlib import Path

import pytest
from bad_inputs import BAD_INPUTS, BadInput
from faulting import Tally, Verdict
from fork_server import ROOT, Done, ForkServer
from wholeness import incomplete

pytestmark = pytest.mark.slow


def tree(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder but those of caches."""
    own = (path for path in folder.iterdir() if not path.is_symlink())
    files = (path for top in own for path in (top, *top.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def verdict(case: BadInput, done: Done, before: dict[str, bytes], after: dict[str, bytes]) -> Verdict:
    if done.code is None or done.left_running:
        return "hung"
    if done.code == 0:
        return "wrong"
    if before != after:
        return "half_written"
    return "answered" if done.code == case.code and is_clear(done.stderr) and said(case, done.stderr) else "unclear"


def said(case: BadInput, stderr: str) -> bool:
    return re.search(case.words, stderr, re.DOTALL) is not None


def is_clear(stderr: str) -> bool:
    """Tell whether it is one error: with the next step, or, for what argparse refuses, with the usage."""
    errors = re.findall(r"^(?:[\w .-]+: )?error: .", stderr, re.MULTILINE)
    return len(errors) == 1 and "Traceback" not in stderr and ("\n  → " in stderr or stderr.startswith("usage: "))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of artifacts for all commands."""
    return tmp_path_factory.mktemp("artifacts")


def test_there_are_no_two_of_a_name() -> None:
    assert len({case.what for case in BAD_INPUTS}) == len(BAD_INPUTS)


@pytest.mark.faults("inputs")
@pytest.mark.parametrize("case", BAD_INPUTS, ids=lambda case: case.what)
def test_bad_input_is_refused(case: BadInput, commands: ForkServer, store: Path, tmp_path: Path, tally: Tally) -> None:
    (tmp_path / ".cache").symlink_to(ROOT / ".cache", target_is_directory=True)  # with the engine, compiled
    case.make(tmp_path)
    if not (tmp_path / "artifacts").exists():  # models that are there are not loaded again
        (tmp_path / "artifacts").symlink_to(store, target_is_directory=True)
    before = tree(tmp_path)
    done = commands.run(*case.command.split(), cwd=tmp_path)
    after = tree(tmp_path)
    found = verdict(case, done, before, after) if not incomplete(store) else "half_written"
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    tally.count(found, f"{case.command}\nexit code {done.code}, changed: {changed}\n{done.stderr or done.stdout}")
