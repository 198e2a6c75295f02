"""What both kinds of downloads share: how long the hub may take to respond, and how its errors are said."""

import os

from huggingface_hub import constants, get_token

CONNECT_SECONDS = 8  # a hub that is up responds within one; the hub's own client would retry for minutes
WEIGHTS_HINT = (
    "use your own weights with --checkpoint FILE, an untrained model of the same architecture with --weights random, "
    "or an embedded one: --model photos"
)


def connect_timeout() -> float:
    """Return the timeout of a first response in seconds; HF_HUB_ETAG_TIMEOUT overrides it."""
    return constants.HF_HUB_ETAG_TIMEOUT if os.environ.get("HF_HUB_ETAG_TIMEOUT") else CONNECT_SECONDS


def reason(error: Exception) -> str:
    """Return the kind of an error and the first line of its message, in which no token is shown."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    token = get_token()
    return text.replace(token, "…") if token else text
