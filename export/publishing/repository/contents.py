"""What `vit-pages init` writes: the configuration, a workflow, and the model's own files."""

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from export.core.errors import RequestError
from export.core.figures.units import format_bytes
from export.core.files import hash_file
from export.core.paths import TEMPLATES
from export.models.choice.source import is_folder
from export.page.assets.samples import prepared_samples
from export.pipeline.formats import FORMATS
from export.pipeline.runtimes import AUTO, ENGINES, find_engines
from export.publishing.build_request import read_build
from export.publishing.checkpoint_url import is_url, read_url
from export.publishing.domain import check_domain
from export.publishing.limits import FILE_LIMIT, LFS_FILE_LIMIT
from export.publishing.options import CONFIG, build_parser
from export.publishing.repository.copies import bring, bring_recipes
from export.publishing.repository.model_card import stated_licence
from export.publishing.repository.package import WHEELS, find_package
from export.publishing.repository.placing import placing
from export.quantization.recipes import find_recipes

FILES = {
    "vit-pages.toml": CONFIG,
    "pages.yml": ".github/workflows/pages.yml",
    "README.md": "README.md",
    "gitignore": ".gitignore",
}
INNER = (
    "note: {} is inside the git repository {}, from whose top folder alone GitHub runs workflows, and to whose remote "
    "`vit-pages publish` would push; run `git init` in it, or move it elsewhere"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryRequest:
    """A repository to write: its folder, the build's options by their names, and where the package is from."""

    folder: Path
    options: Mapping[str, Any]
    package: str | None = None
    domain: str = ""


@dataclass(frozen=True, slots=True)
class Repository:
    """What was written: the files, and those of them that Git LFS has to take, with their SHA-256."""

    folder: Path
    files: tuple[str, ...]
    large: Mapping[str, str]


def write_repository(request: RepositoryRequest) -> Repository:
    """Write a repository whole or not at all; raises `RequestError` for what no build could use."""
    check_domain(request.domain)
    options = _with_licence(_with_folder(dict(request.options)))
    _check(options)
    package = find_package(request.package, _extras(options))
    given = [value for value in options.values() if isinstance(value, Path) and not is_url(value)]
    given += [Path(name) for name in options.get("model", []) if is_folder(name)]
    given += [package.wheel] if package.wheel else []
    with placing(request.folder, given) as staged:
        brought = {name: _brought(name, value, staged, request.folder) for name, value in options.items()}
        if package.wheel is not None:
            (staged / WHEELS).mkdir()
            (staged / WHEELS / package.wheel.name).write_bytes(package.wheel.read_bytes())
        large = _large_files(staged)
        _write_texts(staged, brought, package.requirement, request.domain, large)
        files = tuple(path.relative_to(staged).as_posix() for path in sorted(staged.rglob("*")) if path.is_file())
    return Repository(request.folder, files, large)


def _with_folder(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with a folder that is named as the model as its checkpoint, which says the same."""
    names = options.get("model", [])
    if len(names) == 1 and "checkpoint" not in options and Path(names[0]).is_dir():
        options = {**options, "checkpoint": Path(names[0])}
        del options["model"]
    return options


def _with_licence(options: dict[str, Any]) -> dict[str, Any]:
    """Add the licence that a model card beside the weights states, unless another one is given."""
    checkpoint = options.get("checkpoint")
    if "licence" not in options and isinstance(checkpoint, Path) and checkpoint.is_dir():
        licence = stated_licence(checkpoint)
        return {**options, "licence": licence} if licence else options
    return options


def _check(options: Mapping[str, Any]) -> None:
    """Raise `RequestError` for options that the build would refuse, but for weights that are elsewhere."""
    here = {name: value for name, value in options.items() if not (isinstance(value, Path) and is_url(value))}
    if "checkpoint" in options and "checkpoint" not in here:
        read_url(options["checkpoint"])
    absolute = {name: value.absolute() if isinstance(value, Path) else value for name, value in here.items()}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, CONFIG)
        path.write_text("\n".join(_lines(absolute)) + "\n", "utf-8")
        read_build(build_parser("vit-pages build", None), ["--config", str(path)])
    if isinstance(samples := options.get("samples"), Path):
        with prepared_samples(samples, "model"):
            pass


def _extras(options: Mapping[str, Any]) -> list[str]:
    """Return the extras that the engines asked for need, and those of the recipes."""
    engines = find_engines(str(options.get("engine", AUTO)))
    names = list(engines)
    if engines == (AUTO,):
        recipes = find_recipes(options["recipe"]) if options.get("recipe") else ()
        names = [next(engine.name for engine in ENGINES.values() if engine.runs(recipe)) for recipe in recipes]
    return ["quantize", *(FORMATS[ENGINES[name].formats[0]].extra for name in names)]


def _brought(name: str, value: Any, staged: Path, folder: Path) -> Any:
    if name == "recipe":
        return bring_recipes(value, staged)
    if name == "model":
        return [bring("checkpoint", Path(one), staged, folder) if is_folder(one) else one for one in value]
    return bring(name, value, staged, folder) if isinstance(value, Path) else value


def _large_files(staged: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that needs Git LFS; raises `RequestError` for one too large even for it."""
    large = {}
    for path in sorted(staged.rglob("*")):
        name, size = path.relative_to(staged).as_posix(), path.stat().st_size
        if path.is_file() and size > LFS_FILE_LIMIT:
            raise RequestError(
                f"{name} has {format_bytes(size)}; Git LFS takes at most {format_bytes(LFS_FILE_LIMIT)} a file",
                hint=f"put it at an address and pass --checkpoint 'URL#sha256={hash_file(path)}'",
            )
        if path.is_file() and size > FILE_LIMIT:
            large[name] = hash_file(path)
    return large


def _write_texts(
    staged: Path, options: Mapping[str, Any], requirement: str, domain: str, large: Mapping[str, str]
) -> None:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES / "repository"),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
    )
    values = {
        "title": options.get("title") or options.get("name") or "A Vision Transformer on your own device",
        "options": _lines(options),
        "domain": _quoted(domain) if domain else "",
        "node": "tfjs" in requirement,
        "large": [_pattern(name) for name in large],
    }
    files = {**FILES, **({"gitattributes": ".gitattributes"} if large else {})}
    for template, name in files.items():
        install = [requirement] if template == "README.md" else [_quoted(requirement)]
        path = staged / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(environment.get_template(template).render(**values, install=install), "utf-8")


