"""How many pixels a picture may have, decoded at 4 bytes each, twice; and how many on a side."""

from export.core.errors import RequestError

MAX_PIXELS = 64_000_000
MAX_SIDE = 65_000  # what browsers can draw


def check_size(name: str, width: int, height: int) -> None:
    """Raise `RequestError` for a picture that is too large; its size is given with all digits, never rounded."""
    if width * height > MAX_PIXELS:
        raise RequestError(
            f"{name} is {width}×{height}, {width * height / 1e6:.15g} million pixels; "
            f"at most {MAX_PIXELS // 10**6} million are supported",
            hint="scale it down first",
        )
    if max(width, height) > MAX_SIDE:
        raise RequestError(
            f"{name} is {width}×{height}; at most {MAX_SIDE:,} pixels a side are supported", hint="crop it first"
        )
