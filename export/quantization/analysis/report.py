"""An analysis for people: tables in Markdown, and a recipe to paste."""

from collections.abc import Sequence

from export.core.figures.units import format_bytes
from export.quantization.analysis.records import Analysis, LadderRow, MixedPrecision, MixedRow, SensitivityRow
from export.quantization.evaluation.records import format_estimate

GOOD_COSINE = 0.9  # of the outputs, below which a quantized model is not worth more analysis (TinyNeuralNetwork's rule)


def markdown(analysis: Analysis, worst: Sequence[SensitivityRow]) -> str:
    """Return the tables of an analysis as Markdown, layers ranked by what they cost the outputs."""
    parts = [
        f"{analysis.model}, {analysis.recipe}, n={analysis.n:,} ({analysis.data}), calibrated on "
        f"{analysis.calibration_data}; {analysis.machine}, {analysis.threads} threads. `{analysis.command}`",
        "### One layer quantized at a time, the worst first",
        _table(
            ("layer", "role", "tensors", "SQNR of its output", "SQNR of the outputs", "cosine", "agreement", "top-1"),
            [
                (
                    row.layer,
                    row.role,
                    row.tensors,
                    _db(row.own_sqnr_db),
                    _db(row.sqnr_db),
                    f"{row.cosine:.5f}",
                    format_estimate(row.agreement),
                    format_estimate(row.top1),
                )
                for row in sorted(analysis.sensitivity, key=lambda row: row.sqnr_db)
            ],
        ),
        paste(worst),
        "### All layers quantized: the error of each layer's output",
        _table(
            ("layer", "role", "SQNR", "cosine"),
            [(row.layer, row.role, _db(row.sqnr_db), f"{row.cosine:.5f}") for row in analysis.cumulative],
        ),
        _verdict(analysis),
        "### Outliers",
        _outliers(analysis),
    ]
    if analysis.ladder:
        parts += ["### Everything quantized, step by step", ladder_table(analysis.ladder)]
    return "\n\n".join(part for part in parts if part) + "\n"


def paste(worst: Sequence[SensitivityRow]) -> str:
    """Return the options that give the worst layers 8 bits, for a command line."""
    if not worst:
        return ""
    rules = " ".join(f"--rule '{row.layer}={'8,8' if row.tensors == 'both' else '8'}'" for row in worst)
    return f"To give the worst {len(worst)} layers 8 bits, add to `export.quantize`:\n\n```sh\n{rules}\n```"


def _verdict(analysis: Analysis) -> str:
    if not analysis.cumulative:
        return ""
    last = analysis.cumulative[-1]
    word = "at least" if last.cosine >= GOOD_COSINE else "below"
    return f"The last layer's cosine is {last.cosine:.4f}, {word} {GOOD_COSINE}."


def _outliers(analysis: Analysis) -> str:
    rows = [row for row in analysis.distributions if row.warning]
    if not rows:
        return "No tensor has channels or tokens far above its median one."
    ranked = sorted(rows, key=lambda row: max(row.channel_ratio, row.token_ratio or 0), reverse=True)
    return _table(
        ("layer", "tensor", "from", "to", "warning"),
        [(row.layer, row.operand, f"{row.low:.3g}", f"{row.high:.3g}", row.warning) for row in ranked],
    )


def ladder_table(rows: Sequence[LadderRow]) -> str:
    """Return the steps of everything quantized as a table."""
    return _table(
        ("quantized", "layers in float", "SQNR of the outputs", "cosine", "agreement", "top-1"),
        [
            (
                row.step,
                ", ".join(row.float_layers) or "none",
                _db(row.sqnr_db),
                f"{row.cosine:.4f}",
                format_estimate(row.agreement),
                format_estimate(row.top1),
            )
            for row in rows
        ],
    )


def mixed_markdown(mixed: MixedPrecision) -> str:
    """Return the comparison of mixed with uniform bits, and the bits of each layer, as Markdown."""
    return "\n\n".join(
        (
            f"{mixed.model}, n={mixed.n:,} ({mixed.data}), calibrated on {mixed.calibration_data}; {mixed.machine}; "
            f"limit: {mixed.limit}. `{mixed.command}`",
            mixed_table(mixed),
            _table(("layer", "bits"), [(name, str(bits)) for name, bits in mixed.bits.items()]),
        )
    )


def mixed_table(mixed: MixedPrecision) -> str:
    """Return the comparison of mixed with uniform bits as a table."""
    rows: list[MixedRow] = [*mixed.uniform, mixed.chosen]
    return _table(
        ("recipe", "file", "packed weights", "SQNR of the outputs", "agreement", "top-1"),
        [
            (
                row.recipe,
                format_bytes(row.bytes),
                f"{row.weight_bytes:,} B",
                _db(row.sqnr_db),
                format_estimate(row.agreement),
                format_estimate(row.top1),
            )
            for row in rows
        ],
    )


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    shown = [index for index in range(len(titles)) if any(row[index] != "not measured" for row in rows)]
    lines = [[titles[index] for index in shown], ["---"] * len(shown)]
    lines += [[row[index] for index in shown] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _db(value: float) -> str:
    return "identical" if value >= 200 else f"{value:.1f} dB"
