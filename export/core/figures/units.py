"""How figures are written on the pages; `site/js/page/ui/figures.js` writes them in the same way."""

NO_BREAK = "\u00a0"  # between a number and its unit, so that a line never breaks there


def format_bytes(count: int) -> str:
    """Write a size in decimal units with three significant digits: `512 B`, `21.1 kB`, `5.69 MB`."""
    for factor, unit in ((1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")):
        if count >= factor:
            return f"{_three_digits(count / factor)}{NO_BREAK}{unit}"
    return f"{count}{NO_BREAK}B"


def format_unequal_bytes(count: int, limit: int) -> tuple[str, str]:
    """Write a size and the limit it misses so that they differ: with all digits where three are the same."""
    written = format_bytes(count), format_bytes(limit)
    if written[0] != written[1]:
        return written
    return f"{count:,}{NO_BREAK}B", f"{limit:,}{NO_BREAK}B"


def format_ms(milliseconds: float) -> str:
    """Write a time with three significant digits: `0.005 ms`, `0.12 ms`, `4.56 ms`, `162 ms`."""
    return f"{_three_digits(milliseconds)}{NO_BREAK}ms"


def format_percent(share: float) -> str:
    """Write a share of 0..1 as `93.4 %`."""
    return f"{100 * share:.1f}{NO_BREAK}%"


def format_count(count: int) -> str:
    """Write a count with thousands apart: `2,680,000`."""
    return f"{count:,}"


def format_decibels(sqnr_db: float | None) -> str:
    """Write a signal-to-noise ratio, or what None stands for."""
    return "identical" if sqnr_db is None else f"{sqnr_db:.1f}{NO_BREAK}dB"


def format_difference(value: float) -> str:
    """Write a small difference: `0`, `3.1e-06`, `0.041`."""
    return f"{value:.2g}"


def _three_digits(value: float) -> str:
    if 0 < value < 0.01:
        return f"{value:.1g}"
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{decimals}f}"


FILTERS = {
    "bytes": format_bytes,
    "ms": format_ms,
    "percent": format_percent,
    "count": format_count,
    "decibels": format_decibels,
    "difference": format_difference,
}
