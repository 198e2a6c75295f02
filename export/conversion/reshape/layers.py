"""The layers of a rewritten model: of one image, `[tokens, width]` without a batch, in few plain operations."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from export.conversion.reshape import parts as extracted
from export.conversion.reshape.parts import Affine

TokenSlice = slice | None  # the tokens that are read later; None: all

# GELU is x·sigmoid(x·(a + b·x²)), exactly so for the tanh form and the quick one. For the one with erf, these a and b
# have the least largest error, 2.8e-4 (Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", have a alone).
TANH = 2 * math.sqrt(2 / math.pi)
SIGMOID: dict[str, tuple[float, float]] = {
    "gelu": (1.6003142, 0.0694018),
    "gelu_tanh": (TANH, 0.044715 * TANH),
    "quick_gelu": (1.702, 0.0),
}


def constant(value: float) -> nn.Parameter:
    """Return one number as `[1]`: onnx2tf mistakes a scalar for a tensor that is computed at run time."""
    return nn.Parameter(torch.tensor([value], dtype=torch.float64), requires_grad=False)


class Linear(nn.Module):
    """x @ weight + bias, with `weight [in, out]`: a matrix product that needs no transposition."""

    def __init__(self, parts: Affine) -> None:
        super().__init__()
        self.weight = nn.Parameter(parts.weight.t().contiguous(), requires_grad=False)
        self.bias = None if parts.bias is None else nn.Parameter(parts.bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, in]` to `[n, out]`."""
        y = x @ self.weight
        return y if self.bias is None else y + self.bias


class Norm(nn.Module):
    """LayerNorm in plain operations, without the parts that were folded; centred inputs need no mean."""

    def __init__(self, parts: extracted.Norm) -> None:
        super().__init__()
        self.eps, self.centred = parts.eps, parts.centred
        self.gamma = None if parts.gamma is None else nn.Parameter(parts.gamma, requires_grad=False)
        self.beta = None if parts.beta is None else nn.Parameter(parts.beta, requires_grad=False)
        self.column: nn.Parameter | None = None

    def use_matmul_mean(self) -> None:
        """Compute the mean of squares as a product with a column of 1/D, where the width D is known from gamma."""
        if self.gamma is not None:
            column = torch.full((len(self.gamma), 1), 1 / len(self.gamma), dtype=torch.float64)
            self.column, self.least = nn.Parameter(column, requires_grad=False), constant(self.eps)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise along the last axis."""
        if not self.centred:
            x = x - x.mean(-1, keepdim=True)
        if self.column is None:
            y = x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.eps)
        else:  # TensorFlow makes one operation of the sum with eps and the product, and of the power too
            y = x * torch.pow((x * x) @ self.column + self.least, -0.5)
        y = y if self.gamma is None else y * self.gamma
        return y if self.beta is None else y + self.beta


def optional_norm(parts: extracted.Norm | None) -> nn.Module:
    """Return the norm, or the identity for None."""
    return nn.Identity() if parts is None else Norm(parts)


class SigmoidGelu(nn.Module):
    """x·sigmoid(x·(a + b·x²)): a sigmoid is a vector operation where erf and tanh are not."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        first, third = SIGMOID[kind]
        self.first, self.third = constant(first), constant(third) if third else None

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation elementwise."""
        inner = self.first if self.third is None else x * x * self.third + self.first
        return x * torch.sigmoid(x * inner)


class PerHeadAttention(nn.Module):
    """Attention with linear layers of each head's own: nothing is split and no product is transposed."""

    def __init__(self, parts: extracted.Attention) -> None:
        super().__init__()
        self.queries, self.keys, self.values = (
            nn.ModuleList(Linear(head) for head in _heads(layer, parts.heads))
            for layer in (parts.query, parts.key, parts.value)
        )
        self.query_norm, self.key_norm = optional_norm(parts.query_norm), optional_norm(parts.key_norm)
        self.scale = constant(parts.scale)
        self.projection = Linear(parts.projection)

    def forward(self, x: Tensor, rows: TokenSlice) -> Tensor:
        """Map `[n, D]` to `[rows, D]`."""
        query_tokens = x if rows is None else x[rows]
        attended = []
        for query, key, value in zip(self.queries, self.keys, self.values, strict=True):
            # Scaled after the transposition: TensorFlow would otherwise make one transposed product of it (as it does
            # where there are as many tokens as a head is wide).
            keys = self.key_norm(key(x)).t() * self.scale
            attended.append(torch.softmax(self.query_norm(query(query_tokens)) @ keys, -1) @ value(x))
        projected: Tensor = self.projection(torch.cat(attended, -1))
        return projected


class BatchedHeadsAttention(nn.Module):
    """Attention with one linear layer for everything and one product for all heads."""

    def __init__(self, parts: extracted.Attention) -> None:
        super().__init__()
        self.heads, self.scale = parts.heads, None if parts.scale == 1 else constant(parts.scale)
        self.qkv = Linear(_joined(parts.query, parts.key, parts.value))
        self.query_norm, self.key_norm = optional_norm(parts.query_norm), optional_norm(parts.key_norm)
        self.projection = Linear(parts.projection)

    def forward(self, x: Tensor, rows: TokenSlice) -> Tensor:
        """Map `[n, D]` to `[rows, D]`."""
        q, k, v = self.qkv(x).reshape(len(x), 3 * self.heads, -1).transpose(0, 1).split(self.heads)
        q = self.query_norm(q if rows is None else q[:, rows])
        q = q if self.scale is None else q * self.scale
        attended = torch.softmax(q @ self.key_norm(k).transpose(1, 2), -1) @ v
        projected: Tensor = self.projection(attended.transpose(0, 1).flatten(1))
        return projected


