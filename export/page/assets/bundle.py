"""The JavaScript bundle: made by esbuild once per content of `site/`."""

import json
import shutil
import subprocess
from pathlib import Path

from export.conversion.engine.compile import engine_key, make_engine
from export.core.errors import ExportError, RequestError
from export.core.files import hash_file, hash_json, replacing_folder
from export.core.paths import INSTALLED, PREBUILT_BUNDLE, SITE

CACHE = Path(".cache/bundle")
MANIFEST = "bundle.json"
SOURCES = ("js/**/*.js", "js/**/*.d.ts", "sw/*.js", "css/*.css", "*.mjs", "package.json", "package-lock.json")


def bundle_key() -> str:
    """Return the hash of everything the bundle is made from."""
    files = sorted(path for pattern in SOURCES for path in SITE.glob(pattern))
    return hash_json([[path.relative_to(SITE).as_posix(), hash_file(path)] for path in files] + [engine_key()])


def _folder() -> Path:
    return CACHE / bundle_key()[:16]


def require_bundler() -> None:
    """Raise `RequestError` where the bundle would have to be made and cannot be."""
    if INSTALLED or (_folder() / MANIFEST).exists():
        return
    if shutil.which("node") is None:
        raise RequestError(
            "Node.js is not on PATH; it bundles the page's scripts", hint="install Node.js 20.10 or newer"
        )
    if not (SITE / "node_modules").is_dir():
        raise RequestError("the page's packages are not installed", hint="run: make setup   (or: npm ci --prefix site)")


def make_bundle() -> Path:
    """Return the folder of the current bundle, making it when `site/` has changed; an installed package has brought it.

    Raises `RequestError` when Node, the packages or the engine's compiler are missing, `ExportError` when bundling or
    compiling fails.
    """
    if INSTALLED:
        return PREBUILT_BUNDLE
    folder = _folder()
    if (folder / MANIFEST).exists():
        return folder
    require_bundler()
    engine = make_engine()
    with replacing_folder(folder) as partial:
        command = ["node", str(SITE / "build.mjs"), "--out", str(partial.resolve()), "--vit", str(engine.resolve())]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if done.returncode != 0:
            raise ExportError(f"bundling the page's scripts failed:\n{(done.stderr or done.stdout).strip()}")
        json.loads((partial / MANIFEST).read_text("utf-8"))
    return folder
