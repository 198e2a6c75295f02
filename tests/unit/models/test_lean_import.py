"""timm is imported without PyTorch's compiler, and models are made without weights that are overwritten at once."""

import subprocess
import sys

import pytest
import timm
import torch
from tiny import TINY

from export.models.weights.undrawn import UndrawnWeights

LEAN = """
import sys
import export
import timm
import torch
assert "torch._dynamo" not in sys.modules and timm.__loader__ is timm.__spec__.loader
timm.create_model("resnet18", num_classes=2)
from torchvision.ops.roi_align import is_compile_supported
from timm.models.naflexvit import NaFlexRopeIterator
assert isinstance(is_compile_supported("cpu"), bool)
import torch._dynamo
assert torch._dynamo.utils.is_compile_supported is not is_compile_supported
assert torch.compiler.disable(max)(1, 2) == 2
"""


@pytest.mark.slow
def test_timm_is_imported_without_the_compiler() -> None:
    subprocess.run([sys.executable, "-c", LEAN], check=True)


@pytest.mark.parametrize("family", sorted(TINY))
def test_undrawn_weights_are_those_that_are_loaded(family: str) -> None:
    size, name, arguments = TINY[family]
    drawn = timm.create_model(name, **arguments).eval()
    with UndrawnWeights():
        undrawn = timm.create_model(name, **arguments).eval()
    undrawn.load_state_dict(drawn.state_dict())
    image = torch.rand(1, 3, size, size)
    with torch.no_grad():
        assert torch.equal(undrawn(image), drawn(image))
    assert all(map(torch.equal, undrawn.buffers(), drawn.buffers()))
