"""The statistics of what is measured: medians with their spread, shares with their interval."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054  # of the standard normal distribution


@dataclass(frozen=True, slots=True)
class Figure:
    """A value of `n` samples with the bounds that `Measurement` calls p10 and p90."""

    value: float
    n: int
    low: float | None
    high: float | None


def summarise(samples: Sequence[float]) -> Figure:
    """Return the median of one or more samples with the 10th and 90th percentile (Hyndman & Fan 1996, type 7)."""
    deciles = statistics.quantiles(samples, n=10, method="inclusive") if len(samples) > 1 else samples
    return Figure(statistics.median(samples), len(samples), deciles[0], deciles[-1])


def proportion(hits: int, n: int) -> Figure:
    """Return a share of 0..1 with its 95 % Wilson score interval (Wilson 1927)."""
    share = hits / n
    centre = (share + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    margin = Z_95 * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n)) / (1 + Z_95**2 / n)
    return Figure(share, n, max(0.0, centre - margin), min(1.0, centre + margin))
