"""A temporary folder to serve with a peer's page, its runtime, a model and images."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from export.core.errors import ExportError, RequestError
from export.core.files import hash_file, hash_json, replacing_folder
from export.core.paths import INSTALLED, SITE
from export.measuring.benchmark.peer import hub_folder
from export.models.weights.float_artifact import GOLDEN, SPEC, WEIGHTS

CACHE = Path(".cache/peers")
SOURCES = ("peer/*", "js/common/*.js", "package.json", "package-lock.json")
TOOLS = ("torch", "timm", "onnx", "onnxsim", "onnxruntime")
MODELS, IMAGES = "models", "images"
MODEL = "model"  # its name under models/


@contextmanager
def peer_site(artifact: Path, cache: Path = CACHE, *, images: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield a temporary folder with transformers.js' page (index.html) for the model of a `torch` artifact.

    The model is called `model`; `images` lie in images/ under their own names. The page and the converted model come
    from `cache`, where they are made when what they are made of has changed. Raises what `write_hub_folder` and
    `make_peer_bundle` raise, and `RequestError` for two images of one name.
    """
    if len({image.name for image in images}) < len(images):
        raise RequestError("two images have the same name", hint="rename one of them")
    page, model = make_peer_bundle(cache), make_hub_folder(artifact, cache)
    with tempfile.TemporaryDirectory(prefix="vit-pages-peer-") as name:
        folder = Path(name)
        shutil.copytree(page, folder, dirs_exist_ok=True)
        shutil.copytree(model, folder / MODELS / MODEL)
        (folder / IMAGES).mkdir()
        for image in images:
            shutil.copy(image, folder / IMAGES)
        yield folder


def make_hub_folder(artifact: Path, cache: Path = CACHE) -> Path:
    """Return the folder transformers.js loads a stored model from, converting the model when it has changed."""
    code = [hash_file(Path(hub_folder.__file__)), *([name, version(name)] for name in TOOLS)]
    model = [hash_file(artifact / name) for name in (SPEC, WEIGHTS, GOLDEN)]
    folder = cache / f"model-{hash_json([code, model])[:16]}"
    if not folder.exists():
        with replacing_folder(folder) as partial:
            hub_folder.write_hub_folder(artifact, partial)
    return folder


def make_peer_bundle(cache: Path = CACHE) -> Path:
    """Return the folder of the page's files, bundling them when `site/peer/` or the packages have changed.

    Raises `RequestError` when Node or the packages are missing, as in an installed package, `ExportError` when bundling
    fails.
    """
    if INSTALLED:
        raise RequestError(
            "the benchmark compares with transformers.js, which the installed package does not bring",
            hint="run it in a checkout of the repository",
        )
    files = sorted(path for pattern in SOURCES for path in SITE.glob(pattern) if path.is_file())
    key = hash_json([[path.relative_to(SITE).as_posix(), hash_file(path)] for path in files])
    folder = cache / f"page-{key[:16]}"
    if folder.exists():
        return folder
    if shutil.which("node") is None:
        raise RequestError(
            "Node.js is not on PATH; it bundles the page's scripts", hint="install Node.js 20.10 or newer"
        )
    if not (SITE / "node_modules" / "@huggingface" / "transformers").is_dir():
        raise RequestError("transformers.js is not installed", hint="run: make setup   (or: npm ci --prefix site)")
    with replacing_folder(folder) as partial:
        command = ["node", str(SITE / "peer" / "build.mjs"), "--out", str(partial.resolve())]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
        if done.returncode != 0:
            raise ExportError(f"bundling the peer's page failed:\n{(done.stderr or done.stdout).strip()}")
    return folder
