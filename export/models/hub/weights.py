"""Pretrained weights from the model hub: from its cache, else downloaded, else an error that says what can be done."""

import re
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import huggingface_hub
import torch
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from timm.models import PretrainedCfg

from export.core.errors import RequestError
from export.core.files import hash_file
from export.models.hub.client import CONNECT_SECONDS, WEIGHTS_HINT, connect_timeout, reason

FILES = ("model.safetensors", "pytorch_model.bin")  # in order of preference, as timm has it


def fetch_weights(name: str, config: PretrainedCfg) -> Path:
    """Return the local file of a timm model's pretrained weights; `name` is the model as requested.

    A file in the hub's cache is used as it is. The hub client's own variables (HF_ENDPOINT, HF_HUB_OFFLINE,
    HF_HOME, HF_TOKEN …) are honoured.
    Raises `RequestError` when there are no weights, the hub cannot be reached or the download breaks off.
    """
    if config.hf_hub_id:
        return intact(name, _cached(config.hf_hub_id) or _download(name, config.hf_hub_id))
    if isinstance(config.url, str) and config.url:
        return _download_url(name, config.url)
    raise RequestError(f"{name}: timm has no pretrained weights for this architecture", hint=WEIGHTS_HINT)


def _cached(repository: str) -> Path | None:
    for file in FILES:
        try:
            return Path(huggingface_hub.hf_hub_download(repository, file, local_files_only=True))
        except LocalEntryNotFoundError:
            continue
    return None


def _download(name: str, repository: str) -> Path:
    if constants.is_offline_mode():
        raise RequestError(
            f"{name}: HF_HUB_OFFLINE is set and {repository} is not in the cache {constants.HF_HUB_CACHE}",
            hint=f"unset HF_HUB_OFFLINE; or {WEIGHTS_HINT}",
        )
    file = _first_offered(name, repository)
    try:
        return Path(huggingface_hub.hf_hub_download(repository, file))
    except Exception as error:  # whatever the hub's clients (HTTP, Xet, file system) raise
        raise RequestError(
            f"{name}: the download of {repository}/{file} from {constants.ENDPOINT} was interrupted: {reason(error)}",
            hint=f"run the command again; or {WEIGHTS_HINT}",
        ) from error


def _first_offered(name: str, repository: str) -> str:
    for file in FILES:
        url = huggingface_hub.hf_hub_url(repository, file)
        try:
            huggingface_hub.get_hf_file_metadata(url, timeout=connect_timeout())
            return file
        except EntryNotFoundError:
            continue
        except (RepositoryNotFoundError, GatedRepoError) as error:
            raise RequestError(
                f"{name}: the model hub {constants.ENDPOINT} denies access to {repository}: {reason(error)}",
                hint=f"if it is private or gated, set HF_TOKEN; or {WEIGHTS_HINT}",
            ) from error
        except Exception as error:  # no name, no route, refused, timed out, a proxy's or a server's error …
            raise RequestError(
                f"{name}: its pretrained weights are not on this machine and the model hub {constants.ENDPOINT} "
                f"cannot be reached: {reason(error)}",
                hint=WEIGHTS_HINT,
            ) from error
    raise RequestError(f"{name}: {repository} has neither {FILES[0]} nor {FILES[1]}", hint=WEIGHTS_HINT)


def _download_url(name: str, url: str) -> Path:
    path = Path(torch.hub.get_dir(), "checkpoints", Path(urlsplit(url).path).name)
    if path.is_file():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with urlopen(Request(url, method="HEAD"), timeout=CONNECT_SECONDS):
            pass
        torch.hub.download_url_to_file(url, str(path))
    except (OSError, RuntimeError) as error:  # no route, an answer of 404, or fewer bytes than promised
        raise RequestError(
            f"{name}: its weights at {url} cannot be downloaded: {reason(error)}", hint=WEIGHTS_HINT
        ) from error
    return path


def intact(name: str, path: Path) -> Path:
    """Return the path if the file is what the hub's cache says it is: blobs are named by their SHA-256."""
    promised = path.resolve().name
    if re.fullmatch("[0-9a-f]{64}", promised) and hash_file(path) != promised:
        raise RequestError(
            f"{name}: {path} in the hub's cache is damaged: its SHA-256 is not {promised}",
            hint="delete it and run the command again",
        )
    return path
