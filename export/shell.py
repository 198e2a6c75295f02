"""The page's service worker: its script, after the list of the files that it keeps for visits without a network."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from export.errors import ArtifactError
from export.published import SERVICE_WORKER, Bundle
from export.spec import StoredFile
from export.store import describe_file, hash_json

LARGEST = 600_000  # bytes: a larger runtime is kept by no first visit that may never use it
PAGES_LEFT_OUT = ("404.html",)  # only the host knows when to answer with it
NAMED_BY_CONTENT = (".js", ".mjs", ".css", ".svg", ".wasm")  # of assets/; the licences are none of these


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """The files a first visit keeps, by path inside the site, and those of their kind that are too large for it."""

    kept: tuple[StoredFile, ...]
    too_large: tuple[StoredFile, ...]

    def sha256(self) -> dict[str, str]:
        """Return each kept file's SHA-256 by its path as a URL writes it."""
        return {quote(file.path): file.sha256 for file in self.kept}

    def script(self, scripts: Bundle) -> bytes:
        """Return `sw.js`; any change of a kept file changes it, which is how browsers notice a new version.

        Raises `ArtifactError` when the bundle lacks the worker.
        """
        try:
            body = (scripts.folder / SERVICE_WORKER).read_text()
        except OSError as error:
            raise ArtifactError(
                f"{scripts.folder / SERVICE_WORKER} cannot be read", hint="delete .cache/bundle and build again"
            ) from error
        files = self.sha256()
        listed = json.dumps({"digest": hash_json(files)[:16], "files": files}, separators=(",", ":"))
        return f"const SHELL={listed};\n{body}".encode()


def find_shell(folder: Path, scripts: Collection[str]) -> Shell:
    """Choose from a rendered site: its pages and samples, and of `assets/` the icon and what is named in `scripts`.

    Weights are never among them: the page keeps those itself, in a cache of their own.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    wanted = [describe_file(path, folder) for path in paths if _belongs(path.relative_to(folder), scripts)]
    kept = tuple(file for file in wanted if file.bytes <= LARGEST or file.path.endswith(".html"))
    return Shell(kept=kept, too_large=tuple(file for file in wanted if file not in kept))


def _belongs(path: Path, scripts: Collection[str]) -> bool:
    match path.parts:
        case (name,):
            return path.suffix == ".html" and name not in PAGES_LEFT_OUT
        case ("assets", name):
            return path.suffix in NAMED_BY_CONTENT and (name in scripts or path.suffix == ".svg")
        case ("samples", *_):
            return True
        case _:
            return False
