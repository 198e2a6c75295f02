"""A quicker import of timm: without PyTorch's compiler, which timm and torchvision import and nothing here runs.

That takes longer than all the rest of timm. Whatever does want the compiler later imports it then, as usual.
"""

import functools
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

PACKAGE = "timm"
COMPILER, CHECK = "torch._dynamo", "is_compile_supported"  # torchvision asks `torch._dynamo.utils` for the latter


class WithoutCompiler(MetaPathFinder):
    """Finds timm, once, and has it imported without the compiler."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return timm's spec with a loader of our own, None for everything else."""
        if name != PACKAGE:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        with _without_compiler():
            self.loader.exec_module(module)


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Let two names that are imported of the compiler import it when they are called."""
    import torch.compiler

    if COMPILER in sys.modules:
        yield
        return
    real, utils = torch.compiler.disable, ModuleType(f"{COMPILER}.utils")
    setattr(utils, CHECK, _is_compile_supported)
    stand_ins = {COMPILER: ModuleType(COMPILER), f"{COMPILER}.utils": utils}
    sys.modules.update(stand_ins)
    torch.compiler.disable = functools.partial(_disable, real)
    try:
        yield
    finally:
        torch.compiler.disable = real
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


def _is_compile_supported(device: Any) -> Any:
    from torch._dynamo.utils import is_compile_supported

    return is_compile_supported(device)


def _disable(real: Callable[..., Any], fn: Callable[..., Any] | None = None, *given: Any, **options: Any) -> Any:
    """Do what `torch.compiler.disable`, which is `real`, does for a function, when that is called."""
    if fn is None:
        return functools.partial(_disable, real, **options)

    @functools.wraps(fn)
    def late(*arguments: Any, **named: Any) -> Any:
        return real(fn, *given, **options)(*arguments, **named)

    return late
