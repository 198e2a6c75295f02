"""Which parts of a model can be quantized: layers by name and role, attention's products; BatchNorm folded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from export.core.errors import ConversionError
from export.quantization.layers.modules import Product

Role = Literal["stem", "conv", "qkv", "linear", "post_gelu", "head", "product_qk", "product_av"]
MATMULS: tuple[Callable[..., Any], ...] = (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm)
PRODUCTS = ("product_qk", "product_av")


@dataclass(frozen=True, slots=True)
class QuantizableLayer:
    """A layer that can be quantized: its `name` and `module`, and its `role` in the model."""

    name: str
    role: Role
    module: nn.Module


class _ProductRouting(TorchFunctionMode):
    """Routes the matrix products of an attention layer's forward pass through its `Product` modules, in order."""

    def __init__(self, products: list[Product]) -> None:
        super().__init__()
        self.products = iter(products)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in MATMULS:
            return func(*args, **(kwargs or {}))
        product = next(self.products, None)
        if product is None:
            raise ConversionError("an attention layer has more than two matrix products: it cannot be quantized")
        return product(*args)


class _DecomposedAttention:
    """Mixed into the class of an attention layer: its two products are modules of their own."""

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        with _ProductRouting([self.product_qk, self.product_av]):  # type: ignore[attr-defined]
            return super().forward(*args, **kwargs)  # type: ignore[misc, no-any-return]


def decompose_attention(module: nn.Module) -> None:
    """Decompose each attention layer, in place: unfused, with its products as modules, `product_qk` and `product_av`.

    Its arithmetic stays the same.
    """
    for layer in list(module.modules()):
        if hasattr(layer, "fused_attn") and not isinstance(layer, _DecomposedAttention):
            layer.fused_attn = False  # type: ignore[assignment]
            layer.__class__ = type(f"Decomposed{type(layer).__name__}", (_DecomposedAttention, type(layer)), {})
            layer.product_qk, layer.product_av = Product(), Product()


@torch.no_grad()
def fold_batch_norm(module: nn.Module, example: Tensor) -> list[str]:
    """Fold every BatchNorm that follows a convolution into it, in place; return the names of the convolutions.

    W' = W·γ/σ, b' = β + (b - μ)·γ/σ per output channel. `example` is an input: a forward pass tells the order.
    """
    convolutions = {id(layer): name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)}
    layers = dict(module.named_modules())
    produced: dict[int, str] = {}  # identity of a convolution's output → its name
    pairs: list[tuple[str, str]] = []
    kept: list[Tensor] = []  # so that no other tensor takes the identity of one that was freed

    def follow(name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if id(layer) in convolutions:
                produced[id(output)] = name
                kept.append(output)
            elif id(inputs[0]) in produced:
                pairs.append((produced[id(inputs[0])], name))

        return hook

    watched = [name for name, layer in layers.items() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)]
    handles = [layers[name].register_forward_hook(follow(name)) for name in watched]
    try:
        module.eval()(example)
    finally:
        for handle in handles:
            handle.remove()
    for conv, norm in pairs:
        _fold(layers[conv], layers[norm])
    return [conv for conv, _ in pairs]


def _fold(conv: nn.Module, norm: nn.Module) -> None:
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    assert norm.running_var is not None and norm.running_mean is not None
    factor = torch.rsqrt(norm.running_var + norm.eps) * norm.weight
    bias = torch.zeros_like(norm.running_mean) if conv.bias is None else conv.bias
    conv.weight.mul_(factor[:, None, None, None])
    conv.bias = nn.Parameter(norm.bias + (bias - norm.running_mean) * factor)
    reset_batch_norm(norm)


def reset_batch_norm(norm: nn.BatchNorm2d) -> None:
    """Make a BatchNorm that was folded pass its input through unchanged; what timm hangs behind it stays."""
    assert norm.running_var is not None and norm.running_mean is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0)
    norm.weight.data.fill_(1.0)
    norm.bias.data.zero_()
    norm.eps = 0.0


def find_quantizable_layers(module: nn.Module, example: Tensor) -> list[QuantizableLayer]:
    """Return the layers that can be quantized in the order in which they run; `example` is an input.

    Those are Linear, Conv2d and the products of decomposed attention. Raises `ConversionError` when there is none.
    """
    names = {layer: name for name, layer in module.named_modules()}
    seen: list[nn.Module] = []
    handles = [
        layer.register_forward_hook(lambda layer, *_: seen.append(layer))
        for layer in names
        if isinstance(layer, nn.Linear | nn.Conv2d | Product)
    ]
    try:
        with torch.no_grad():
            module(example)
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise ConversionError("the model has no layer that can be quantized (Linear, Conv2d, attention)")
    after_gelu = {id(layer.fc2) for layer in names if _is_gelu_mlp(layer)}
    classifier = getattr(module, "get_classifier", lambda: None)()
    attends = any(isinstance(layer, Product) for layer in seen)
    ordered = list(dict.fromkeys(seen))
    return [
        QuantizableLayer(names[layer], _role(names[layer], layer, after_gelu, classifier, attends), layer)
        for layer in ordered
    ]


def _is_gelu_mlp(layer: nn.Module) -> bool:
    parts = [getattr(layer, name, None) for name in ("act", "norm", "fc2")]
    gelu = parts[0] is not None and "gelu" in type(parts[0]).__name__.lower()
    return gelu and isinstance(parts[2], nn.Linear) and isinstance(parts[1], nn.Identity | None)


def _role(name: str, layer: nn.Module, after_gelu: set[int], classifier: object, attends: bool) -> Role:
    last = name.rpartition(".")[2]
    if isinstance(layer, nn.Conv2d):
        return "stem" if attends else "conv"
    if isinstance(layer, Product):
        return "product_qk" if last == "product_qk" else "product_av"
    if layer is classifier:
        return "head"
    if id(layer) in after_gelu:
        return "post_gelu"
    return "qkv" if last == "qkv" else "linear"