def _heads(layer: Affine, count: int) -> list[Affine]:
    """Return each head's own rows of a layer."""
    biases = (None,) * count if layer.bias is None else layer.bias.chunk(count)
    return [Affine(*pair) for pair in zip(layer.weight.chunk(count), biases, strict=True)]


def _joined(*layers: Affine) -> Affine:
    """Return one layer whose outputs are those of all."""
    biases = [torch.zeros_like(layer.weight[:, 0]) if layer.bias is None else layer.bias for layer in layers]
    plain = all(layer.bias is None for layer in layers)
    return Affine(torch.cat([layer.weight for layer in layers]), None if plain else torch.cat(biases))


class LayerScale(nn.Module):
    """A LayerScale `[D]`, or the identity."""

    def __init__(self, factor: Tensor | None) -> None:
        super().__init__()
        self.factor = None if factor is None else nn.Parameter(factor, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[n, D]` to `[n, D]`."""
        return x if self.factor is None else x * self.factor


class Block(nn.Module):
    """A transformer block that outputs the tokens `rows` alone; keys and values are of all tokens."""

    def __init__(self, parts: extracted.Block, attention: nn.Module, gelu: nn.Module, rows: TokenSlice) -> None:
        super().__init__()
        self.rows = rows
        self.attention_norm, self.attention = Norm(parts.attention_norm), attention
        self.attention_scale, self.mlp_scale = LayerScale(parts.attention_scale), LayerScale(parts.mlp_scale)
        self.mlp = nn.Sequential(Norm(parts.mlp_norm), Linear(parts.up), gelu, Linear(parts.down))

    def forward(self, stream: Tensor) -> Tensor:
        """Map `[n, D]` to `[rows, D]`."""
        own = stream if self.rows is None else stream[self.rows]
        own = own + self.attention_scale(self.attention(self.attention_norm(stream), self.rows))
        result: Tensor = own + self.mlp_scale(self.mlp(own))
        return result


class Embedding(nn.Module):
    """The patch embedding: the image's patches as tokens, after the prefix tokens."""

    def __init__(self, parts: extracted.TransformerParts) -> None:
        super().__init__()
        width, channels, *size = parts.patches.weight.shape
        self.tokens = parts.patches.grid[0] * parts.patches.grid[1]
        kernel = (size[0], size[1])
        self.cut = nn.Conv2d(channels, width, kernel, stride=kernel, bias=parts.patches.bias is not None)
        self.cut.weight = nn.Parameter(parts.patches.weight, requires_grad=False)
        if parts.patches.bias is not None:
            self.cut.bias = nn.Parameter(parts.patches.bias, requires_grad=False)
        self.prefix = nn.Parameter(parts.prefix, requires_grad=False) if len(parts.prefix) else None
        self.positions = None if parts.positions is None else nn.Parameter(parts.positions, requires_grad=False)
        self.norm, self.recentre = optional_norm(parts.norm), parts.recentre

    def forward(self, pixels: Tensor) -> Tensor:
        """Map `[1, C, H, W]` to `[n, D]`."""
        x: Tensor = self.cut(pixels).permute(0, 2, 3, 1).reshape(self.tokens, -1)
        x = x if self.positions is None else x + self.positions
        tokens: Tensor = self.norm(x if self.prefix is None else torch.cat([self.prefix, x]))
        return tokens - tokens.mean(-1, keepdim=True) if self.recentre else tokens


class OutputHead(nn.Module):
    """Pooling, final norm and classifiers."""

    def __init__(self, parts: extracted.OutputHead) -> None:
        super().__init__()
        self.mean, self.norm_after_mean, self.mean_from = parts.mean, parts.norm_after_mean, parts.mean_from
        self.norm = optional_norm(parts.norm)
        self.classifiers = nn.ModuleList(Linear(layer) for layer in parts.classifiers)

    def forward(self, x: Tensor) -> Tensor:
        """Map the `[count, D]` that are read to `[1, K]`."""
        if not self.norm_after_mean:
            x = self.norm(x)
        if self.mean:
            x = x.mean(0, keepdim=True)
        if self.norm_after_mean:
            x = self.norm(x)
        if not self.classifiers:
            return x
        second = x[self.mean_from :].mean(0, keepdim=True) if self.mean_from else x[1:]
        tokens = [x] if len(self.classifiers) == 1 else [x[:1], second]
        results: list[Tensor] = [layer(token) for layer, token in zip(self.classifiers, tokens, strict=True)]
        return results[0] if len(results) == 1 else (results[0] + results[1]) / 2


def gelu(kind: str, *, by_sigmoid: bool) -> nn.Module:
    """Return the activation: by a sigmoid where that is exact, or where `by_sigmoid` allows the approximation."""
    return SigmoidGelu(kind) if by_sigmoid or kind != "gelu" else ErfGelu()


class ErfGelu(nn.Module):
    """GELU by erf, as it is defined."""

    def forward(self, x: Tensor) -> Tensor:
        """Apply the activation elementwise."""
        return F.gelu(x)
