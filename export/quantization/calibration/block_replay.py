"""Passes through a model that go on where the last one ended: finished blocks are replayed, not computed again.

To quantize a model block by block, each block is observed on what those before it give. From the start every time, that
takes passes whose cost grows with the square of the depth. Here the last finished block's output is kept for all images
and given in its place; blocks before it give zeros, since nothing behind that block depends on them. Whether that holds
for a model is found out on one image.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from export.core.console import say
from export.quantization.calibration.kept.activation_store import ActivationStore
from export.quantization.calibration.observers import BATCH, Observation, block_of, observe
from export.quantization.layers.discovery import QuantizableLayer


class BlockReplay:
    """Observes layers of a module in their order, group by group; `finish` says which have got their final form.

    `images [n, 3, H, W]` are given in batches. A module that is no chain of blocks is computed from the start each
    time, with a warning.
    """

    def __init__(
        self,
        module: nn.Module,
        layers: Sequence[QuantizableLayer],
        images: Tensor,
        store: ActivationStore | None = None,
    ) -> None:
        self.module, self.images, self.store = module, images, store or ActivationStore()
        names = [layer.name for layer in layers]
        blocks = dict.fromkeys(block for name in names if (block := block_of(name)))
        self._waiting = {block: {name for name in names if name.startswith(f"{block}.")} for block in blocks}
        self._fresh: list[str] = []  # finished since the last pass: their outputs are not kept yet
        self._shapes: dict[str, torch.Size] = {}  # of the output of an image, of the blocks that are replayed
        self._last: tuple[str, Tensor] | None = None  # the last finished block, and its output
        self._sizes: list[int] = []  # of the batches of that
        if not is_chain(module, list(blocks), images[:1]):
            say("    note: the model is no chain of blocks; every block is calibrated in passes through all before it")
            self._waiting = {}

    def finish(self, names: Sequence[str]) -> None:
        """Take layers for final; a block all of whose layers are is replayed from its next pass on."""
        for block, waiting in list(self._waiting.items()):
            waiting.difference_update(names)
            if not waiting:
                self._fresh.append(block)
                del self._waiting[block]

    def observe(self, layers: Sequence[QuantizableLayer], *, outputs: bool = True) -> dict[str, Observation]:
        """Return what `observe` does, of layers none of which is final."""
        given: dict[str, list[Tensor]] = {}
        with ExitStack() as stack:
            for name, shape in self._shapes.items():
                if self._last is None or name != self._last[0]:
                    stack.enter_context(replaced(self.module, name, zeros(shape, self.images.device)))
            if self._last is not None:
                kept = iter(torch.split(self._last[1], self._sizes))
                stack.enter_context(replaced(self.module, self._last[0], lambda: next(kept)))
            for name in self._fresh:
                stack.enter_context(kept_outputs(self.module, name, given))
            observations = observe(
                self.module, layers, self.images, gradient=None, seed=0, outputs=outputs, store=self.store
            )
        for name, batches in given.items():  # in the order in which they ran
            self._shapes[name] = batches[0].shape[1:]
            self._sizes = [len(batch) for batch in batches]
            self._last = (name, self.store.cat(batches))
        self._fresh = [name for name in self._fresh if name not in given]
        return observations


def is_chain(module: nn.Module, blocks: Sequence[str], image: Tensor) -> bool:
    """Tell whether what follows a block depends on nothing before it but its output, exactly, for `image [1, …]`."""
    given: dict[str, list[Tensor]] = {}
    with torch.no_grad(), ExitStack() as stack:
        for block in blocks:
            stack.enter_context(kept_outputs(module, block, given))
        expected = module(image)
    if set(given) != set(blocks) or any(len(outputs) != 1 for outputs in given.values()):
        return False
    order = list(given)
    return all(
        torch.equal(_replay(module, order[:count], given, image), expected) for count in range(1, len(order) + 1)
    )


def _replay(module: nn.Module, finished: Sequence[str], given: dict[str, list[Tensor]], image: Tensor) -> Tensor:
    with torch.no_grad(), ExitStack() as stack:
        for name in finished[:-1]:
            stack.enter_context(replaced(module, name, zeros(given[name][0].shape[1:], image.device)))
        stack.enter_context(replaced(module, finished[-1], lambda: given[finished[-1]][0]))
        outputs: Tensor = module(image)
        return outputs


def zeros(shape: torch.Size, device: torch.device) -> Callable[[], Tensor]:
    """Return what gives zeros of a shape for a batch, in the place of a block that nothing behind depends on."""
    return lambda: torch.zeros(BATCH, *shape, device=device)


@contextmanager
def replaced(module: nn.Module, name: str, give: Callable[[], Tensor]) -> Iterator[None]:
    """Let a submodule give something without computing it."""
    block = module.get_submodule(name)
    before = block.__dict__.get("forward")
    block.forward = lambda *inputs, **options: give()  # type: ignore[method-assign]
    try:
        yield
    finally:
        if before is None:
            del block.forward
        else:
            block.forward = before  # type: ignore[method-assign]


@contextmanager
def kept_outputs(module: nn.Module, name: str, given: dict[str, list[Tensor]]) -> Iterator[None]:
    """Keep what a submodule gives, as far as it is a tensor, a batch a call."""

    def keep(block: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            given.setdefault(name, []).append(output.detach())

    handle = module.get_submodule(name).register_forward_hook(keep)
    try:
        yield
    finally:
        handle.remove()
