"""What the tests of faults share: a process that runs commands in forked children, and a tiny file of the engine.

pytest's own process reads this file before any test: what imports PyTorch is imported where it is used.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fork_server import ForkServer


@pytest.fixture(scope="session")
def commands() -> Iterator[ForkServer]:
    """Runs the project's commands, each in a process of its own that is forked from one that has imported them."""
    with ForkServer() as server:
        yield server


@pytest.fixture(scope="session")
def tiny_engine_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the vit engine that is as small as one can be: one block, one head, four patches."""
    import timm
    import torch
    from tiny import tiny

    from export.conversion.engine.export import to_engine
    from export.models.weights.randomise import randomise
    from export.quantization.calibration.calibrate import calibrate
    from export.quantization.integer_file import QuantizedModel
    from export.quantization.recipes import find_recipe

    sizes = {"img_size": 8, "patch_size": 4, "embed_dim": 8, "depth": 1, "num_heads": 1, "mlp_ratio": 1}
    module = randomise(timm.create_model("vit_tiny_patch16_224", num_classes=3, **sizes).eval(), seed=1)
    recipe, images = find_recipe("w8a8_minmax"), torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    path = tmp_path_factory.mktemp("engine") / "model.vit"
    to_engine(QuantizedModel(tiny("vit")[0], recipe, calibrate(module, recipe, images)), path)
    return path
