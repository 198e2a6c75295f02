"""Training at the scale of seconds: its options, its parts, and going on after an interruption."""

import argparse
import gzip
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.data.random_erasing import RandomErasing

from export.core.errors import RequestError
from export.data.fashion import MEAN, STD, LabelledImages, read_full, read_idx, write_embedded
from export.quantization.training.float_training import (
    PATCHES,
    PatchSubset,
    Training,
    TrainOptions,
    augment,
    batches,
    normalise,
)
from export.train import parse_phases

CPU = torch.device("cpu")
OPTIONS = TrainOptions(
    phases=((1, 0.75), (2, 0.0)),
    batch_size=4,
    lr=1e-3,
    weight_decay=0.05,
    warmup_epochs=0.5,
    erase_prob=0.5,
    smoothing=0.1,
    ema_decay=0.9,
    seed=0,
)


def images(count: int) -> LabelledImages:
    random = np.random.default_rng(0)
    return LabelledImages(random.integers(0, 256, (count, 28, 28), np.uint8), random.integers(0, 10, count, np.uint8))


def test_phases_are_parsed_and_looked_up() -> None:
    assert parse_phases("8:0.75,2:0") == ((8, 0.75), (2, 0.0))
    assert OPTIONS.epochs == 3
    assert [OPTIONS.patch_drop(epoch) for epoch in range(3)] == [0.75, 0.0, 0.0]
    with pytest.raises(RequestError, match="after the last phase"):
        OPTIONS.patch_drop(3)


@pytest.mark.parametrize("text", ["0:0.5", "8:1", "8:-0.1", "8", "", "x:0", "8:0.5,"])
def test_phases_that_mean_nothing_are_refused(text: str) -> None:
    with pytest.raises((argparse.ArgumentTypeError, ValueError)):
        parse_phases(text)


def test_a_subset_keeps_the_class_token_and_whole_patches() -> None:
    subset = PatchSubset()
    subset.drop(0.75)
    tokens = torch.arange(2 * (PATCHES + 1) * 3).reshape(2, PATCHES + 1, 3).float()
    kept = subset.train()(tokens)
    assert kept.shape == (2, 1 + round(PATCHES / 4), 3)
    assert torch.equal(kept[:, 0], tokens[:, 0])
    for image, original in zip(kept, tokens, strict=True):
        rows = {tuple(row.tolist()) for row in original[1:]}
        assert len({tuple(row.tolist()) for row in image[1:]} & rows) == len(image) - 1
    assert torch.equal(subset.eval()(tokens), tokens)
    subset.drop(0.0)
    assert torch.equal(subset.train()(tokens), tokens)


def test_augmentation_flips_and_shifts_and_no_more() -> None:
    torch.manual_seed(0)
    pixels = torch.from_numpy(images(64).images.copy())
    never = RandomErasing(probability=0.0, device="cpu")
    found = augment(pixels, never)
    assert found.shape == (64, 3, 28, 28) and found.dtype == torch.float32
    assert torch.equal(found[:, 0], found[:, 1]) and torch.equal(found[:, 0], found[:, 2])
    grey = (found[:, 0] * STD + MEAN) * 255
    seen = set()
    for single, original in zip(grey, pixels.float(), strict=True):
        matches = [
            (flip, row, column)
            for flip in (False, True)
            for row in range(-2, 3)
            for column in range(-2, 3)
            if torch.allclose(single[4:24, 4:24], _moved(original, flip, row, column)[4:24, 4:24], atol=0.01)
        ]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) > 20


def _moved(image: torch.Tensor, flip: bool, row: int, column: int) -> torch.Tensor:
    return (image.flip(1) if flip else image).roll((row, column), (0, 1))


def test_normalised_training_images_have_mean_0_and_deviation_1() -> None:
    level = torch.full((1, 28, 28), round(255 * (MEAN + STD)), dtype=torch.uint8)
    assert normalise(level).mean().item() == pytest.approx(1.0, abs=0.01)


def test_batches_are_full_shuffled_and_seeded() -> None:
    data = images(10)
    first, again = ([labels for _, labels in batches(data, 4, torch.Generator().manual_seed(1))] for _ in range(2))
    assert [len(labels) for labels in first] == [4, 4]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def weights(training: Training) -> dict[str, torch.Tensor]:
    both = {**training.model.state_dict(), **{f"ema.{name}": v for name, v in training.ema.module.state_dict().items()}}
    return {name: value.clone() for name, value in both.items()}


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # on a busy machine the threads of so small a model wait for one another
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_a_resumed_run_repeats_an_uninterrupted_one(tmp_path: Path) -> None:
    data, checkpoint = images(8), tmp_path / "checkpoint.pt"
    whole = Training(OPTIONS, 2, CPU)
    start = weights(whole)
    losses = [whole.run_epoch(data)]
    whole.save(checkpoint)
    assert not checkpoint.with_suffix(".partial").exists()
    losses.append(whole.run_epoch(data))

    resumed = Training(OPTIONS, 2, CPU)
    resumed.load(checkpoint)
    assert resumed.epoch == 1
    assert resumed.run_epoch(data) == losses[1]
    expected, found = weights(whole), weights(resumed)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert any(not torch.equal(expected[name], start[name]) for name in start)

    with pytest.raises(RequestError, match="made with other options"):
        Training(replace(OPTIONS, lr=2e-3), 2, CPU).load(checkpoint)


def write_idx(path: Path, values: np.ndarray) -> Path:
    raw = b"\0\0\x08" + bytes([values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape) + values.tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.mark.parametrize("name", ["a-ubyte", "a-ubyte.gz"])
def test_idx_files_are_read(tmp_path: Path, name: str) -> None:
    values = images(3).images
    assert np.array_equal(read_idx(write_idx(tmp_path / name, values)), values)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "not an IDX file"),
        (b"\0\0\x0d\x01\0\0\0\x01\0", "not an IDX file of unsigned bytes"),
        (b"<html>", "not an IDX file"),
        (b"\0\0\x08\x01\0\0\0\x05abc", r"truncated: its header declares \(5,\), but it has 3 bytes"),
    ],
)
def test_what_is_no_idx_file_is_refused(tmp_path: Path, raw: bytes, words: str) -> None:
    (tmp_path / "a-ubyte").write_bytes(raw)
    with pytest.raises(RequestError, match=words):
        read_idx(tmp_path / "a-ubyte")


def test_the_full_set_is_read_from_a_folder_or_refused(tmp_path: Path) -> None:
    data = images(5)
    write_idx(tmp_path / "train-images-idx3-ubyte.gz", data.images)
    with pytest.raises(RequestError, match="train-labels-idx1-ubyte"):
        read_full("train", tmp_path, tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte", data.labels)
    found = read_full("train", tmp_path, tmp_path)
    assert np.array_equal(found.images, data.images) and np.array_equal(found.labels, data.labels)
    with pytest.raises(RequestError, match="is not a folder"):
        read_full("train", tmp_path / "none", tmp_path)


def test_the_embedded_sets_are_reproducible_and_lossless(tmp_path: Path) -> None:
    train, test = images(600), images(7)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_embedded(train, test, tmp_path / folder)
    for split in ("test", "calibration"):
        name = f"fashion_{split}.npz"
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    with np.load(tmp_path / "a/fashion_test.npz") as arrays:
        assert np.array_equal(arrays["images"], test.images)
    with np.load(tmp_path / "a/fashion_calibration.npz") as arrays:
        assert arrays["images"].shape == (512, 28, 28)
