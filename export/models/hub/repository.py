"""A repository of the model hub as a folder: configuration, preprocessing and weights, cached or downloaded."""

import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from export.core.errors import RequestError
from export.models.folder.files import CARD, CONFIG, INDEX, PROCESSORS, WEIGHTS, listed
from export.models.hub.client import connect_timeout, reason
from export.models.hub.weights import intact

# Files of weights that are not read; one of them tells why a repository cannot be.
UNREAD = ("tf_model.h5", "flax_model.msgpack", "onnx/model.onnx", "adapter_config.json")
TOKEN = "create one at https://huggingface.co/settings/tokens, and set HF_TOKEN"
REFUSED = (401, 403)


@lru_cache(maxsize=16)
def fetch_repository(name: str, *, weights: bool = True) -> Path:
    """Return a folder with the files of `user/repo` or `user/repo@revision` that are read; `weights` are optional.

    What the hub's cache has of the current revision is used as it is. The hub client's own variables (HF_ENDPOINT,
    HF_HUB_OFFLINE, HF_HOME, HF_TOKEN …) are honoured. Raises `RequestError` for a repository that does not exist, may
    not be read, or has no configuration or weights, and when the hub cannot be reached or the download breaks off.
    """
    repository, _, revision = name.partition("@")
    found = _fetch(repository, revision, CONFIG)
    if found is None:
        raise RequestError(
            f"{name}: the repository has no {CONFIG}, which says what the model is",
            hint="download its file of weights, and pass it with its architecture: --model NAME --checkpoint FILE",
        )
    for optional in PROCESSORS:
        if _fetch(repository, revision, optional) is not None:
            break
    _fetch(repository, revision, CARD)
    if weights:
        _fetch_weights(repository, revision)
    return found.parent


def _fetch_weights(repository: str, revision: str) -> None:
    for name in WEIGHTS:
        path = _fetch(repository, revision, name)
        if path is None:
            continue
        for part in _parts(path):
            if _fetch(repository, revision, part) is None:
                raise RequestError(
                    f"{repository}: {part}, which {name} lists, is not in the repository",
                    hint="tell its owner; or pass a revision that has it: hf_hub:USER/REPO@REVISION",
                )
        return
    others = [name for name in UNREAD if _fetch(repository, revision, name, only_ask=True) is not None]
    raise RequestError(
        f"{repository}: the repository has no weights that can be read"
        + (f", only {', '.join(others)}" if others else ""),
        hint=f"a repository needs {WEIGHTS[0]} or {WEIGHTS[2]}, whole or in parts",
    )


def _parts(path: Path) -> list[str]:
    """Return the parts that an index lists; those that are there already are not asked for twice."""
    if not path.name.endswith(INDEX):
        return []
    try:
        return listed(path)
    except RequestError:
        from export.models.folder.config import Config

        places = Config.read(path).get("weight_map")
        return sorted({str(one) for one in places.values()}) if isinstance(places, dict) else []


def _fetch(repository: str, revision: str, file: str, *, only_ask: bool = False) -> Path | None:
    """Return the local path of a file, None where the repository lacks it."""

    def ask() -> Path:
        if only_ask:
            url = huggingface_hub.hf_hub_url(repository, file, revision=revision or None)
            huggingface_hub.get_hf_file_metadata(url, timeout=connect_timeout())
            return Path(file)
        path = huggingface_hub.hf_hub_download(
            repository, file, revision=revision or None, etag_timeout=connect_timeout()
        )
        return intact(repository, Path(path))

    return _asked(repository, revision, file, ask)


def _asked(repository: str, revision: str, file: str, ask: Callable[[], Path]) -> Path | None:
    """Return what asking gives, None for a file that is not there, or raise what its failure means."""
    try:
        return ask()
    except RequestError:
        raise
    except LocalEntryNotFoundError as error:  # a kind of the next one
        if file == CARD or _known_to_be_absent(repository, revision, file):
            return None
        raise _unreachable(repository, file, error) from error
    except EntryNotFoundError:
        return None
    except GatedRepoError as error:
        raise RequestError(
            f"{repository}: the repository is gated: its terms must be accepted first",
            hint=f"accept them at {constants.ENDPOINT}/{repository}; then {TOKEN}",
        ) from error
    except RevisionNotFoundError as error:
        raise RequestError(
            f"{repository}: the repository has no revision {revision!r}", hint="pass a branch, a tag or a commit"
        ) from error
    except RepositoryNotFoundError as error:
        raise _not_found(repository) from error
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code in REFUSED:
            raise _refused(repository, error.response.status_code) from error
        raise _interrupted(repository, file, error) from error
    except Exception as error:  # whatever the hub's clients (HTTP, Xet, file system) raise
        raise _interrupted(repository, file, error) from error


def _known_to_be_absent(repository: str, revision: str, file: str) -> bool:
    """Whether the cache remembers that the repository lacks a file."""
    cached = huggingface_hub.try_to_load_from_cache(repository, file, revision=revision or None)
    return cached is huggingface_hub.file_download._CACHED_NO_EXIST


def _not_found(repository: str) -> RequestError:
    if huggingface_hub.get_token():
        return RequestError(
            f"{repository}: {constants.ENDPOINT} has no such repository, or the token may not read it",
            hint="check the name; if it is private, the token in HF_TOKEN needs the right to read it",
        )
    return RequestError(
        f"{repository}: {constants.ENDPOINT} has no such repository, or it is private",
        hint=f"check the name; if it is private, {TOKEN}",
    )


def _refused(repository: str, status: int) -> RequestError:
    if huggingface_hub.get_token():
        return RequestError(
            f"{repository}: {constants.ENDPOINT} refuses the token in HF_TOKEN (HTTP {status})",
            hint=f"it may have expired: {TOKEN}; or unset HF_TOKEN for a public repository",
        )
    return RequestError(
        f"{repository}: {constants.ENDPOINT} denies access (HTTP {status})", hint=f"if it is private, {TOKEN}"
    )


def _unreachable(repository: str, file: str, error: Exception) -> RequestError:
    if constants.is_offline_mode():
        return RequestError(
            f"{repository}: HF_HUB_OFFLINE is set and {file} is not in the cache {constants.HF_HUB_CACHE}",
            hint="unset HF_HUB_OFFLINE; or pass a local folder: --checkpoint FOLDER",
        )
    cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
    return RequestError(
        f"{repository}: it is not on this machine and the model hub {constants.ENDPOINT} cannot be reached: "
        f"{reason(cause)}",
        hint="check the connection; or pass a local folder: --checkpoint FOLDER",
    )


def _interrupted(repository: str, file: str, error: Exception) -> RequestError:
    return RequestError(
        f"{repository}: the download of {file} from {constants.ENDPOINT} was interrupted: {reason(error)}",
        hint="run the command again, it goes on where it was; or pass a local folder: --checkpoint FOLDER",
    )


def is_repository(name: str) -> bool:
    """Whether a name has the form `user/repo` or `user/repo@revision`."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", name) is not None
