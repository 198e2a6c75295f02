"""Modules whose weights are about to be loaded, made without drawing random ones first: that takes most of the time."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode

DRAWS: frozenset[Callable[..., Any]] = frozenset(
    {
        *(getattr(Tensor, name) for name in ("uniform_", "normal_", "erfinv_", "mul_", "add_", "clamp_")),
        *(getattr(init, name) for name in ("uniform_", "normal_", "kaiming_uniform_", "kaiming_normal_")),
        *(getattr(init, name) for name in ("xavier_uniform_", "xavier_normal_", "trunc_normal_")),
    }
)


class UndrawnWeights(TorchFunctionMode):
    """Within the block, initialising a parameter at random leaves it as it is, which may be anything.

    It is meant for constructors of modules all of whose parameters are then loaded.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of PyTorch, unless it draws a parameter's values."""
        named = kwargs or {}
        first = args[0] if args else named.get("tensor")
        if func in DRAWS and isinstance(first, nn.Parameter):
            return first
        return func(*args, **named)
