"""A float model in which single layers are exchanged for quantized ones, and passes that begin at their block."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from export.quantization.calibration.block_replay import is_chain, kept_outputs, replaced, zeros
from export.quantization.calibration.calibrate import calibrate
from export.quantization.calibration.observers import block_of
from export.quantization.calibration.prepare import prepare
from export.quantization.layers.discovery import QuantizableLayer
from export.quantization.layers.modules import Product, QuantConv2d, QuantLinear
from export.quantization.layers.quantizers import Quantizer
from export.quantization.recipes import Recipe

Kind = Literal["both", "weights", "activations"]
BATCH = 32  # images of one pass


@dataclass(frozen=True)
class ModelPair:
    """A float module and its quantized copy with the same names of layers; `layers` are the quantized ones, in order.

    The float module is the one that calibration has prepared: attention decomposed, ranges equalized (exactly).
    """

    float_module: nn.Module
    quantized: nn.Module
    layers: tuple[QuantizableLayer, ...]

    def kinds(self, layer: QuantizableLayer) -> tuple[Kind, ...]:
        """Return which tensors of a layer are quantized, and both where there are two kinds."""
        found = self.quantized.get_submodule(layer.name)
        if isinstance(found, QuantLinear | QuantConv2d) and found.input is not None:
            return "both", "weights", "activations"
        return ("activations",) if isinstance(found, Product) else ("weights",)

    def version(self, layer: QuantizableLayer, kind: Kind) -> nn.Module:
        """Return a layer with only that kind of its tensors quantized."""
        found = self.quantized.get_submodule(layer.name)
        if kind == "both" or isinstance(found, Product):
            return found
        assert isinstance(found, QuantLinear | QuantConv2d)
        if kind == "activations":
            assert found.input is not None
            return _FakeQuantizedInput(found.input, self.float_module.get_submodule(layer.name))
        if isinstance(found, QuantLinear):
            return QuantLinear(found.weight, found.bias, None)
        conv = self.float_module.get_submodule(layer.name)
        assert isinstance(conv, nn.Conv2d)
        return QuantConv2d(conv, found.weight, found.bias, None)


class _FakeQuantizedInput(nn.Module):
    """A float layer whose input is quantized and dequantized."""

    def __init__(self, quantizer: Quantizer, layer: nn.Module) -> None:
        super().__init__()
        self.quantizer, self.layer = quantizer, layer

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output for the fake-quantized `x`."""
        y: Tensor = self.layer(self.quantizer(x))
        return y


def quantized_pair(
    module: nn.Module,
    recipe: Recipe,
    images: Tensor,
    *,
    features: bool = False,
    independent: bool = False,
    tell: Callable[[int, int, str], None] = lambda done, total, name: None,
) -> ModelPair:
    """Calibrate a float module on `images [n, 3, H, W]` by a recipe; raises what `calibrate` does."""
    assert recipe.quantization is not None
    quantized = calibrate(module, recipe, images, features=features, independent=independent, tell=tell)
    prepared = prepare(module, recipe.quantization, images)
    layers = tuple(layer for layer in prepared.layers if is_quantized_module(quantized.get_submodule(layer.name)))
    return ModelPair(prepared.module, quantized, layers)


def is_quantized_module(layer: nn.Module) -> bool:
    """Tell whether a module is a layer, or a product, of integers."""
    return isinstance(layer, QuantLinear | QuantConv2d) or (isinstance(layer, Product) and layer.right is not None)


@contextmanager
def swapped(module: nn.Module, versions: dict[str, nn.Module]) -> Iterator[None]:
    """Let submodules be others within the block."""
    before = {name: module.get_submodule(name) for name in versions}
    try:
        for name, version in versions.items():
            module.set_submodule(name, version)
        yield
    finally:
        for name, layer in before.items():
            module.set_submodule(name, layer)


class SuffixRuns:
    """Passes of images `[n, 3, H, W]` through a module one of whose layers is exchanged.

    Blocks before that layer are not computed again but replayed; a module that is no chain of blocks is run from the
    start. Asked for in the order in which they run, the layers of all blocks take one pass to prepare.
    """

    def __init__(self, module: nn.Module, layers: Sequence[QuantizableLayer], images: Tensor) -> None:
        self.module, self.batches = module, torch.split(images, BATCH)
        found = dict.fromkeys(block for layer in layers if (block := block_of(layer.name)))
        blocks = [block for block in found if not any(other.startswith(f"{block}.") for other in found)]
        self._blocks = blocks if is_chain(module, blocks, images[:1]) else []
        self._before: dict[str, int] = {}  # how many blocks lie before each layer
        passed = 0
        for layer in layers:
            block = block_of(layer.name)
            if block in self._blocks:
                passed = self._blocks.index(block) + 1
            self._before[layer.name] = passed - (block in self._blocks)
        self._forget()

    def _forget(self) -> None:
        self._done = 0  # blocks that are replayed
        self._given: list[Tensor] = []  # by the last of these, a batch each
        self._shapes: dict[str, torch.Size] = {}

    def outputs(self, name: str, version: nn.Module) -> Tensor:
        """Return the outputs `[n, K]` with another version of the layer `name`."""
        self._advance(self._before[name])
        with swapped(self.module, {name: version}), torch.inference_mode():
            return torch.cat([self._run(index) for index in range(len(self.batches))]).float()

    def _advance(self, before: int) -> None:
        if before < self._done:
            self._forget()
        while self._done < before:
            block = self._blocks[self._done]
            given: dict[str, list[Tensor]] = {}
            with torch.inference_mode(), kept_outputs(self.module, block, given):
                for index in range(len(self.batches)):
                    self._run(index)
            self._given, self._done = given[block], self._done + 1
            self._shapes[block] = given[block][0].shape[1:]

    def _run(self, index: int) -> Tensor:
        images = self.batches[index]
        with ExitStack() as stack:
            for block in self._blocks[: max(0, self._done - 1)]:
                stack.enter_context(replaced(self.module, block, zeros(self._shapes[block], images.device)))
            if self._done:
                given = self._given[index]
                stack.enter_context(replaced(self.module, self._blocks[self._done - 1], lambda: given))
            outputs: Tensor = self.module(images)
            return outputs


@contextmanager
def own_noise(layer: nn.Module, version: nn.Module) -> Iterator[list[float]]:
    """Sum, within the block, what a layer gives squared, and how far its version is from that, squared."""
    sums = [0.0, 0.0]

    def add(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        expected = layer(*inputs)
        sums[0] += float(expected.double().square().sum())
        sums[1] += float((expected - output).double().square().sum())

    handle = version.register_forward_hook(add)
    try:
        yield sums
    finally:
        handle.remove()
