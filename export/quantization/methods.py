"""Facts as data: the quantization methods, each a combination of the same few steps."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from export.core.schema import Count, Positive, PositiveInt, Proportion, Record

BITS = range(3, 9)
Bits = Annotated[int, Meta(ge=BITS[0], le=BITS[-1])]
Percentile = Annotated[int, Meta(gt=50, le=100)] | Annotated[float, Meta(gt=50, le=100)]

Metric = Literal["hessian", "cosine", "mse", "l1"]


class Calibration(Record, frozen=True, kw_only=True):
    """On how many images, drawn with which seed, scales are chosen; `trials` of them within `search_range`."""

    images: PositiveInt = 32
    seed: Count = 0
    metric: Metric = "hessian"
    candidates: PositiveInt = 100
    rounds: PositiveInt = 1
    search_range: tuple[Positive, Positive] = (0.01, 1.2)
    percentile: Percentile = 99.999
    smooth: Proportion = 0.5

    def __post_init__(self) -> None:
        low, high = self.search_range
        if not low < high:
            raise ValueError(f"search_range is {low} to {high}; the first must be below the second")


class LayerRule(Record, frozen=True, kw_only=True):
    """The bits of layers whose name or role matches `pattern` (as a shell's `*`); None leaves that operand in float."""

    pattern: str
    weight_bits: Bits | None
    activation_bits: Bits | None


class Method(Record, frozen=True, kw_only=True):
    """The steps of a method, in the order in which they are done.

    `fold` moves range from activations into weights (exactly); `weights` and `activations` say how scales are
    found: `max` spans the largest value, `search` tries candidates on the metric, `gptq` also rounds with error
    feedback, `dynamic` takes each token's own largest value at run time; `learned` and `tracked` steps belong to
    training: gradients change them, or they follow the range. `twin` gives the outputs of softmax and GELU two
    ranges. `compensate` changes biases or weights for the error that remains. `run`: where activations are integers,
    weights leave room for sums of so many steps in 16 bits (`quant/runs.py`), and keys and values, attention's weights,
    for one. `weight_only`: the method also makes sense with float activations.
    """

    name: str
    title: str
    note: str
    fold: Literal["none", "layernorm", "smooth"] = "none"
    weights: Literal["max", "search", "gptq", "learned", "tracked"] = "max"
    weight_granularity: Literal["channel", "tensor"] = "channel"
    weight_symmetric: bool = True
    activations: Literal["none", "minmax", "percentile", "search", "dynamic"] = "none"
    activation_symmetric: bool = False
    twin: Literal["none", "exclusive", "published"] = "none"
    gradient: Literal["fisher", "published"] = "fisher"
    compensate: Literal["none", "bias", "ridge"] = "none"
    run: Count = 0
    weight_only: bool = False
    calibration: Calibration = Calibration()

    @property
    def trains(self) -> bool:
        """Whether the method is one of training, not of calibration: `weights` says what becomes of the steps."""
        return self.weights in ("learned", "tracked")


def _method(name: str, title: str, note: str, **steps: Any) -> Method:
    return Method(name=name, title=title, note=note, **steps)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        _method(
            "rtn",
            "round to nearest",
            "Every output channel of a weight is scaled to its largest value and rounded.",
            weight_only=True,
        ),
        _method(
            "minmax",
            "min/max",
            "Scales span the whole range seen on calibration images: one per tensor for activations, one per output "
            "channel for weights.",
            activations="minmax",
        ),
        _method(
            "affine",
            "min/max per tensor",
            "As min/max, but weights too have one scale, and a zero point, for the whole tensor.",
            weight_granularity="tensor",
            weight_symmetric=False,
            activations="minmax",
        ),
        _method(
            "percentile",
            "percentile",
            "As min/max, but the range of activations leaves out the most extreme values.",
            activations="percentile",
        ),
        _method(
            "basic",
            "BasePTQ",
            "The baseline of PTQ4ViT: one symmetric scale per tensor, searched for the highest cosine similarity of "
            "each layer's output.",
            weights="search",
            weight_granularity="tensor",
            activations="search",
            activation_symmetric=True,
            weight_only=True,
            calibration=Calibration(metric="cosine", search_range=(0.5, 1.2)),
        ),
        _method(
            "ptq4vit_published",
            "PTQ4ViT as published",
            "PTQ4ViT (Yuan et al., ECCV 2022) just as its code computes: per-tensor weights, overlapping softmax "
            "ranges, and a gradient that is rounding noise.",
            weights="search",
            weight_granularity="tensor",
            activations="search",
            activation_symmetric=True,
            twin="published",
            gradient="published",
            calibration=Calibration(rounds=3),
        ),
        _method(
            "ptq4vit",
            "PTQ4ViT, corrected",
            "PTQ4ViT with what its paper means: a sampled Fisher gradient, exclusive twin ranges a power of two "
            "apart for softmax and GELU, scales per head and per output channel.",
            weights="search",
            activations="search",
            activation_symmetric=True,
            twin="exclusive",
            weight_only=True,
            calibration=Calibration(search_range=(0.3, 1.2)),
        ),
        _method(
            "repq",
            "RepQ-ViT",
            "Each channel after LayerNorm gets its own range, which is then folded into LayerNorm and the next layer "
            "(Li et al., ICCV 2023); exact in float.",
            fold="layernorm",
            weights="search",
            activations="percentile",
            calibration=Calibration(metric="mse", search_range=(0.5, 1.0)),
        ),
        _method(
            "smoothquant",
            "SmoothQuant",
            "Range is moved from activations into weights where a LayerNorm or the values of attention come before "
            "(Xiao et al., ICML 2023); exact in float.",
            fold="smooth",
            activations="minmax",
        ),
        _method(
            "bias",
            "bias correction",
            "As min/max; then the mean error of every output channel is taken off its bias.",
            activations="minmax",
            compensate="bias",
        ),
        _method(
            "aqer",
            "ERQ's activation step",
            "Ridge regression changes the weights so that they make up for the rounding of their input, before they "
            "are rounded themselves (Zhong et al., ICML 2024, Aqer).",
            fold="layernorm",
            weights="gptq",
            activations="percentile",
            compensate="ridge",
            calibration=Calibration(images=128),
        ),
        _method(
            "gptq",
            "GPTQ",
            "Weights are rounded column by column, each error made up for by the columns to come (Frantar et al., "
            "ICLR 2023). Integer activations have one scale per token; keys and values have 7 bits at most.",
            weights="gptq",
            activations="dynamic",
            run=4,
            weight_only=True,
            calibration=Calibration(images=128),
        ),
        _method(
            "dynamic",
            "dynamic activations",
            "Weights are rounded to nearest, activations at run time with one scale per token: nothing is calibrated.",
            activations="dynamic",
        ),
        _method(
            "lsq",
            "learned steps",
            "The model is trained on with its numbers rounded, and learns the steps of the rounding as it learns its "
            "weights (LSQ, Esser et al., ICLR 2020).",
            weights="learned",
            activations="percentile",
            weight_only=True,
            calibration=Calibration(metric="mse", percentile=99.9, search_range=(0.1, 3.0)),
        ),
        _method(
            "affine_qat",
            "trained, min/max per tensor",
            "The model is trained on with its numbers rounded, each tensor over the range that it has at that time "
            "(Jacob et al., CVPR 2018).",
            weights="tracked",
            weight_granularity="tensor",
            weight_symmetric=False,
            activations="minmax",
        ),
    )
}
