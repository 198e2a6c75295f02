"""Facts as data: the quantization methods, each a combination of the same few techniques."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from export.core.schema import Count, Positive, PositiveInt, Proportion, Record

BITS = range(3, 9)
Bits = Annotated[int, Meta(ge=BITS[0], le=BITS[-1])]
Percentile = Annotated[int, Meta(gt=50, le=100)] | Annotated[float, Meta(gt=50, le=100)]

Metric = Literal["hessian", "cosine", "mse", "l1"]
Twin = Literal["none", "exclusive", "published"]


class Calibration(Record, frozen=True, kw_only=True):
    """How parameters are chosen: on `images` images drawn with `seed`, and by which objective.

    A scale search minimises `metric` over `candidates` scales, `search_range` of the full range's, and does so for
    weights and inputs in turn, `rounds` times. `percentile` is the share of the values, in percent, that a range spans;
    `smooth` SmoothQuant's migration strength α.
    """

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
            raise ValueError(f"search_range is {low} to {high}; the first value must be below the second")


class LayerRule(Record, frozen=True, kw_only=True):
    """Bits of the layers whose name or role matches `pattern` (with a shell's `*`); None leaves an operand in float."""

    pattern: str
    weight_bits: Bits | None
    activation_bits: Bits | None


class Method(Record, frozen=True, kw_only=True):
    """A quantization method as a combination of techniques, in the order in which they are applied.

    `fold` moves range from activations into weights, or rotates activations, and `shift` moves their means into biases,
    all of it exactly. `weights` and `activations` say how scales are chosen: max and minmax by the full range,
    percentile by a part of it, search by candidates that minimise the metric, gptq by a search, with error feedback in
    rounding, dynamic per token at run time; learned and tracked scales are those of training (QAT): gradients change
    them, or they follow the range. `weight_granularity` and `weight_symmetric`, `activation_symmetric`: one scale per
    output channel or per tensor, without or with a zero point; `weight_groups` blocks of rows have one each where it is
    searched per tensor (PTQ4ViT's n_V). `twin` gives the outputs of softmax and GELU two ranges, or with `twin_of`
    those of one of them. `gradient` is that of the metric hessian. `compensate` corrects biases or weights for the
    error that remains: bias and ridge one of them, regression both. `accumulation_depth`: where activations are
    integers, weights allow sums of so many steps in int16 (see `accumulation`), and keys and values, which attention
    multiplies by, of one. `weight_only`: the method also makes sense with float activations.
    """

    name: str
    title: str
    note: str
    fold: Literal["none", "layernorm", "smooth", "rotate"] = "none"
    shift: bool = False
    weights: Literal["max", "search", "gptq", "learned", "tracked"] = "max"
    weight_granularity: Literal["channel", "tensor"] = "channel"
    weight_symmetric: bool = True
    activations: Literal["none", "minmax", "percentile", "search", "dynamic"] = "none"
    activation_symmetric: bool = False
    weight_groups: PositiveInt = 1
    twin: Twin = "none"
    twin_of: Literal["both", "softmax", "gelu"] = "both"
    gradient: Literal["fisher", "published"] = "fisher"
    compensate: Literal["none", "bias", "ridge", "regression"] = "none"
    accumulation_depth: Count = 0
    weight_only: bool = False
    calibration: Calibration = Calibration()

    def __post_init__(self) -> None:
        if self.weight_groups > 1 and (self.weights, self.weight_granularity) != ("search", "tensor"):
            raise ValueError(
                f"weight_groups is {self.weight_groups}; that needs weights search and weight_granularity tensor"
            )
        if self.twin == "none" and self.twin_of != "both":
            raise ValueError(f"twin_of is {self.twin_of}, but twin is none")

    @property
    def twin_softmax(self) -> Twin:
        """The ranges of softmax's outputs."""
        return self.twin if self.twin_of != "gelu" else "none"

    @property
    def twin_gelu(self) -> Twin:
        """The ranges of GELU's outputs."""
        return self.twin if self.twin_of != "softmax" else "none"

    @property
    def trains(self) -> bool:
        """Whether the scales of weights come from training (QAT), not from calibration (PTQ)."""
        return self.weights in ("learned", "tracked")

    @property
    def uses_images(self) -> bool:
        """Whether calibration images decide anything: not where weights alone do, and activations at run time."""
        at_run_time = self.weights == "max" and self.activations in ("none", "dynamic")
        return not at_run_time or self.fold != "none" or self.shift or self.compensate != "none"


def _method(name: str, title: str, note: str, **techniques: Any) -> Method:
    return Method(name=name, title=title, note=note, **techniques)


METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        _method(
            "rtn",
            "round to nearest",
            "Weights are rounded to nearest, with one scale per output channel that spans its largest magnitude.",
            weight_only=True,
        ),
        _method(
            "minmax",
            "min/max",
            "Scales span the full range observed on calibration images: one per tensor for activations, one per "
            "output channel for weights.",
            activations="minmax",
        ),
        _method(
            "affine",
            "min/max per tensor",
            "As min/max, but weights are also asymmetric and per tensor: one scale and one zero point per tensor.",
            weight_granularity="tensor",
            weight_symmetric=False,
            activations="minmax",
        ),
        _method(
            "percentile",
            "percentile",
            "As min/max, but the most extreme activations are clipped.",
            activations="percentile",
        ),
        _method(
            "basic",
            "BasePTQ",
            "The baseline of PTQ4ViT: one symmetric scale per tensor, searched for the highest cosine similarity "
            "between each layer's output and the float model's.",
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
            "PTQ4ViT (Yuan et al., ECCV 2022) exactly as its published code computes it: per-tensor weights, "
            "overlapping softmax ranges, and a gradient that is only rounding noise.",
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
            "PTQ4ViT as its paper describes it: a sampled Fisher gradient, disjoint twin ranges a power of two apart "
            "for softmax and GELU, scales per head and per output channel.",
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
            "Scale reparameterization: the per-channel ranges after LayerNorm are made equal by folding them into "
            "LayerNorm and the next layer (Li et al., ICCV 2023); exact in float.",
            fold="layernorm",
            weights="search",
            activations="percentile",
            calibration=Calibration(metric="mse", search_range=(0.5, 1.0)),
        ),
        _method(
            "smoothquant",
            "SmoothQuant",
            "Range is migrated from activations to weights in layers that follow a LayerNorm (Xiao et al., ICML 2023); "
            "exact in float.",
            fold="smooth",
            activations="minmax",
        ),
        _method(
            "bias",
            "bias correction",
            "As min/max; then the mean error of every output channel is subtracted from its bias.",
            activations="minmax",
            compensate="bias",
        ),
        _method(
            "aqer",
            "ERQ's Aqer",
            "Ridge regression updates the weights to compensate the error of quantized activations, before GPTQ "
            "quantizes the weights (Zhong et al., ICML 2024).",
            fold="layernorm",
            weights="gptq",
            activations="percentile",
            compensate="ridge",
            calibration=Calibration(images=128),
        ),
        _method(
            "gptq",
            "GPTQ",
            "Weights are rounded column by column, the error of each compensated in the remaining columns (Frantar et "
            "al., ICLR 2023). Integer activations have one scale per token; keys and values have 7 bits at most.",
            weights="gptq",
            activations="dynamic",
            accumulation_depth=4,
            weight_only=True,
            calibration=Calibration(images=128),
        ),
        _method(
            "quarot",
            "QuaRot with shifts",
            "The residual stream, values, queries and keys are rotated at random, so that no channel stands out "
            "(QuaRot, Ashkboos et al., NeurIPS 2024, without its rotations at run time), and the means of activations "
            "are moved into biases; both exact in float. Then regression compensates the rounding of activations, and "
            "GPTQ rounds the weights.",
            fold="rotate",
            shift=True,
            compensate="regression",
            weights="gptq",
            activations="dynamic",
            accumulation_depth=4,
            calibration=Calibration(images=128),
        ),
        _method(
            "dynamic",
            "dynamic activations",
            "Weights are rounded to nearest; activations are quantized at run time, with one scale per token: nothing "
            "is calibrated.",
            activations="dynamic",
        ),
        _method(
            "lsq",
            "learned step size quantization",
            "The model is fine-tuned with fake quantization, and its scales are learned with its weights (LSQ, Esser "
            "et al., ICLR 2020).",
            weights="learned",
            activations="percentile",
            weight_only=True,
            calibration=Calibration(metric="mse", percentile=99.9, search_range=(0.1, 3.0)),
        ),
        _method(
            "affine_qat",
            "QAT with min/max per tensor",
            "The model is fine-tuned with fake quantization, the scale and zero point of each tensor following its "
            "range (Jacob et al., CVPR 2018).",
            weights="tracked",
            weight_granularity="tensor",
            weight_symmetric=False,
            activations="minmax",
        ),
    )
}
