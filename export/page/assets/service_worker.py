"""The page's service worker: its script, after the list of the files that it keeps available offline."""

import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from msgspec.structs import replace

from export.core.errors import ArtifactError
from export.core.files import describe_file, hash_json
from export.core.records import StoredFile
from export.page.content.inventory import BUNDLE_HINT, SERVICE_WORKER, Bundle

LARGEST = 600_000  # bytes: a first visit does not download a larger runtime ahead, which it may never use
PAGES = ("index.html", "results.html", "method.html")  # 404.html is the host's to serve
NAMED_BY_CONTENT = (".js", ".mjs", ".css", ".wasm")  # the licences are none of these


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """The files that the first visit caches, and those that are cached once they are used; paths are the site's.

    `runtimes` are those of `later` that the first variant of the page needs all the same.
    """

    kept: tuple[StoredFile, ...]
    later: tuple[StoredFile, ...]
    runtimes: tuple[StoredFile, ...]

    def script(self, scripts: Bundle) -> bytes:
        """Return `sw.js`; any change of a listed file changes it, which is how browsers notice a new version.

        Raises `ArtifactError` when the bundle lacks the worker.
        """
        try:
            body = (scripts.folder / SERVICE_WORKER).read_text("utf-8")
        except OSError as error:
            raise ArtifactError(f"{scripts.folder / SERVICE_WORKER} cannot be read", hint=BUNDLE_HINT) from error
        lists = {"files": _hashes(self.kept), "later": _hashes(self.later)}
        listed = json.dumps({"digest": hash_json(lists)[:16], **lists}, separators=(",", ":"))
        return f"const SHELL={listed};\n{body}".encode()


def find_shell(folder: Path, scripts: Bundle, engine: str) -> Shell:
    """Choose from a rendered site what its service worker caches, given the engine of the page's first variant.

    At once: pages, samples, the icon, and of the scripts and binaries those for that engine that are not too large.
    Weights are in neither list: the page itself caches those.
    """
    loose = [*(folder / page for page in PAGES), *(folder / "assets").glob("*.svg"), *(folder / "samples").rglob("*.*")]
    assets = [
        replace(file, path=f"assets/{file.path}") for file in scripts.files if file.path.endswith(NAMED_BY_CONTENT)
    ]
    needed = {f"assets/{file.path}" for file in scripts.files_for(engine)}
    at_once = [file for file in assets if file.path in needed and file.bytes <= LARGEST]
    later = tuple(file for file in assets if file not in at_once)
    return Shell(
        kept=(*(describe_file(path, folder) for path in sorted(loose)), *at_once),
        later=later,
        runtimes=tuple(file for file in later if file.path in needed),
    )


def _hashes(files: tuple[StoredFile, ...]) -> dict[str, str]:
    """Return each file's SHA-256 by its path as a URL writes it."""
    return {quote(file.path): file.sha256 for file in files}
