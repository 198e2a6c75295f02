"""Every command of docs/reproduce.md runs: as it stands there, on tiny models of those names and a few pictures."""

import gzip
import hashlib
import importlib
import io
import pickle
import re
import shlex
import struct
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import make_classes
from sharing import SHARED, share_bundle
from tiny_catalog import CLASSES, RESNET, SWIN, VIT

from export.data.public.sets import SETS
from export.measuring.browser.server import serving
from export.models.catalog import MODELS
from export.page.reports.reproduction.capabilities import CAPABILITIES
from export.page.reports.reproduction.commands import LEARNED, MIXED, TRAINED
from export.page.reports.reproduction.projects import PROJECTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
DOCUMENT = (ROOT / "docs/reproduce.md").read_text()
COMMANDS = list(dict.fromkeys(command for one in CAPABILITIES for command in one.commands))
# What the test adds or makes smaller; everything else is as on the page.
ADDED = {
    "compare": "--weights random --workers 0 --limit 6 --images 4 --candidates 3 --rounds 1",
    "quantize": "--weights random --calibration 4 --candidates 3",
    "build": "--weights random --recipe w8a8_minmax",
    "train": "--batch-size 4",
    "data": "",
    "analyze": "--weights random --limit 6",
}
SMALLER = {"32,128": "3,4", "0,1,2": "0,1", TRAINED: "w4a4_affine_qat,w4a4_lsq", LEARNED: "w4a4_lsq"}


def test_the_page_has_every_capability_of_every_project() -> None:
    assert [one.number for one in CAPABILITIES] == list(range(1, 35))
    assert {project for one in CAPABILITIES for project in one.projects} == set(PROJECTS)
    rows = re.findall(r"^\| (\d+) \| ([^|]+) \|", DOCUMENT, re.MULTILINE)
    assert [(int(number), projects) for number, projects in rows] == [
        (one.number, ", ".join(one.projects)) for one in CAPABILITIES
    ]
    assert all(f"`{command}`" in DOCUMENT for command in COMMANDS)


def fashion(folder: Path) -> Path:
    """Write the four files of Fashion-MNIST with a few pictures."""
    folder.mkdir()
    random = np.random.default_rng(0)
    arrays = {
        "images-idx3": random.integers(0, 256, (40, 28, 28), np.uint8),
        "labels-idx1": np.arange(40, dtype=np.uint8) % 10,
    }
    for split in ("train", "t10k"):
        for kind, values in arrays.items():
            head = b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
            (folder / f"{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(head + values.tobytes()))
    return folder


def cifar() -> bytes:
    """Return an archive in CIFAR-10's form with a few pictures."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 3072), np.uint8)
    batch = {b"data": pixels, b"labels": [0, 1, 2, 0, 1, 2, 0, 1]}
    files = {f"data_batch_{number}": batch for number in range(1, 6)} | {"test_batch": batch}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as packed:
        for name, values in {**files, "batches.meta": {b"label_names": [b"cat", b"dog", b"ship"]}}.items():
            data = pickle.dumps(values, protocol=3)
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def shortened(command: str, data: Path) -> tuple[str, list[str]]:
    """Return the command's module and its options: of several models the first, and a Swin; and what `ADDED` has."""
    words = shlex.split(command)
    assert words[:2] == ["python", "-m"]
    name, options = words[2].removeprefix("export."), [SMALLER.get(word, word) for word in words[3:]]
    if "--model" in options:
        place = options.index("--model") + 1
        models = options[place].split(",")
        options[place] = ",".join([models[0], *(name for name in models[-1:] if name.startswith("swin"))])
    if "--redraw" in options or "--bitwidths" in options:
        return name, options
    added = shlex.split(ADDED[name])
    if "--images" in options:
        added = [word for pair in zip(added[::2], added[1::2], strict=True) if pair[0] != "--images" for word in pair]
    if "--ablation" in options:
        added += ["--bits", "6"]
    if name == "train" and "--data" not in options:
        added += ["--data", str(data)]
    if name == "train":
        added += ["--epochs", "0.5"] if "--qat" in options else ["--epochs", "1"] if "--image-size" in options else []
    return name, options + added


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_models: Callable[..., None]) -> Path:
    """A folder with pictures where the page's commands have theirs, and tiny models under their models' names."""
    for folder in ("imagenet/val", "imagenet/train", "tiny-imagenet-200/val"):
        make_classes(tmp_path / folder, 4, CLASSES)
    for name in MODELS:
        if name != "fashion":
            kind = SWIN if name.startswith("swin") else VIT
            tiny_models(name, kind, classes=0 if name == "dino_s" else 3)
    tiny_models("resnet18", RESNET, classes=None)  # as many as the pictures have
    tiny_models(MIXED, (VIT[0], VIT[1] | {"depth": 6}))  # its page names the fifth and sixth block
    monkeypatch.setitem(MODELS, MIXED, replace(MODELS[MIXED], name="google-vit-base-patch16-224"))
    (tmp_path / ".cache").mkdir()
    share_bundle()
    for shared in ("engine", "bundle"):  # made once for all tests
        (tmp_path / ".cache" / shared).symlink_to(SHARED.parent / shared)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_command_of_the_page_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archives = {"cifar10": cifar(), "tiny-imagenet": b"PK\x05\x06" + bytes(18)}
    served = place / "served"
    served.mkdir()
    (served / "index.html").touch()
    for name, content in archives.items():
        (served / SETS[name].archive).write_bytes(content)
    data = fashion(place / "fashion")
    with serving(served) as url:
        for name, content in archives.items():
            address = f"{url}{SETS[name].archive}"
            monkeypatch.setitem(SETS, name, replace(SETS[name], url=address, md5=hashlib.md5(content).hexdigest()))
        for command in COMMANDS:
            name, options = shortened(command, data)
            module = importlib.import_module(f"export.{name}")
            if not hasattr(module, "main"):
                module = importlib.import_module(f"export.{name}.__main__")
            try:
                module.main(options)
            except Exception as error:
                raise AssertionError(f"{command}\n{error}") from error
    made = ("deit_s.safetensors", "resnet18.onnx", "_site/index.html", "cifar10-bits/table.json")
    made += ("artifacts/compare/comparison.md", "artifacts/compare/convergence.svg")
    assert all((place / path).is_file() for path in made)
