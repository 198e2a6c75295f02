"""The reference images that travel with a model: small, the same each time, with the float model's outputs."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace
from tiny import tiny
from torch import Tensor, nn

from export.core.errors import VerificationError
from export.core.records import ModelSpec
from export.data.preprocess import preprocess
from export.models.choice.request import ModelRequest
from export.models.load import load
from export.pipeline.formats import FORMATS
from export.pipeline.reference_images import MOST_BYTES, read_reference, reference_images, write_reference
from export.pipeline.runtimes import ENGINES


class Outputs(nn.Module):
    """A model with as many outputs as asked for: the image's pixels, weighted."""

    def __init__(self, outputs: int, factor: float = 1.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = factor * torch.randn(outputs, 3 * 28 * 28, generator=generator) / 28

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels.flatten(1) @ self.weight.T


def spec() -> ModelSpec:
    made: ModelSpec = tiny("vit")[0]
    return made


@pytest.mark.parametrize("outputs", [4, 384, 1000, 1001, 21_843])
def test_file_is_small_and_holds_the_float_models_outputs(outputs: int, tmp_path: Path) -> None:
    path, module = tmp_path / "selftest.safetensors", Outputs(outputs)
    write_reference(spec(), module, path)
    assert path.stat().st_size <= MOST_BYTES == 20_000
    reference = read_reference(path)
    assert reference.images.shape == (8, 12, 12, 3) and reference.images.dtype == np.uint8
    with torch.no_grad():
        inputs = np.stack([preprocess(image, spec().preprocess) for image in reference.images])
        found = module(torch.from_numpy(inputs)).numpy()
    np.testing.assert_array_equal(reference.inputs(spec()), inputs)
    assert np.abs(found[:, reference.outputs] - reference.logits).max() < 0.01
    kept = len(reference.outputs)
    assert kept == outputs if outputs <= 1000 else 740 < kept <= 750
    result = reference.compare(found)
    assert result.max_abs_diff < 0.01 and all(result.agrees)  # each image's largest output is kept


def test_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_reference(spec(), Outputs(1500), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_images_differ_and_are_coloured() -> None:
    images = reference_images(spec()).astype(float)
    assert all(np.abs(images[i] - images[j]).mean() > 10 for i in range(8) for j in range(i))
    assert np.abs(images[..., 0] - images[..., 2]).mean() > 10


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ModelSpec, nn.Module, Path]]:
    path = tmp_path_factory.mktemp("fashion") / "selftest.safetensors"
    made, module = load(ModelRequest(model="fashion"))
    write_reference(made, module, path)
    yield made, module, path


def test_embedded_models_images_are_real_and_of_eight_classes(fashion: tuple[ModelSpec, nn.Module, Path]) -> None:
    _, _, path = fashion
    reference = read_reference(path)
    assert reference.images.shape == (8, 28, 28, 3) and path.stat().st_size <= MOST_BYTES
    assert len(set(reference.logits.argmax(1))) == 8


def test_wrong_ways_of_computing_show(fashion: tuple[ModelSpec, nn.Module, Path]) -> None:
    made, module, path = fashion
    reference = read_reference(path)
    allowed = 0.02 * np.ptp(reference.logits)  # what the page allows beyond twice a variant's own deviation
    inputs = torch.from_numpy(reference.inputs(made))
    wrong = {
        "exchanged channels": inputs.flip(1),
        "mirrored": inputs.flip(3),
        "not normalised": inputs * 0.5,
        "moved by a pixel": inputs.roll(1, 3),
    }
    with torch.no_grad():
        assert reference.compare(module(inputs).numpy()).max_abs_diff < allowed / 10
        for name, values in wrong.items():
            assert reference.compare(module(values).numpy()).max_abs_diff > allowed, name


def test_outputs_that_float16_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VerificationError, match="float16"):
        write_reference(replace(spec(), name="huge"), Outputs(10, 1e6), tmp_path / "huge")
    assert list(tmp_path.iterdir()) == []


def test_every_published_format_can_be_run() -> None:
    published = [FORMATS[format] for engine in ENGINES.values() for format in engine.formats]
    assert {format.engine for format in published} == set(ENGINES)
    for format in published:
        assert callable(import_module(format.runner).run)
        tested, images, _ = FORMATS[f"selftest_{format.name}"].parents
        assert (tested.format, tested.recipe, images.format) == (format.name, "same", "selftest")
