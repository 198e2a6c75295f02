"""Where this package is published, as its own metadata says, so that a workflow can install the same."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlsplit

from export import __version__
from export.core.errors import RequestError
from export.core.paths import IMPORTED_FROM, INSTALLED

NAME, WHEELS = "vit-pages", "wheels"
BUILT = "dist/vit_pages-{}-*.whl"
STATED = ("wheel", "download", "release")  # labels of a project's addresses that may be one of a wheel
SPECIFIER = re.compile(r"vit[-_.]pages(\[[^]]*\])?\s*(?P<rest>(===?|~=|!=|<=|>=|<|>).*)?", re.IGNORECASE)
HINT = "pass --package with a wheel file, its address, or a requirement such as vit-pages==1.0"


@dataclass(frozen=True, slots=True)
class Package:
    """What a workflow installs: a line of a requirements file, and the `wheel` that has to lie beside it, if any."""

    requirement: str
    wheel: Path | None = None


def find_package(named: str | None, extras: Iterable[str]) -> Package:
    """Return where to install the package from: what is named, else what its metadata say.

    These are the address of a release asset, the wheel file that it was installed from, or else the package index.
    Raises `RequestError` for a name that is none, and for a checkout of which no wheel was built.
    """
    chosen = ",".join(dict.fromkeys(extras))
    if named is not None:
        return _named(named, chosen)
    if not INSTALLED:
        return _of_checkout(chosen)
    try:
        found = distribution(NAME)
    except PackageNotFoundError as error:
        raise RequestError("the metadata of vit-pages are missing", hint=HINT) from error
    address = _stated_address(found) or _installed_from(found)
    if address is None:
        return Package(f"{NAME}[{chosen}]=={__version__}")
    if address.startswith("file:"):
        path = Path(unquote(urlsplit(address).path))
        if not path.is_file():
            raise RequestError(f"vit-pages was installed from {path}, which is no longer there", hint=HINT)
        return _beside(path, chosen)
    return Package(f"{NAME}[{chosen}] @ {address}")


def _named(named: str, extras: str) -> Package:
    if re.fullmatch(r"https?://[^/\s]\S*", named):
        return Package(f"{NAME}[{extras}] @ {named}")
    if named.endswith(".whl") and "://" not in named:
        path = Path(named)
        if not path.is_file() or not path.name.startswith("vit_pages-"):
            state = "is not a wheel of vit-pages" if path.is_file() else "does not exist"
            raise RequestError(f"--package {named} {state}", hint=HINT)
        return _beside(path, extras)
    matched = SPECIFIER.fullmatch(named.strip())
    if matched is None:
        raise RequestError(f"--package {named!r} is no requirement of vit-pages", hint=HINT)
    return Package(f"{NAME}[{extras}]{(matched['rest'] or '').strip()}")


def _beside(wheel: Path, extras: str) -> Package:
    return Package(f"./{WHEELS}/{wheel.name}[{extras}]", wheel)


def _of_checkout(extras: str) -> Package:
    """Return the wheel that was built in this checkout; what else it may be published as, nobody knows."""
    wheels = sorted(IMPORTED_FROM.glob(BUILT.format(__version__)))
    if not wheels:
        raise RequestError(
            f"this is a checkout, and no wheel of version {__version__} was built in it for a workflow to install",
            hint=f"run: make wheel; or {HINT}",
        )
    return _beside(wheels[-1], extras)


def _stated_address(found: Distribution) -> str | None:
    """Return the address of a wheel that the project's metadata state."""
    stated = [value.partition(",") for value in found.metadata.get_all("Project-URL") or []]
    addresses = {label.strip().lower(): address.strip() for label, _, address in stated}
    wheels = (addresses.get(label, "") for label in STATED)
    return next((address for address in wheels if urlsplit(address).path.endswith(".whl")), None)


def _installed_from(found: Distribution) -> str | None:
    """Return the address that pip recorded for an installation that was not from the index."""
    text = found.read_text("direct_url.json")
    if text is None:
        return None
    recorded = json.loads(text)
    sha256 = recorded.get("archive_info", {}).get("hashes", {}).get("sha256")
    address = str(recorded["url"])
    return f"{address}#sha256={sha256}" if sha256 and not address.startswith("file:") else address
