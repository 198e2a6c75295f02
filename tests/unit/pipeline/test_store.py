"""Artifacts are whole or not there: failures, damage and a full disk leave what was."""

import gzip
import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from export.core.errors import ArtifactError
from export.core.files import hash_json, replacing_folder, write_atomically
from export.core.records import ParentArtifact, Verification
from export.pipeline.store import MANIFEST, Made, Plan, Store

ROOT = Path(__file__).parents[3]
PLAN = Plan(
    model="deit_t",
    recipe="u8",
    format="tfjs",
    key="first",
    parents=(ParentArtifact(format="tf", recipe="f32", sha256="p"),),
    storage_dtype="uint8",
    tools={"tool": "1"},
)
VERIFICATION = Verification(
    edge="u8", parent="tf", n=8, max_abs_diff=0.1, sqnr_db=30.0, top1_agreement=1.0, bound_sqnr_db=15.0
)


def make(folder: Path) -> Made:
    (folder / "shards").mkdir()
    (folder / "shards/a.bin").write_bytes(bytes(1000))
    (folder / "model.json").write_text("{}")
    return Made(VERIFICATION)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "artifacts")
    store.write(PLAN, make)
    return store


def everything(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_written_artifact_is_found_as_it_was_described(store: Store) -> None:
    found = store.find("deit_t", "u8", "tfjs", "first")
    assert found is not None and found.verification == VERIFICATION
    assert [file.path for file in found.files] == ["model.json", "shards/a.bin"]
    shard = found.files[1]
    assert shard.bytes == 1000 and shard.gzip_bytes == len(gzip.compress(bytes(1000), 9, mtime=0))
    assert shard.sha256 == hashlib.sha256(bytes(1000)).hexdigest()
    assert found.bytes == 1002 and found.gzip_bytes == sum(file.gzip_bytes for file in found.files)
    assert found.sha256 == hash_json([[file.path, file.sha256] for file in found.files])


def test_how_small_files_are_when_packed_is_only_known_of_published_ones(tmp_path: Path) -> None:
    store = Store(tmp_path)
    unpublished, published = (store.write(PLAN, make, published=published) for published in (False, True))
    assert unpublished.gzip_bytes == 0 < published.gzip_bytes
    assert (unpublished.sha256, unpublished.bytes) == (published.sha256, published.bytes)


def test_the_same_files_give_the_same_bytes(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other")
    other.write(PLAN, make)
    assert everything(other.root) == everything(store.root)


def test_another_key_or_place_is_not_found(store: Store) -> None:
    assert store.find("deit_t", "u8", "tfjs", "second") is None
    assert store.find("deit_t", "f16", "tfjs", "first") is None


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_damage_is_noticed(store: Store, damage: str) -> None:
    path = store.folder("deit_t", "u8", "tfjs") / "shards/a.bin"
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    if damage == "delete":
        path.unlink()
    else:
        path.write_bytes(data if damage == "flip" else data[:999])
    assert store.find("deit_t", "u8", "tfjs", "first") is None


def test_a_figure_that_was_altered_is_noticed(store: Store) -> None:
    manifest = store.folder("deit_t", "u8", "tfjs") / MANIFEST
    text = manifest.read_text()
    assert '"sqnr_db": 30.0' in text
    manifest.write_text(text.replace('"sqnr_db": 30.0', '"sqnr_db": 38.0'))
    with pytest.raises(ArtifactError, match="its values are not those that were written") as refused:
        store.read("deit_t", "u8", "tfjs")
    assert "build again" in refused.value.hint


def test_a_broken_manifest_is_an_error_and_another_version_is_made_anew(store: Store) -> None:
    manifest = store.folder("deit_t", "u8", "tfjs") / MANIFEST
    values = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**values, "schema_version": 0}))
    assert store.find("deit_t", "u8", "tfjs", "first") is None
    manifest.write_text(json.dumps({**values, "colour": 1}))
    with pytest.raises(ArtifactError, match="colour"):
        store.read("deit_t", "u8", "tfjs")
    manifest.write_text("{")
    with pytest.raises(ArtifactError, match="not JSON"):
        store.read("deit_t", "u8", "tfjs")


