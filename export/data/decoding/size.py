"""How many pixels a picture may have: decoded, it takes 4 bytes a pixel, twice."""

from export.core.errors import RequestError

MAX_PIXELS = 64_000_000


def check_size(name: str, width: int, height: int) -> None:
    """Raise `RequestError` for a picture that is too large; its size is given with all digits, never rounded."""
    if width * height > MAX_PIXELS:
        raise RequestError(
            f"{name} is {width}×{height}, {width * height / 1e6:.15g} million pixels; "
            f"at most {MAX_PIXELS // 10**6} million are supported",
            hint="scale it down first",
        )
