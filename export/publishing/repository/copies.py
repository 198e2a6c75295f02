"""The files that a page is made from, copied into its repository; what is there already stays where it is."""

import fnmatch
import shutil
from pathlib import Path

from export.core.console import printable, say, several
from export.core.errors import RequestError
from export.core.figures.units import format_bytes
from export.publishing.checkpoint_url import is_url, read_url

FOLDERS = {"data": "data", "samples": "samples"}  # of options; the files of all others lie in MODEL
MODEL, RECIPES = "model", "recipes"
MOST_BYTES = 500_000_000  # of a folder of pictures; a repository of GitHub should stay below 1 GB
DESCRIBED = "config.json"  # beside weights, it says what they are of
# Of a folder of weights, what describes the model; trainers leave states of their own beside it.
DESCRIPTIONS = ("*.json", "*.txt", "*.yaml", "*.yml", "README.md", "LICENSE*")
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def bring(option: str, path: Path, staged: Path, folder: Path) -> str:
    """Copy what an option names into `staged`, and return its place in the repository, which will be in `folder`.

    An address stays one. Raises `RequestError` for what is not there, or is too large for a repository.
    """
    if is_url(path):
        url, sha256 = read_url(path)
        return f"{url}#sha256={sha256}"
    if not path.exists():
        raise RequestError(f"--{option} {path} does not exist", hint="check the path")
    if path.resolve().is_relative_to(folder.resolve()) and path.resolve() != folder.resolve():
        return path.resolve().relative_to(folder.resolve()).as_posix()
    if option == "labels" and path.is_dir():
        raise RequestError(f"--labels {path} is a folder", hint="write the names of its folders into a file")
    place = Path(FOLDERS.get(option, MODEL))
    if option == "checkpoint" and (path.is_dir() or (path.parent / DESCRIBED).is_file()):
        return _bring_model(path, place, staged)
    if path.is_file():
        return _copy(option, path, place / path.name, staged)
    _copy_pictures(option, path, staged / place)
    return place.as_posix()


def _bring_model(path: Path, place: Path, staged: Path) -> str:
    """Copy a folder of weights, or a file of one with what describes it, under the folder's own name."""
    folder = path if path.is_dir() else path.parent
    own = place / (folder.resolve().name or MODEL)
    for file in _of_model(folder, None if path.is_dir() else path):
        _copy("checkpoint", file, own / file.name, staged)
    return own.as_posix() if path.is_dir() else (own / path.name).as_posix()


def bring_recipes(names: str, staged: Path) -> str:
    """Copy the recipe files among recipes' names, and return the names as the repository has them."""
    brought = []
    for name in filter(None, (part.strip() for part in names.split(","))):
        path = Path(name)
        is_file = name.endswith(".json")
        brought.append(_copy("recipe", path, Path(RECIPES, path.name), staged) if is_file else name)
    return ",".join(brought)


def _copy(option: str, source: Path, place: Path, staged: Path) -> str:
    target = staged / place
    if target.exists():
        raise RequestError(f"--{option} {source}: there is another file named {place.name}", hint="rename one of them")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    return place.as_posix()


def _of_model(folder: Path, named: Path | None) -> list[Path]:
    """Return the files of a model in a folder: its weights, named or in one form, and what describes them."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    by_pattern = [[path for path in files if fnmatch.fnmatch(path.name, pattern)] for pattern in WEIGHTS]
    weights = [folder / named.name] if named else next(filter(None, by_pattern), [])
    if not weights:
        raise RequestError(
            f"--checkpoint {folder} has no weights: none of {', '.join(WEIGHTS)}", hint="name the file itself"
        )
    chosen = [*weights, *(path for path in files if any(fnmatch.fnmatch(path.name, one) for one in DESCRIPTIONS))]
    if others := [printable(path.name) for path in files if path not in chosen]:
        say(f"note: --checkpoint {folder}: left out, as the page does not need it: {several(others)}")
    return chosen


def _copy_pictures(option: str, source: Path, target: Path) -> None:
    size = sum(path.stat().st_size for path in source.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        raise RequestError(
            f"--{option} {source} has {format_bytes(size)}, too much for a repository",
            hint="a few hundred pictures are enough to calibrate on; name a folder of these",
        )
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".*"))
