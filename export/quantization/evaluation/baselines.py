"""Baselines: PyTorch's own dynamic quantization, by torchao, and by torch.ao where it still exists.

Both quantize Linear layers alone. torch.ao is also given Conv2d, as several published scripts do, and leaves it in
float: its default mapping has no dynamic Conv2d. Attention's products stay in float.
"""

import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from export.core.errors import RequestError


@dataclass(frozen=True, slots=True)
class Baseline:
    """A model quantized by a library, `bytes` in size.

    `converted` and `kept_float` count the layers, by kind, that it quantized and that it left in float.
    """

    module: nn.Module
    converted: dict[str, int]
    kept_float: dict[str, int]
    bytes: int


@contextmanager
def _silenced() -> Iterator[None]:
    """Silence the libraries' deprecation warnings while they are imported and used."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def torchao_dynamic(module: nn.Module) -> Baseline:
    """Return int8 weights per channel with int8 activations per token, by torchao; raises `RequestError` without it."""
    with _silenced():
        try:
            from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
        except ImportError as error:
            raise RequestError(f"torchao is not installed: {error}", hint="pip install torchao") from error
        copied = copy.deepcopy(module).eval()
        quantize_(copied, Int8DynamicActivationInt8WeightConfig())
    return _describe(copied, lambda layer: type(layer.weight) is not nn.Parameter)


def torch_ao_dynamic(module: nn.Module) -> Baseline:
    """Return `quantize_dynamic` of Linear and Conv2d, by torch.ao; raises `RequestError` where it is gone."""
    return _quantize_dynamic(module, {nn.Linear, nn.Conv2d})


def torch_ao_dynamic_linear(module: nn.Module) -> Baseline:
    """Return `quantize_dynamic` of Linear alone; raises what `torch_ao_dynamic` does."""
    return _quantize_dynamic(module, {nn.Linear})


def _quantize_dynamic(module: nn.Module, kinds: set[type[nn.Module]]) -> Baseline:
    with _silenced():
        try:
            from torch.ao.quantization import quantize_dynamic
        except ImportError as error:
            raise RequestError(
                f"this PyTorch ({torch.__version__}) no longer has torch.ao.quantization", hint="use torchao_dynamic"
            ) from error
        copied = quantize_dynamic(copy.deepcopy(module).eval(), kinds)  # type: ignore[no-untyped-call]
    return _describe(copied, lambda layer: "quantized" in type(layer).__module__)


def _describe(module: nn.Module, is_converted: Callable[[nn.Module], bool]) -> Baseline:
    converted: dict[str, int] = {}
    kept_float: dict[str, int] = {}
    for layer in module.modules():
        kind = type(layer).__name__
        if kind in ("Linear", "Conv2d"):
            counted = converted if is_converted(layer) else kept_float
            counted[kind] = counted.get(kind, 0) + 1
    stream = io.BytesIO()
    with _silenced():
        torch.save(module.state_dict(), stream)
    return Baseline(module, converted, kept_float, stream.tell())


BASELINES: dict[str, Callable[[nn.Module], Baseline]] = {
    "torchao_dynamic": torchao_dynamic,
    "torch_ao_dynamic": torch_ao_dynamic,
    "torch_ao_dynamic_linear": torch_ao_dynamic_linear,
}
