"""Observers: what the layers take and give on calibration images, and the gradient of a loss at each output.

Layers are observed in groups whose tensors fit into memory, all of a group in one forward (and backward) pass.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.quantization.calibration.kept.activation_store import Accumulated, ActivationStore
from export.quantization.layers.discovery import PRODUCTS, QuantizableLayer

GROUP_BYTES = 5 << 29  # a small model's layers at once: each group takes a forward and a backward pass
BATCH = 8  # images of one pass
BLOCK = re.compile(r"(.*\.\d+)\.")


@dataclass
class Observation:
    """What one layer takes and gives over all images `[n, …]`.

    `inputs` are two for a product. Where they were asked for: the `output`, the `gradient` of a loss at it, or only
    that gradient's mean square over channels at each position, the `sensitivity`.
    """

    inputs: tuple[Tensor, ...]
    output: Tensor | None = None
    gradient: Tensor | None = None
    sensitivity: Tensor | None = None


class _Observer:
    def __init__(self, store: ActivationStore) -> None:
        self.store, self.share = store, 1.0  # of the batch that runs, in all images
        self.inputs: list[Accumulated] = []
        self.output, self.gradient = Accumulated(store), Accumulated(store)

    def take_inputs(self, values: tuple[Tensor, ...]) -> None:
        if not self.inputs:
            self.inputs = [Accumulated(self.store) for _ in values]
        for kept, value in zip(self.inputs, values, strict=True):
            kept.add(value.detach(), self.share)

    def observation(self) -> Observation:
        output, gradient = (kept.values() if len(kept) else None for kept in (self.output, self.gradient))
        return Observation(tuple(kept.values() for kept in self.inputs), output, gradient)


class _StopForward(Exception):  # noqa: N818 - no error
    """Ends a forward pass: the last observed layer has run."""


def observe(
    module: nn.Module,
    layers: Sequence[QuantizableLayer],
    images: Tensor,
    *,
    gradient: str | None,
    seed: int,
    outputs: bool = True,
    store: ActivationStore | None = None,
) -> dict[str, Observation]:
    """Run `images [n, 3, H, W]` through the module and return the observations of `layers`, by name.

    `gradient` is the kind of `gradient_loss`, or None for a forward pass alone, which ends at the last of the layers. A
    layer's name, not its module, says which one is meant. What is returned lies in the `store`.
    """
    store = store or ActivationStore()
    observers = {layer.name: _Observer(store) for layer in layers}
    generator = torch.Generator().manual_seed(seed)
    with _observing(module, observers, stop=gradient is None, outputs=outputs):
        for batch in torch.split(images, BATCH):
            for observer in observers.values():
                observer.share = len(batch) / len(images)
            if gradient is None:
                with torch.no_grad(), suppress(_StopForward):
                    module(batch)
            else:
                _backward(module, batch, gradient, generator)  # to the first of the layers, no further
    return {name: observer.observation() for name, observer in observers.items()}


def _backward(module: nn.Module, batch: Tensor, kind: str, generator: torch.Generator) -> None:
    with torch.enable_grad():
        torch.autograd.backward(gradient_loss(module(batch), kind, generator))


def observe_sensitivity(
    module: nn.Module, layers: Sequence[QuantizableLayer], images: Tensor, *, gradient: str, seed: int
) -> dict[str, Tensor]:
    """Return of each layer with a weight the mean squared gradient over channels, `[n, …]` by position, in one pass.

    `gradient` is the kind of `gradient_loss`. What is returned takes a thousandth of the memory of the gradients.
    """
    batches: dict[str, list[Tensor]] = {layer.name: [] for layer in layers if layer.role not in PRODUCTS}
    generator = torch.Generator().manual_seed(seed)

    def hook_of(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            output.register_hook(lambda gradient: batches[name].append(squared_over_channels(layer, gradient)))  # type: ignore[no-untyped-call]

        return hook

    with ExitStack() as stack:
        for name in batches:
            stack.callback(module.get_submodule(name).register_forward_hook(hook_of(name)).remove)
        for batch in torch.split(images, BATCH):
            _backward(module, batch.clone().requires_grad_(), gradient, generator)
    return {name: torch.cat(found) for name, found in batches.items()}


def squared_over_channels(layer: nn.Module, gradient: Tensor) -> Tensor:
    """Return the mean square of an output's gradient over its channels, which a convolution has second."""
    return gradient.detach().square().mean(1 if isinstance(layer, nn.Conv2d) else -1)


