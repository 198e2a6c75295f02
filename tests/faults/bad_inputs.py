"""A table of bad inputs: what is wrong, the command, the files that it is given, and what is to be said of it."""

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from fork_server import ROOT
from pictures import make_classes, make_picture
from safetensors.torch import save, save_file

Make = Callable[[Path], object]
FILE = "input"  # what the commands below call the file, or the folder, that they are given


@dataclass(frozen=True, kw_only=True)
class BadInput:
    """A command in a folder that `make` has filled: exit code `code`, and an error in which `words` are found."""

    what: str
    command: str
    words: str
    make: Make = lambda folder: None
    code: int = 2


def _bytes(data: bytes, name: str = FILE) -> Make:
    return lambda folder: (folder / name).write_bytes(data)


def _text(text: str, name: str = FILE) -> Make:
    return _bytes(text.encode(), name)


def _json(values: Any, name: str = FILE) -> Make:
    return _text(json.dumps(values), name)


def _all(*makers: Make) -> Make:
    return lambda folder: [make(folder) for make in makers]


def _torch(values: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(values, stream)
    return stream.getvalue()


@cache
def _state() -> dict[str, torch.Tensor]:
    module = timm.create_model("vit_tiny_patch16_224", img_size=28, patch_size=7, depth=2, num_classes=10)
    return dict(module.state_dict())


def _checkpoint(folder: Path) -> None:
    """Write a checkpoint that fits: of ten classes, pictures of 28×28."""
    save_file(_state(), folder / "good.safetensors")


class _Code:
    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("open('ran', 'w').close()",)


def _zip(entries: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, data in entries.items():
            packed.writestr(name, data)
    return stream.getvalue()


def _tar(entries: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as packed:
        for name, data in entries.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            packed.addfile(link)
    return stream.getvalue()


def _documents(folder: Path) -> None:
    (folder / "docs").mkdir()
    for name in ("README.md", "docs/results.md", "docs/reproduce.md"):
        (folder / name).write_text((ROOT / name).read_text())
    (folder / ".github").symlink_to(ROOT / ".github", target_is_directory=True)
    (folder / "export").symlink_to(ROOT / "export", target_is_directory=True)


def _png(folder: Path) -> bytes:
    make_picture(folder / "made.png", 100, 0)
    data = (folder / "made.png").read_bytes()
    (folder / "made.png").unlink()
    return data


def _pictures(count: int) -> Make:
    return lambda folder: make_classes(folder / FILE, count)


def _broken_pictures(folder: Path) -> None:
    make_classes(folder / FILE, 12)
    for path in sorted((folder / FILE).rglob("*.png")):
        path.write_bytes(path.read_bytes()[:40])


def _encrypted_zip(folder: Path) -> None:
    data = bytearray(_zip({"ant/1.png": _png(folder)}))
    for start in (data.index(b"PK\x03\x04") + 6, data.index(b"PK\x01\x02") + 8):
        data[start] |= 1  # the flag of an encrypted entry
    (folder / FILE).write_bytes(data)


def _manifest(text: str) -> Make:
    def make(folder: Path) -> None:
        place = folder / "artifacts/fashion/f32/torch"
        place.mkdir(parents=True)
        (place / "artifact.json").write_text(text)
        (place / "spec.json").write_text("{}")

    return make


BUILD = "build --model fashion --engine vit --recipe w8_dynamic"
OWN = "quantize --model timm/vit_tiny_patch16_224 --recipe w8_rtn --checkpoint"
LABELS = f"{OWN} good.safetensors --labels {FILE}"
DATA = f"quantize --model fashion --recipe w8a8_minmax --data {FILE}"
RECIPE = f"quantize --model fashion --recipe {FILE}.json"
TRAIN = "train --model timm/vit_tiny_patch16_224 --weights random --epochs 1 --image-size 16"
LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "ab" * 32 + "\nsize 12345\n"
HTML = "<!doctype html><html><title>Sign in</title><body>Please sign in.</body></html>"

COMMAND_LINES = (
    BadInput(what="unknown command", command="biuld", words="'biuld' is not a command"),
    BadInput(what="a model of no name", command=f"{BUILD} --model=", words="--model is empty"),
    BadInput(what="a page in no folder", command=f"{BUILD} --out=", words="--out is empty"),
    BadInput(what="a page in the root folder", command=f"{BUILD} --out /", words="/ is not empty"),
    BadInput(
        what="a page where nothing can be written", command=f"{BUILD} --out /proc/site", words="/proc/site cannot be"
    ),
    BadInput(
        what="artifacts in a file",
        command=f"{BUILD} --artifacts {FILE}",
        make=_text("artifacts"),
        words=f"--artifacts {FILE} is a file",
    ),
    BadInput(what="unknown model", command="build --model deit_x", words="deit_x"),
    BadInput(what="model that timm lacks", command="build --model timm/no_such_vit --engine vit", words="no_such_vit"),
    BadInput(what="bits out of range", command="build --model fashion --recipe w9a9_gptq", words="w9a9_gptq"),
    BadInput(what="misspelt method", command="build --model fashion --recipe w8a8_gtpq", words="w8a8_gtpq"),
    BadInput(what="unknown engine", command="build --engine vitt", words="unknown engine vitt"),
    BadInput(
        what="engine without the recipe", command="build --engine vit --recipe w8_rtn", words="cannot run the recipe"
    ),
    BadInput(what="memory that is no size", command="build --memory lots", words="is not a size"),
    BadInput(what="too little memory", command="build --memory 1M", words="calibration needs"),
    BadInput(what="unknown device", command="build --device gpu", words="is no device"),
    BadInput(what="absent GPU", command="build --device cuda:7", words="has no such GPU"),
    BadInput(what="mean of bytes", command="build --model fashion --mean 123.7", words="--mean .* out of range"),
    BadInput(what="zero deviation", command="build --model fashion --std 0", words="--std .* out of range"),
    BadInput(what="crop beyond the image", command="build --model fashion --crop-pct 1.5", words="--crop-pct"),
    BadInput(what="image of no size", command="build --model fashion --image-size 0", words="--image-size"),
    BadInput(what="mean of two channels", command="build --model fashion --mean 0.1,0.2", words="three for red"),
    BadInput(what="unknown interpolation", command="build --interpolation cubic", words="invalid choice: 'cubic'"),
    BadInput(
        what="labels for two models",
        command=f"build --model fashion --model photos --labels {FILE}",
        make=_text("a\nb\n"),
        words="applies to one model",
    ),
    BadInput(
        what="checkpoint and pretrained weights",
        command=f"build --model deit_t --weights pretrained --checkpoint {FILE}",
        make=_text("x"),
        words="mutually exclusive",
    ),
    BadInput(what="absent checkpoint", command="build --model deit_t --checkpoint nothing.pt", words="does not exist"),
    BadInput(what="absent labels", command="build --model fashion --labels nothing.txt", words="no such file"),
    BadInput(what="absent data", command="build --model fashion --data nothing", words="no such folder"),
    BadInput(what="absent confidence", command="build --model fashion --confidence nothing", words="no such file"),
    BadInput(what="output that is a file", command=f"{BUILD} --out {FILE}", make=_text("mine"), words="is a file"),
    BadInput(
        what="output with a person's files",
        command=f"{BUILD} --out mine",
        make=lambda folder: ((folder / "mine").mkdir(), (folder / "mine/thesis.txt").write_text("all of it")),
        words="not empty and was not made by this command",
    ),
    BadInput(what="no recipe", command="quantize --model fashion", words="--recipe --method is required"),
    BadInput(
        what="unknown suffix",
        command="quantize --model fashion --recipe w8_rtn --out model.txt",
        words="known suffixes",
    ),
    BadInput(
        what="storage instead of a recipe", command="quantize --model fashion --recipe f16", words="does not quantize"
    ),
    BadInput(
        what="bits twice", command="quantize --model fashion --recipe w8_rtn --weights-bits 4", words="already sets"
    ),
    BadInput(what="nine bits", command="quantize --model fashion --method gptq --weights-bits 9", words="9"),
    BadInput(what="malformed rule", command="quantize --model fashion --recipe w8_rtn --rule head", words="malformed"),
    BadInput(
        what="rule that matches nothing", command="quantize --model fashion --recipe w8_rtn --rule haed=4", words="haed"
    ),
    BadInput(
        what="range of words",
        command="quantize --model fashion --recipe w8a8_ptq4vit --search-range low,high",
        words="two numbers",
    ),
    BadInput(
        what="percentile above 100",
        command="quantize --model fashion --recipe w8a8_percentile --percentile 200",
        words="--percentile 200",
    ),
    BadInput(
        what="no calibration images", command="quantize --model fashion --recipe w8a8_gptq --calibration 0", words="0"
    ),
    BadInput(
        what="evaluating storage", command="evaluate --model fashion --recipe u8", words="not a recipe that quant"
    ),
    BadInput(what="nothing to serve", command="serve --site nothing", words="is not a folder"),
    BadInput(what="port out of range", command="serve --port 99999", words="between 0 and 65535|nothing to serve"),
    BadInput(what="nothing to measure", command="measure --site nothing", words="contains no built page"),
    BadInput(what="unknown case", command="measure --builds --case nothing", words="there is none"),
    BadInput(what="no threads", command="measure --threads 0", words="positive whole numbers"),
    BadInput(what="accuracy without images", command="measure --keep-accuracy", words="pass --data DIR"),
    BadInput(what="absent document", command="readme --readme nothing.md", words="does not exist"),
    BadInput(what="absent pictures", command="train --data nothing", words="no such folder or file"),
    BadInput(
        what="catalog model on Fashion-MNIST", command="train --model deit_t", words="not trained on Fashion-MNIST"
    ),
    BadInput(what="phase of no epochs", command="train --phases 0:0.5", words="at least one epoch"),
    BadInput(what="phase of words", command="train --phases many", words="--phases"),
    BadInput(what="stop after the end", command="train --stop-after 99", words="--stop-after 99"),
    BadInput(what="QAT by a method of calibration", command="train --qat w4a4_gptq", words="not a training recipe"),
    BadInput(what="unknown data set", command="data get cifar11", words="cifar11"),
)

CHECKPOINTS = (
    BadInput(what="empty checkpoint", command=f"{OWN} {FILE}", make=_bytes(b""), words="empty|0 bytes"),
    BadInput(what="text as checkpoint", command=f"{OWN} {FILE}", make=_text("weights, please"), words=FILE),
    BadInput(what="web page as checkpoint", command=f"{OWN} {FILE}", make=_text(HTML), words="(?i)html|web page"),
    BadInput(what="LFS pointer as checkpoint", command=f"{OWN} {FILE}", make=_text(LFS), words="git lfs pull"),
    BadInput(what="folder as checkpoint", command=f"{OWN} .", words="is a folder"),
    BadInput(
        what="picture as checkpoint",
        command=f"{OWN} {FILE}",
        make=lambda folder: (folder / FILE).write_bytes(_png(folder)),
        words=FILE,
    ),
    BadInput(what="zip without tensors", command=f"{OWN} {FILE}", make=_bytes(_zip({"a.txt": b"a"})), words=FILE),
    BadInput(
        what="safetensors cut in its tensors",
        command=f"{OWN} {FILE}.safetensors",
        make=lambda folder: (folder / f"{FILE}.safetensors").write_bytes(save(_state())[:-1000]),
        words="incomplete|cut|truncated|download",
    ),
    BadInput(
        what="safetensors cut in its header",
        command=f"{OWN} {FILE}.safetensors",
        make=lambda folder: (folder / f"{FILE}.safetensors").write_bytes(save(_state())[:100]),
        words=f"{FILE}.safetensors",
    ),
    BadInput(
        what="safetensors with an endless header",
        command=f"{OWN} {FILE}.safetensors",
        make=_bytes(struct.pack("<Q", 2**62) + b'{"a":1}', f"{FILE}.safetensors"),
        words=f"{FILE}.safetensors",
    ),
    BadInput(
        what="PyTorch file cut in half",
        command=f"{OWN} {FILE}.pt",
        make=lambda folder: (folder / f"{FILE}.pt").write_bytes(_torch(_state())[:200_000]),
        words="incomplete|cut|truncated|download|damaged",
    ),
    BadInput(
        what="pickle with code",
        command=f"{OWN} {FILE}.pt",
        make=lambda folder: (folder / f"{FILE}.pt").write_bytes(_torch({"model": _state(), "hook": _Code()})),
        words="execute code: builtins.exec",
    ),
    BadInput(
        what="plain pickle", command=f"{OWN} {FILE}.pkl", make=_bytes(pickle.dumps([1, 2]), f"{FILE}.pkl"), words=FILE
    ),
    BadInput(
        what="checkpoint without tensors",
        command=f"{OWN} {FILE}.pt",
        make=lambda folder: (folder / f"{FILE}.pt").write_bytes(_torch({"epoch": 3})),
        words="tensors",
    ),
    BadInput(
        what="checkpoint of another network",
        command=f"{OWN} {FILE}.pt",
        make=lambda folder: (folder / f"{FILE}.pt").write_bytes(_torch({"conv.weight": torch.ones(8, 3, 3, 3)})),
        words="conv.weight|does not fit|missing",
    ),
    BadInput(
        what="checkpoint with a layer missing",
        command=f"{OWN} {FILE}.pt",
        make=lambda folder: (folder / f"{FILE}.pt").write_bytes(
            _torch({name: value for name, value in _state().items() if "blocks.1.mlp.fc2" not in name})
        ),
        words="blocks.1.mlp.fc2",
    ),
    BadInput(
        what="checkpoint of integers",
        command=f"{OWN} {FILE}.pt",
        make=lambda folder: (folder / f"{FILE}.pt").write_bytes(
            _torch({name: torch.ones_like(value, dtype=torch.int32) for name, value in _state().items()})
        ),
        words=".",
    ),
    BadInput(
        what="weights that are NaN",
        command=f"{OWN} {FILE}.pt",
        make=lambda folder: (folder / f"{FILE}.pt").write_bytes(
            _torch({name: torch.full_like(value, float("nan")) for name, value in _state().items()})
        ),
        words="NaN|finite",
    ),
)

LABEL_FILES = (
    BadInput(what="too few labels", command=LABELS, make=_all(_checkpoint, _text("a\nb\n")), words="2 .*10|10 .*2"),
    BadInput(
        what="too many labels",
        command=LABELS,
        make=_all(_checkpoint, _text("\n".join(map(str, "abcdefghijkl")))),
        words="12 .*10|10 .*12",
    ),
    BadInput(what="empty labels", command=LABELS, make=_all(_checkpoint, _bytes(b"")), words=FILE),
    BadInput(
        what="labels with a hole",
        command=LABELS,
        make=_all(_checkpoint, _json({str(index + (index > 4)): f"c{index}" for index in range(10)})),
        words=FILE,
    ),
    BadInput(
        what="an index twice",
        command=LABELS,
        make=_all(_checkpoint, _text("\n".join(f"{max(index, 1)} c{index}" for index in range(10)))),
        words=FILE,
    ),
    BadInput(
        what="JSON without labels", command=LABELS, make=_all(_checkpoint, _json({"model": "x"})), words="model|keys"
    ),
    BadInput(what="cut JSON labels", command=LABELS, make=_all(_checkpoint, _text('["a", "b"')), words=FILE),
    BadInput(
        what="binary labels",
        command=LABELS,
        make=_all(_checkpoint, _bytes(np.random.default_rng(0).bytes(4000))),
        words=FILE,
    ),
    BadInput(what="LFS pointer as labels", command=LABELS, make=_all(_checkpoint, _text(LFS)), words="git lfs pull"),
    BadInput(
        what="labels of an embedding",
        command=f"quantize --model dino_vits16 --weights random --recipe w8_rtn --labels {FILE}",
        make=_text("a\n"),
        words="no classes|dino_vits16",
    ),
)

DATA_SETS = (
    BadInput(
        what="data without pictures",
        command=DATA,
        make=lambda folder: ((folder / FILE).mkdir(), (folder / FILE / "notes.txt").write_text("none")),
        words="no (images|pictures)|contains no",
    ),
    BadInput(what="text as data", command=DATA, make=_text("pictures"), words=FILE),
    BadInput(what="web page as data", command=DATA, make=_text(HTML), words=FILE),
    BadInput(what="LFS pointer as data", command=DATA, make=_text(LFS), words="git lfs pull"),
    BadInput(
        what="zip cut in half",
        command=f"{DATA}.zip",
        make=lambda folder: (folder / f"{FILE}.zip").write_bytes(_zip({"a/1.png": _png(folder)})[:100]),
        words=f"{FILE}.zip",
    ),
    BadInput(
        what="tar cut in half",
        command=f"{DATA}.tar",
        make=lambda folder: (folder / f"{FILE}.tar").write_bytes(_tar({"a/1.png": _png(folder)})[:700]),
        words=f"{FILE}.tar",
    ),
    BadInput(
        what="zip that leads out, onto another picture",
        command=f"{DATA}.zip",
        make=lambda folder: (folder / f"{FILE}.zip").write_bytes(
            _zip({"../../out.png": _png(folder), "out.png": _png(folder)})
        ),
        words=r"the entry \.\./\.\./out.png, which leads out of it",
    ),
    BadInput(
        what="tar of links that lead out",
        command=f"{DATA}.tar",
        make=lambda folder: (folder / f"{FILE}.tar").write_bytes(_tar({}, {"a/1.png": "/etc/passwd"})),
        words=f"{FILE}.tar",
    ),
    BadInput(what="encrypted zip", command=DATA, make=_encrypted_zip, words="encrypted|password"),
    BadInput(what="pictures that cannot be read", command=DATA, make=_broken_pictures, words=r"\.png"),
    BadInput(
        what="training on one class",
        command=f"{TRAIN} --data {FILE}",
        make=lambda folder: make_classes(folder / FILE, 8, classes=("ant",)),
        words="class",
    ),
    BadInput(what="training on one picture a class", command=f"{TRAIN} --data {FILE}", make=_pictures(1), words="."),
    BadInput(
        what="training without class folders",
        command=f"{TRAIN} --data {FILE}",
        make=lambda folder: make_picture(folder / FILE / "1.png", 100, 0),
        words="class",
    ),
    BadInput(what="rate that is none", command=f"{TRAIN} --data {FILE} --lr nan", make=_pictures(8), words="--lr nan"),
    BadInput(
        what="resuming nothing", command=f"{TRAIN} --data {FILE} --resume", make=_pictures(8), words="no checkpoint"
    ),
    BadInput(
        what="image size that patches do not divide",
        command=f"{TRAIN} --data {FILE} --image-size 20",
        make=_pictures(8),
        words="not a multiple",
    ),
)

RECORDS = (
    BadInput(what="absent recipe file", command=RECIPE, words=f"{FILE}.json"),
    BadInput(what="recipe that is no JSON", command=RECIPE, make=_text("{", f"{FILE}.json"), words="not JSON"),
    BadInput(what="recipe that is a list", command=RECIPE, make=_json([1], f"{FILE}.json"), words=f"{FILE}.json"),
    BadInput(
        what="recipe with an unknown key",
        command=RECIPE,
        make=_json({"name": "mine", "colour": "red"}, f"{FILE}.json"),
        words="colour|name",
    ),
    BadInput(
        what="recipe with a misspelt value",
        command=RECIPE,
        make=_json({"method": {"name": "m", "fold": "layernrom"}}, f"{FILE}.json"),
        words="layernrom|missing|method",
    ),
    BadInput(
        what="manifest that is no JSON",
        command=BUILD,
        make=_manifest("{"),
        words="artifact.json cannot be read",
        code=1,
    ),
    BadInput(
        what="manifest with an unknown key",
        command=BUILD,
        make=_manifest('{"schema_version": 2, "colour": 1}'),
        words="artifact.json cannot be read",
        code=1,
    ),
    BadInput(
        what="measurements that are none",
        command=f"{BUILD} --measurements {FILE}",
        make=_json({"schema_version": 1, "rows": []}),
        words=f"{FILE} is not",
    ),
    BadInput(
        what="benchmark that is none", command=f"{BUILD} --benchmark {FILE}", make=_text("{}"), words=f"{FILE} is not"
    ),
    BadInput(what="confidence that is none", command=f"{BUILD} --confidence {FILE}", make=_json([0.5]), words=FILE),
    BadInput(
        what="build times that are none",
        command=f"readme --builds {FILE}",
        make=_all(_documents, _text("[]")),
        words=FILE,
    ),
    BadInput(
        what="faults that are none", command=f"readme --faults {FILE}", make=_all(_documents, _text("[]")), words=FILE
    ),
    BadInput(
        what="an analysis that is none",
        command=f"readme --analysis {FILE}",
        make=_all(_documents, _text("{}")),
        words="is not an analysis",
    ),
)

BAD_INPUTS = (*COMMAND_LINES, *CHECKPOINTS, *LABEL_FILES, *DATA_SETS, *RECORDS)
