"""Everything quantized: also residual additions, LayerNorm and GELU give integers, simulated by fake quantization.

TinyNeuralNetwork's example for Vision Transformers quantizes everything, then leaves the additions, then two linear
layers in float; its accuracy rises from 0 to almost that of the float model. The steps here are the same.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from export.quantization.analysis.layer_swap import BATCH, ModelPair, swapped
from export.quantization.calibration.layer_solver import range_quantizer
from export.quantization.layers.quantizers import Quantizer

ADDITIONS = (torch.add, Tensor.add, Tensor.__add__, Tensor.__iadd__, Tensor.add_)
BITS = 8


@dataclass(frozen=True)
class Step:
    """A step of the ladder: which operations give integers, and how many of the worst linear layers stay in float."""

    title: str
    additions: bool
    norms: bool
    gelus: bool
    worst_in_float: int = 0


LADDER = (
    Step("everything", additions=True, norms=True, gelus=True),
    Step("not the residual additions", additions=False, norms=True, gelus=True),
    Step("nor the two most sensitive linear layers", additions=False, norms=True, gelus=True, worst_in_float=2),
    Step("nor LayerNorm and GELU", additions=False, norms=False, gelus=False, worst_in_float=2),
    Step("only matrix products and convolutions", additions=False, norms=False, gelus=False),
)


@dataclass
class _Ranges:
    """The range of each operation's output in calibration, then its quantizer: one scale and zero point per tensor."""

    observing: bool = True
    ranges: dict[str, Tensor] = field(default_factory=dict)
    quantizers: dict[str, Quantizer] = field(default_factory=dict)

    def take(self, name: str, value: Tensor) -> Tensor:
        """Return the value, fake-quantized once calibration is over."""
        if self.observing:
            found = torch.stack(value.aminmax())
            known = self.ranges.get(name, found)
            self.ranges[name] = torch.stack((torch.minimum(known[0], found[0]), torch.maximum(known[1], found[1])))
            return value
        if name not in self.quantizers:
            self.quantizers[name] = range_quantizer(self.ranges[name], BITS, None, symmetric=False)
        quantized: Tensor = self.quantizers[name](value)
        return quantized


class _Additions(TorchFunctionMode):
    """Gives the sums of tensors of one shape to `take`: those of residual connections within a block."""

    def __init__(self, name: str, ranges: _Ranges) -> None:
        super().__init__()
        self.name, self.ranges, self.count = name, ranges, 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [value for value in args if isinstance(value, Tensor)]
        if func in ADDITIONS and len(tensors) == 2 and tensors[0].shape == tensors[1].shape:
            self.count += 1
            return self.ranges.take(f"{self.name}.add.{self.count}", result)
        return result


@contextmanager
def _watched(module: nn.Module, blocks: Sequence[str], step: Step, ranges: _Ranges) -> Iterator[None]:
    """Let the operations of a step give their outputs to `ranges`."""
    handles = []
    for name, layer in module.named_modules():
        if (step.norms and isinstance(layer, nn.LayerNorm)) or (step.gelus and isinstance(layer, nn.GELU)):
            hook = lambda _, inputs, output, name=name: ranges.take(name, output)  # noqa: E731
            handles.append(layer.register_forward_hook(hook))
    wrapped = [module.get_submodule(name) for name in blocks] if step.additions else []
    for name, block in zip(blocks, wrapped, strict=False):
        block.forward = _adding(block.forward, name, ranges)  # type: ignore[method-assign]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
        for block in wrapped:
            del block.forward


def _adding(forward: Callable[..., Tensor], name: str, ranges: _Ranges) -> Callable[..., Tensor]:
    def run(*inputs: Any, **options: Any) -> Tensor:
        with _Additions(name, ranges):
            return forward(*inputs, **options)

    return run


@torch.inference_mode()
def outputs_of_step(
    pair: ModelPair, blocks: Sequence[str], step: Step, in_float: Sequence[str], calibration: Tensor, images: Tensor
) -> Tensor:
    """Return the outputs `[n, K]` for images `[n, 3, H, W]` at a step; ranges are those of the calibration images.

    Ranges are observed in the float model, as the layers' own are; `in_float` names layers that stay in float.
    """
    ranges = _Ranges()
    with _watched(pair.float_module, blocks, step, ranges):
        for batch in torch.split(calibration, BATCH):
            pair.float_module(batch)
    ranges.observing = False
    floats = {name: pair.float_module.get_submodule(name) for name in in_float}
    with swapped(pair.quantized, floats), _watched(pair.quantized, blocks, step, ranges):
        return torch.cat([pair.quantized(batch) for batch in torch.split(images, BATCH)]).float()