def gradient_loss(outputs: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """Return the sum over images of a loss whose gradient weighs each layer's error.

    `fisher`: -log p[y] with y drawn from the model's own softmax, whose squared gradient has the diagonal of the
    Fisher information as its mean (Kunstner et al. 2019, "Limitations of the Empirical Fisher Approximation for
    Natural Gradient Descent", eq. 3). `gaussian`: outputs · ε with ε of unit variance, the same for an embedding.
    `published`: KL(p‖p) of the model with itself, as PTQ4ViT's code has it, whose true gradient is 0: what remains
    is rounding. `independent`: as fisher, for outputs that do not exclude each other. Those, and a single output, are
    taken as logits of two classes each, of which the other's is 0: softmax gives their sigmoid.
    """
    if kind != "gaussian" and (kind == "independent" or outputs.shape[-1] == 1):
        outputs = torch.stack((outputs, torch.zeros_like(outputs)), -1).flatten(0, 1)
    if kind == "published":
        return F.kl_div(F.log_softmax(outputs, -1), F.softmax(outputs.detach(), -1), reduction="batchmean")
    if kind == "gaussian":
        return (outputs * torch.randn(outputs.shape, generator=generator).to(outputs)).sum()
    probabilities = outputs.detach().softmax(-1).cpu()
    labels = torch.multinomial(probabilities, 1, generator=generator).squeeze(1).to(outputs.device)
    return F.cross_entropy(outputs, labels, reduction="sum")


@contextmanager
def _observing(module: nn.Module, observers: dict[str, _Observer], *, stop: bool, outputs: bool) -> Iterator[None]:
    last = list(observers)[-1]

    def hook_of(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            observer = observers[name]
            observer.take_inputs(inputs)
            if outputs:
                observer.output.add(output.detach(), observer.share)
            if output.requires_grad:
                output.register_hook(  # type: ignore[no-untyped-call]
                    lambda gradient: observer.gradient.add(gradient.detach(), observer.share)
                )
            if stop and name == last:
                raise _StopForward

        return hook

    def take_last(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        observers[last].take_inputs(inputs)
        raise _StopForward

    handles = [module.get_submodule(name).register_forward_hook(hook_of(name)) for name in observers]
    if not stop:
        handles += [module.get_submodule(name).register_forward_pre_hook(_with_gradients) for name in observers]
    if stop and not outputs:  # what the last layer gives is not asked for
        handles.append(module.get_submodule(last).register_forward_pre_hook(take_last))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _with_gradients(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return a layer's inputs so that its output has a gradient."""
    return tuple(value if value.requires_grad else value.detach().requires_grad_() for value in inputs)


def group_by_memory(
    module: nn.Module,
    layers: Sequence[QuantizableLayer],
    image: Tensor,
    count: int,
    *,
    gradient: bool,
    limit: int = GROUP_BYTES,
) -> list[list[QuantizableLayer]]:
    """Return the layers in groups, in order, whose observations of `count` images fit into `limit` bytes.

    `image [1, 3, H, W]` is one from which the sizes are taken.
    """
    observations = observe(module, layers, image, gradient=None, seed=0)
    groups: list[list[QuantizableLayer]] = [[]]
    filled = 0
    for layer in layers:
        observation = observations[layer.name]
        assert observation.output is not None
        outputs = observation.output.numel() * (2 if gradient else 1)
        size = (sum(value.numel() for value in observation.inputs) + outputs) * 4 * count
        if groups[-1] and filled + size > limit:
            groups.append([])
            filled = 0
        groups[-1].append(layer)
        filled += size
    return groups


def block_of(name: str) -> str:
    """Return the name of the block that a layer belongs to (`blocks.3` of `blocks.3.attn.qkv`), or "" without one."""
    matched = BLOCK.match(name)
    return matched[1] if matched else ""


def group_by_block(layers: Sequence[QuantizableLayer]) -> list[list[QuantizableLayer]]:
    """Return the layers in groups, in order: those of a block (`blocks.3.…`) together, others alone."""
    groups: list[list[QuantizableLayer]] = []
    before = None
    for layer in layers:
        block = block_of(layer.name) or layer.name
        if block != before:
            groups.append([])
        groups[-1].append(layer)
        before = block
    return groups