def _lines(options: Mapping[str, Any]) -> list[str]:
    """Return options as lines of TOML."""
    return [f"{name} = {_toml(value)}" for name, value in options.items()]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return _toml(value[0]) if len(value) == 1 else f"[{', '.join(map(_toml, value))}]"
    return str(value) if isinstance(value, int | float) else _quoted(str(value))


def _quoted(text: str) -> str:
    """Return a basic string of TOML, which but for one character is one of JSON."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _pattern(name: str) -> str:
    """Return a path as git's attributes have it."""
    escaped = "".join(f"\\{letter}" if letter in "*?[]\\" else letter for letter in name)
    return _quoted(escaped) if re.search(r"[\s\"]", escaped) else escaped


def next_steps(repository: Repository) -> Sequence[str]:
    """Return what remains to be done, for the terminal."""
    parents = repository.folder.absolute().parents
    around = next((one for one in parents if (one / ".git").exists()), None)
    large = [
        f"{name} is above {format_bytes(FILE_LIMIT)}, which GitHub refuses: run `git lfs install` before `git add`; or "
        f'attach it to a release and write into {CONFIG}: checkpoint = "ADDRESS#sha256={sha256}"'
        for name, sha256 in repository.large.items()
    ]
    return [
        *large,
        *([INNER.format(repository.folder, around)] if around else []),
        f"next: cd {repository.folder}, then vit-pages build, vit-pages serve, and vit-pages publish; or push the "
        "folder to GitHub and choose Settings → Pages → Source: GitHub Actions",
    ]
