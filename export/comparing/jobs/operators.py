"""Which operations of a model can be quantized, which cannot, and why: counted in one pass of the model itself."""

import copy
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from export.models.weights.float_artifact import read_golden, read_model, run_model
from export.page.reports.comparison.records import DynamicCheck, Operator
from export.quantization.calibration.prepare import is_quantized, prepare
from export.quantization.evaluation.baselines import BASELINES, Baseline
from export.quantization.layers.discovery import PRODUCTS, decompose_attention
from export.quantization.recipes import find_recipe

ALL, NONE = "all", "none"
RECIPE = "w8a8_minmax"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of operation: PyTorch's names of it, and why it is or is not quantized."""

    name: str
    operations: tuple[str, ...]
    why: str


LINEAR, CONVOLUTION, PRODUCT = "matrix product with weights", "convolution", "product of two activations (attention)"
KINDS = (
    Kind(
        LINEAR,
        ("addmm", "mm", "linear"),
        "int8 × int8 is summed exactly in int32; weights are known beforehand, so only activations lose precision",
    ),
    Kind(
        CONVOLUTION,
        ("convolution",),
        "as a matrix product; of a patch embedding the input, the picture, stays float. PyTorch's dynamic quantization "
        "has no convolution: it ignores Conv2d when asked for it",
    ),
    Kind(
        PRODUCT,
        ("bmm", "baddbmm"),
        "both operands are activations, so both need scales; libraries that replace modules with weights pass it over",
    ),
    Kind(
        "softmax",
        ("_softmax",),
        "an exponential in float; its outputs are quantized as an operand of the product that follows",
    ),
    Kind(
        "layer normalisation",
        ("native_layer_norm", "layer_norm", "rms_norm"),
        "a mean, a variance and a root over each token, whose ranges differ by channel; few multiplications to gain",
    ),
    Kind(
        "batch normalisation",
        ("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "batch_norm"),
        "a factor and a summand per channel: folded into the convolution before it, exactly",
    ),
    Kind(
        "GELU and other activation functions",
        ("gelu", "relu", "relu_", "silu", "hardtanh", "sigmoid", "tanh", "hardswish"),
        "applied to each value in float; its outputs are quantized as the input of the layer that follows",
    ),
    Kind(
        "addition (residual, position)",
        ("add", "add_"),
        "the sum carries the range of all layers before it: rounding it to 8 bits loses the small values",
    ),
    Kind("scaling", ("mul", "mul_", "div"), "a factor, which could be part of the scales around it"),
    Kind("pooling", ("mean", "avg_pool2d", "max_pool2d_with_indices", "_adaptive_avg_pool2d", "amax"), "no weights"),
)


@dataclass
class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations of a pass and their multiplications, by PyTorch's name of the operation."""

    calls: Counter[str] = field(default_factory=Counter)
    multiplications: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        self.calls[name] += 1
        if (flops := flop_registry.get(function.overloadpacket)) is not None:
            self.multiplications[name] += flops(*args, **(kwargs or {}), out_val=result) // 2
        return result


def run(options: dict[str, Any], places: dict[str, Any]) -> dict[str, Any]:
    """Return the operators of a model, and what PyTorch's dynamic quantization makes of it."""
    folder = Path(places["artifact"])
    _, module = read_model(folder)
    inputs, _ = read_golden(folder)
    both = BASELINES["torch_ao_dynamic"](module)
    operators = _operators(module, torch.from_numpy(inputs[:1]), both, BASELINES["torchao_dynamic"](module))
    linear = BASELINES["torch_ao_dynamic_linear"](module)
    digests = {hashlib.sha256(run_model(one.module, inputs).tobytes()).hexdigest() for one in (linear, both)}
    check = DynamicCheck(
        linear_bytes=linear.bytes,
        both_bytes=both.bytes,
        converted=both.converted,
        kept_float=both.kept_float,
        equal=len(digests) == 1,
        inputs=len(inputs),
    )
    return {"operators": [one.to_json() for one in operators], "dynamic": check.to_json()}


@torch.no_grad()
def _operators(module: nn.Module, image: torch.Tensor, torch_ao: Baseline, torchao: Baseline) -> list[Operator]:
    quantization = find_recipe(RECIPE).quantization
    assert quantization is not None
    prepared = prepare(module, quantization, image)
    total: dict[str, Counter[bool]] = {LINEAR: Counter(), CONVOLUTION: Counter(), PRODUCT: Counter()}
    for layer in prepared.layers:
        conv = isinstance(layer.module, nn.Conv2d)
        kind = PRODUCT if layer.role in PRODUCTS else CONVOLUTION if conv else LINEAR
        total[kind][is_quantized(layer, prepared.bits)] += 1
    counting = _Counting()
    with counting:
        _unfolded(module)(image)
    ours = {kind: _share(found[True], sum(found.values())) for kind, found in total.items()}
    return [
        *(_operator(kind, counting, ours, torch_ao, torchao) for kind in KINDS if _calls(kind, counting)),
        *_dropouts(module),
        *_others(counting),
    ]


def _unfolded(module: nn.Module) -> nn.Module:
    """Return the module with the products of its attention in the open, BatchNorm as it is."""
    copied = copy.deepcopy(module)
    decompose_attention(copied)
    return copied


def _calls(kind: Kind, counting: _Counting) -> int:
    return sum(counting.calls[name] for name in kind.operations)


def _operator(kind: Kind, counting: _Counting, ours: dict[str, str], torch_ao: Baseline, torchao: Baseline) -> Operator:
    all_of_them = max(1, sum(counting.multiplications.values()))
    module = {LINEAR: "Linear", CONVOLUTION: "Conv2d"}.get(kind.name, "")
    return Operator(
        name=kind.name,
        calls=_calls(kind, counting),
        share=sum(counting.multiplications[name] for name in kind.operations) / all_of_them,
        ours=ours.get(kind.name, NONE),
        torch_ao=_of_library(torch_ao, module),
        torchao=_of_library(torchao, module),
        why=kind.why,
    )


def _of_library(baseline: Baseline, module: str) -> str:
    converted = baseline.converted.get(module, 0)
    return _share(converted, converted + baseline.kept_float.get(module, 0))


def _share(part: int, whole: int) -> str:
    return NONE if not part else ALL if part == whole else f"{part} of {whole}"


def _dropouts(module: nn.Module) -> list[Operator]:
    count = sum("Drop" in type(layer).__name__ for layer in module.modules())
    return [_float_operator("dropout", 0, f"{count} modules, which do nothing in inference")] if count else []


def _others(counting: _Counting) -> list[Operator]:
    """Return what no kind names: operations that move values and do not change them, each by its name."""
    named = {name for kind in KINDS for name in kind.operations}
    others = sorted(set(counting.calls) - named)
    calls = sum(counting.calls[name] for name in others)
    return (
        [_float_operator("other operations", calls, "no arithmetic on values: " + ", ".join(others))] if others else []
    )


def _float_operator(name: str, calls: int, why: str) -> Operator:
    return Operator(name=name, calls=calls, share=0.0, ours=NONE, torch_ao=NONE, torchao=NONE, why=why)
