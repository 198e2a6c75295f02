"""Sequential methods take passes linear in the depth of a model, and choose just what passes from the start do."""

import pytest
import torch
from timm.models.vision_transformer import Block
from tiny import tiny
from torch import Tensor, nn

from export.quantization.calibration import block_replay
from export.quantization.calibration.block_replay import BlockReplay, is_chain
from export.quantization.calibration.calibrate import calibrate
from export.quantization.calibration.observers import (
    BATCH,
    block_of,
    group_by_block,
    observe,
    observe_sensitivity,
    squared_over_channels,
)
from export.quantization.calibration.prepare import prepare
from export.quantization.recipes import find_recipe

RECIPES = ["w8a8_gptq", "w4_gptq", "w4a4_aqer", "w8a8_bias"]
# aqer folds LayerNorm, of which a ResNet has none.
CASES = [
    (family, recipe)
    for family in ("vit", "swin", "resnet")
    for recipe in RECIPES
    if "aqer" not in recipe or family != "resnet"
]


def state(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize(("family", "recipe"), CASES)
def test_replayed_blocks_give_what_passes_from_the_start_give(
    family: str, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, module, images = tiny(family)
    images = images[: BATCH + 3]  # a whole batch, and one that is not
    replayed = calibrate(module, find_recipe(recipe), images)
    monkeypatch.setattr(block_replay, "is_chain", lambda *arguments: False)
    from_the_start = calibrate(module, find_recipe(recipe), images)
    with torch.no_grad():
        assert torch.equal(replayed(images), from_the_start(images))
    expected = state(from_the_start)
    assert state(replayed).keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in state(replayed).items())


@pytest.mark.parametrize("family", ["vit", "swin", "resnet"])
def test_families_of_timm_are_chains_of_blocks(family: str) -> None:
    _, module, images = tiny(family)
    quantization = find_recipe("w8a8_gptq").quantization
    assert quantization is not None
    prepared = prepare(module, quantization, images)
    blocks = list(dict.fromkeys(block for layer in prepared.layers if (block := block_of(layer.name))))
    assert blocks and is_chain(prepared.module, blocks, images[:1])


class Skipping(nn.Module):
    """Two blocks, the first of which is added at the end too: no chain."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(12, 12), nn.ReLU()) for _ in range(3))
        self.head = nn.Linear(12, 5)

    def forward(self, pixels: Tensor) -> Tensor:
        first = self.blocks[0](pixels.flatten(1)[:, :12])
        return self.head(self.blocks[2](self.blocks[1](first)) + first)


def test_a_model_that_is_no_chain_is_computed_from_the_start_with_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    module, images = Skipping().eval(), torch.randn(20, 3, 4, 4)
    assert not is_chain(module, ["blocks.0", "blocks.1", "blocks.2"], images[:1])
    quantized = calibrate(module, find_recipe("w8a8_gptq"), images)
    assert "no chain of blocks" in capsys.readouterr().out
    with torch.no_grad():
        error = (quantized(images) - module(images)).norm() / module(images).norm()
    assert error < 0.05


def test_a_sequential_method_runs_each_block_a_number_of_times_that_does_not_grow_with_the_depth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, module, images = tiny("vit")
    calls = 0
    forward = Block.forward

    def counted(self: Block, *inputs: Tensor) -> Tensor:
        nonlocal calls
        calls += len(inputs[0])
        return forward(self, *inputs)

    monkeypatch.setattr(Block, "forward", counted)
    calibrate(module, find_recipe("w8a8_gptq"), images)
    # Backward, before and after its own quantization; and single images, by which layers and chain are found.
    depth = sum(isinstance(layer, Block) for layer in module.modules())
    assert calls <= depth * (3 * len(images) + depth + 4)


def test_sensitivity_is_the_mean_square_of_the_gradient() -> None:
    for family in ("vit", "resnet"):
        _, module, images = tiny(family)
        quantization = find_recipe("w8a8_gptq").quantization
        assert quantization is not None
        prepared = prepare(module, quantization, images)
        layers = [layer for layer in prepared.layers if layer.role not in ("product_qk", "product_av")]
        observations = observe(prepared.module, layers, images, gradient="fisher", seed=3)
        found = observe_sensitivity(prepared.module, layers, images, gradient="fisher", seed=3)
        assert list(found) == [layer.name for layer in layers]
        for layer in layers:
            gradient = observations[layer.name].gradient
            assert gradient is not None
            assert torch.equal(found[layer.name], squared_over_channels(layer.module, gradient))


def test_gradients_do_not_depend_on_what_else_is_observed() -> None:
    for family in ("vit", "resnet", "swin"):
        _, module, images = tiny(family)
        quantization = find_recipe("w8a8_ptq4vit").quantization
        assert quantization is not None
        prepared = prepare(module, quantization, images)
        together = observe(prepared.module, prepared.layers, images, gradient="fisher", seed=3)
        for layer in prepared.layers[:: len(prepared.layers) // 4]:
            alone = observe(prepared.module, [layer], images, gradient="fisher", seed=3)[layer.name]
            for found, expected in (
                (alone.output, together[layer.name].output),
                (alone.gradient, together[layer.name].gradient),
            ):
                assert found is not None and expected is not None and torch.equal(found, expected)


def test_a_replay_computes_only_what_is_not_final() -> None:
    _, module, images = tiny("vit")
    quantization = find_recipe("w8a8_gptq").quantization
    assert quantization is not None
    prepared = prepare(module, quantization, images)
    replay = BlockReplay(prepared.module, prepared.layers, images)
    for group in group_by_block(prepared.layers):
        found = replay.observe(group)
        expected = observe(prepared.module, group, images, gradient=None, seed=0)
        for name, observation in found.items():
            assert all(map(torch.equal, observation.inputs, expected[name].inputs))
            assert observation.output is not None and expected[name].output is not None
            assert torch.equal(observation.output, expected[name].output)
        replay.finish([layer.name for layer in group])
    assert not any("forward" in block.__dict__ for block in prepared.module.modules())
