"""The stages of one model: torch → ONNX → TensorFlow → TF.js, each stored, verified and made only when needed."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from export.console import say, stage
from export.models.request import ModelRequest, describe
from export.recipes import RECIPES
from export.spec import Artifact, Verification
from export.store import Plan, Store, hash_file, hash_json

SOURCE = Path(__file__).parent

# Which sources and which packages decide the bytes of a stage.
STAGES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "torch": (("models", "data", "catalog.py"), ("torch", "timm", "pillow", "numpy")),
    "onnx": (("convert/to_onnx.py",), ("torch", "timm", "onnx")),
    "tf": (("convert/to_tf.py",), ("onnx2tf", "tensorflow", "onnxsim")),
    "tfjs": (("convert/to_tfjs.py",), ("tensorflow", "tensorflowjs")),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """One edge: what it makes (`recipe`/`format`), from which parent, and how."""

    recipe: str
    format: str
    storage_dtype: str
    compute_dtype: str
    make: Callable[[Path], Verification | None]


def stage_key(format: str, parent_key: str, options: dict[str, object]) -> tuple[str, dict[str, str]]:
    """Return the hash of all that decides a stage's bytes, and the versions of its tools."""
    sources, packages = STAGES[format]
    files = sorted(file for name in sources for file in _python_files(SOURCE / name))
    tools = {package: version(package) for package in packages}
    code = [[file.relative_to(SOURCE).as_posix(), hash_file(file)] for file in files]
    return hash_json([format, parent_key, options, tools, code]), tools


def _python_files(path: Path) -> list[Path]:
    return sorted(path.glob("*.py")) if path.is_dir() else [path]
