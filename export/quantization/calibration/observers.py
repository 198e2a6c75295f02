"""What flows through the layers on calibration images: inputs, outputs, and the gradient of the loss at each output.

Layers are observed in groups that fit into memory, all of a group in one pass forward (and backward).
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.quantization.layers.discovery import Site

GROUP_BYTES = 1 << 30
BATCH = 8  # images a pass takes at once
BLOCK = re.compile(r"(.*\.\d+)\.")


@dataclass
class Observed:
    """Of one layer, over all images `[n, …]`: its inputs (two for a product), its output, and the output's gradient."""

    inputs: tuple[Tensor, ...]
    output: Tensor
    gradient: Tensor | None = None


@dataclass
class _Pieces:
    inputs: list[tuple[Tensor, ...]] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor] = field(default_factory=list)

    def joined(self) -> Observed:
        inputs = tuple(torch.cat(pieces) for pieces in zip(*self.inputs, strict=True))
        gradient = torch.cat(self.gradients) if self.gradients else None
        return Observed(inputs, torch.cat(self.outputs), gradient)


class _Enough(Exception):  # noqa: N818 - no error
    """Ends a forward pass: the last observed layer has run."""


def capture(
    module: nn.Module, sites: Sequence[Site], images: Tensor, *, gradient: str | None, seed: int, last: bool = True
) -> dict[str, Observed]:
    """Run `images [n, 3, H, W]` through the module and return what its `sites` saw, by name.

    `gradient` is a kind of `loss` or None for a forward pass alone; with `last` the forward pass
    ends at the last of the sites. A site's name, not its module, says which layer is meant.
    """
    pieces = {site.name: _Pieces() for site in sites}
    generator = torch.Generator().manual_seed(seed)
    with _observing(module, pieces, stop=gradient is None and last):
        for batch in torch.split(images, BATCH):
            if gradient is None:
                with torch.no_grad():
                    _run(module, batch)
            else:
                with torch.enable_grad():
                    outputs = module(batch.clone().requires_grad_())
                    torch.autograd.backward(loss(outputs, gradient, generator))
    return {name: found.joined() for name, found in pieces.items()}


def _run(module: nn.Module, batch: Tensor) -> None:
    with suppress(_Enough):
        module(batch)


def loss(outputs: Tensor, kind: str, generator: torch.Generator) -> Tensor:
    """Return the sum over images of a loss whose gradient weighs each layer's error.

    `fisher`: -log p[y] with y drawn from the model's own softmax, whose squared gradient has the diagonal of the
    Fisher information as its mean (Kunstner et al. 2019, "Limitations of the Empirical Fisher Approximation for
    Natural Gradient Descent", eq. 3). `gaussian`: outputs · ε with ε of unit variance, the same for an embedding.
    `published`: KL(p‖p) of the model with itself, as PTQ4ViT's code has it, whose true gradient is 0: what remains
    is rounding.
    """
    if kind == "published":
        return F.kl_div(F.log_softmax(outputs, -1), F.softmax(outputs.detach(), -1), reduction="batchmean")
    if kind == "gaussian":
        return (outputs * torch.randn(outputs.shape, generator=generator).to(outputs)).sum()
    chances = outputs.detach().softmax(-1).cpu()
    drawn = torch.multinomial(chances, 1, generator=generator).squeeze(1).to(outputs.device)
    return F.cross_entropy(outputs, drawn, reduction="sum")


@contextmanager
def _observing(module: nn.Module, pieces: dict[str, _Pieces], *, stop: bool) -> Iterator[None]:
    last = list(pieces)[-1]

    def observe(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found = pieces[name]
            found.inputs.append(tuple(value.detach() for value in inputs))
            found.outputs.append(output.detach())
            if output.requires_grad:
                output.register_hook(  # type: ignore[no-untyped-call]
                    lambda gradient: found.gradients.append(gradient.detach())
                )
            if stop and name == last:
                raise _Enough

        return hook

    handles = [module.get_submodule(name).register_forward_hook(observe(name)) for name in pieces]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def by_memory(
    module: nn.Module, sites: Sequence[Site], image: Tensor, count: int, *, gradient: bool
) -> list[list[Site]]:
    """Return the sites in groups, in order, whose tensors for `count` images fit into `GROUP_BYTES`; image `[1, …]`."""
    seen = capture(module, sites, image, gradient=None, seed=0)
    groups: list[list[Site]] = [[]]
    filled = 0
    for site in sites:
        found = seen[site.name]
        numbers = sum(value.numel() for value in found.inputs) + found.output.numel() * (2 if gradient else 1)
        size = numbers * 4 * count
        if groups[-1] and filled + size > GROUP_BYTES:
            groups.append([])
            filled = 0
        groups[-1].append(site)
        filled += size
    return groups


def by_block(sites: Sequence[Site]) -> list[list[Site]]:
    """Return the sites in groups, in order: those of a block (`blocks.3.…`) together, others alone."""
    groups: list[list[Site]] = []
    before = None
    for site in sites:
        matched = BLOCK.match(site.name)
        block = matched[1] if matched else site.name
        if block != before:
            groups.append([])
        groups[-1].append(site)
        before = block
    return groups
