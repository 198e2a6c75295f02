"""Whether what lies in a folder of artifacts is whole."""

import json
from hashlib import sha256
from pathlib import Path

from export.pipeline.store import MANIFEST

LOOSE = ("durations.json", "convert.log")  # which are written beside artifacts


def incomplete(store: Path) -> list[str]:
    """Return what is below a folder of artifacts and is not whole: files without a manifest, or unlike it."""
    manifests = [path for path in store.rglob(MANIFEST) if not is_hidden(path, store)]
    known = {path for manifest in manifests for path in manifest.parent.rglob("*")}
    loose = [path for path in store.rglob("*") if path.is_file() and path not in known and path.name not in LOOSE]
    strays = [str(path.relative_to(store)) for path in loose if not is_hidden(path, store)]
    return strays + [fault for manifest in manifests for fault in _unlike(manifest)]


def is_hidden(path: Path, root: Path) -> bool:
    """Tell whether a path lies in, or is, what a command has under a temporary name."""
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _unlike(manifest: Path) -> list[str]:
    files = json.loads(manifest.read_bytes())["files"]
    faults = []
    for file in files:
        path = manifest.parent / file["path"]
        if not path.is_file() or sha256(path.read_bytes()).hexdigest() != file["sha256"]:
            faults.append(f"{path} is not what its manifest says")
    return faults