@pytest.mark.parametrize("error", [RuntimeError("converter died"), KeyboardInterrupt()], ids=lambda e: type(e).__name__)
def test_a_failing_make_leaves_the_old_artifact_and_nothing_else(store: Store, error: BaseException) -> None:
    before = everything(store.root)

    def fail(folder: Path) -> None:
        (folder / "half.bin").write_bytes(b"half")
        raise error

    with pytest.raises(type(error)):
        store.write(replace(PLAN, key="second"), fail)
    assert everything(store.root) == before
    assert [path.name for path in store.root.rglob(".*")] == []


def test_an_empty_folder_is_no_artifact(store: Store) -> None:
    before = everything(store.root)
    with pytest.raises(ArtifactError, match="left no files"):
        store.write(replace(PLAN, key="second"), lambda folder: Made())
    assert everything(store.root) == before


def test_a_new_artifact_replaces_all_of_the_old_one(store: Store) -> None:
    store.write(replace(PLAN, key="second"), lambda folder: Made() if (folder / "only.bin").write_bytes(b"1") else None)
    assert sorted(everything(store.folder("deit_t", "u8", "tfjs"))) == [MANIFEST, "only.bin"]


def test_a_folder_is_replaced_by_rename_and_readable_by_all(tmp_path: Path) -> None:
    target = tmp_path / "page"
    for text in ("old", "new"):
        with replacing_folder(target) as folder:
            (folder / "index.html").write_text(text)
    assert everything(tmp_path) == {"page/index.html": b"new"}
    assert target.stat().st_mode & 0o777 == 0o755


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/file.json"
    write_atomically(path, b"first")
    write_atomically(path, b"second")
    assert everything(tmp_path) == {"deep/er/file.json": b"second"}
    assert path.stat().st_mode & 0o777 == 0o644


KILLED = """
import os, signal, sys
from pathlib import Path
from export.core.files import replacing_folder

with replacing_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("half")
    if sys.argv[2] == "set aside":
        Path.rename, rename = lambda path, to: (rename(path, to), os.kill(os.getpid(), signal.SIGKILL)), Path.rename
    else:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("when", ["while filling", "set aside"])
def test_what_a_killed_process_leaves_is_cleared_up(when: str, tmp_path: Path) -> None:
    target = tmp_path / "page"
    with replacing_folder(target) as folder:
        (folder / "index.html").write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(target), when], cwd=ROOT, check=False)
    assert done.returncode == -9 and any(path.name.startswith(".page.") for path in tmp_path.iterdir())
    with pytest.raises(RuntimeError), replacing_folder(target):
        raise RuntimeError("another failure")
    assert everything(tmp_path) == {"page/index.html": b"old"}


def test_what_a_running_process_is_writing_stays(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with replacing_folder(target) as folder:
        (folder / "a").write_text("first")
        write_atomically(target, b"second")
        assert (folder / "a").read_text() == "first"
        target.unlink()
    assert everything(tmp_path) == {"file/a": b"first"}


# Files may grow to 64 KB and no further: what a process meets on a full disk, by the system's own hand.
FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from export.core.console import run
from export.pipeline.store import Store
from export.core.files import write_atomically
from tests.unit.pipeline.test_store import PLAN
from dataclasses import replace

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
root = Path(sys.argv[1])
if sys.argv[2] == "store":
    plan = replace(PLAN, key="second")
    run(lambda argv: Store(root).write(plan, lambda folder: (folder / "a").write_bytes(bytes(10**6))))
else:
    run(lambda argv: write_atomically(root / "deit_t/file.json", bytes(10**6)))
"""


@pytest.mark.parametrize("way", ["store", "file"])
def test_a_full_disk_leaves_what_was_and_is_said(store: Store, way: str) -> None:
    write_atomically(store.root / "deit_t/file.json", b"old")
    before = everything(store.root)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(store.root), way], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1, done.stderr
    assert "File too large" in done.stderr and "disk space" in done.stderr and "Traceback" not in done.stderr
    assert everything(store.root) == before
