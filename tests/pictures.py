"""Small pictures of a few classes in class folders, easy to tell apart, and options that train on them in seconds."""

import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

Train = Callable[..., Path]  # the command, as the tests of training call it
CLASSES = ("ant", "bee", "cat")
MODEL = ("--model", "timm/vit_tiny_patch16_224", "--weights", "random")
TINY = ("--model-arguments", '{"depth": 2, "patch_size": 8, "embed_dim": 24, "num_heads": 3}', "--image-size", "16")
SHORT = (*MODEL, *TINY, "--batch-size", "8", "--epochs", "2", "--lr", "3e-3")


def make_picture(path: Path, level: int, seed: int, size: tuple[int, int] = (20, 24)) -> None:
    """Write a noisy picture of a mean grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).normal(level, 30, (*size, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def make_classes(folder: Path, count: int, classes: Sequence[str] = CLASSES, seed: int = 0) -> Path:
    """Write class folders of `count` pictures each, and return the folder."""
    for index, name in enumerate(classes):
        for number in range(count):
            make_picture(folder / name / f"{number}.png", 50 + 70 * index, seed + 1000 * index + number)
    return folder


def pack(folder: Path, archive: Path) -> Path:
    """Pack a folder's files into a zip or a tar, by the suffix."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for path in files:
                packed.write(path, path.relative_to(folder))
    else:
        with tarfile.open(archive, "w:gz") as packed_tar:
            for path in files:
                packed_tar.add(path, path.relative_to(folder))
    return archive
