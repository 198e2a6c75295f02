"""JPEG files that end early: ended properly, and continued with noise, which shows how far their own data goes."""

from collections.abc import Iterator

SCAN, END = 0xDA, 0xD9
FIRST_RESTART, RESTARTS = 0xD0, 8
INTERVAL = bytes([0xFF, 0xDD, 0, 4])  # begins the segment that says how many blocks lie between restart marks
NOISE = b"\xaa"  # bits that decode to something else than grey
BYTES_PER_BLOCK = 768  # more than a decoder can take for the components of 8 columns


def segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield each segment's marker and position, the scan's last."""
    at = 2
    while at + 4 <= len(data):
        marker = data[at + 1] if data[at] == 0xFF else 0xFF
        if marker == 0xFF:  # fill
            at += 1
            continue
        yield marker, at
        if marker in (SCAN, END):
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def lacks_end(data: bytes) -> bool:
    """Say whether a JPEG file has a scan and no end mark behind it."""
    scan = next((at for marker, at in segments(data) if marker == SCAN), None)
    return scan is None or data.find(bytes([0xFF, END]), scan) < 0


def ended(data: bytes) -> bytes:
    """Return a JPEG file without its unfinished last segment, ended; decoders fill the rest with grey."""
    return _finished(data) + bytes([0xFF, END])


def continued(data: bytes, width: int) -> bytes:
    """Return the file with noise in place of the rows that it lacks; where it lacks none, decoders pass over the noise.

    It goes on for a row of blocks at least, also where decoders wait for restart marks.
    """
    own = _finished(data).rstrip(b"\xff")
    columns = -(-width // 8)
    at = own.find(INTERVAL)
    interval = int.from_bytes(own[at + 4 : at + 6], "big") if at >= 0 else 0
    if interval == 0:
        return own + NOISE * (BYTES_PER_BLOCK * columns) + bytes([0xFF, END])
    noise = NOISE * (BYTES_PER_BLOCK * min(interval, columns))
    places = [own.rfind(bytes([0xFF, FIRST_RESTART + number])) for number in range(RESTARTS)]
    following = places.index(max(places)) + 1 if max(places) >= 0 else 0
    marks = [FIRST_RESTART + (following + step) % RESTARTS for step in range(columns // interval + 2)]
    return own + noise + b"".join(bytes([0xFF, mark]) + noise for mark in marks) + bytes([0xFF, END])


def _finished(data: bytes) -> bytes:
    at = 2
    while at + 1 < len(data):
        marker = data[at + 1] if data[at] == 0xFF else 0
        if marker in (0, 0xFF) or 0xD0 <= marker <= 0xD7:  # inside a scan
            found = data.find(b"\xff", at + 1)
            at = found if found >= 0 else len(data)
            continue
        following = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") if at + 3 < len(data) else len(data) + 1
        if following > len(data):
            return data[:at]
        at = following
    return data
