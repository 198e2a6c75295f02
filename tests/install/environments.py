"""Environments as a user has them: the wheel, and of everything else only what the extras asked for bring.

What the extras bring is linked from the environment of the tests, distribution by distribution, since downloading
it would take gigabytes; nothing else can be imported or has a version.
"""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.parser import Parser
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
OURS = "vit-pages"
BUILDS = """
import sys, backend
print(backend.build_wheel(sys.argv[1]))
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment in which the wheel is installed."""

    folder: Path

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    def run(self, *command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one of its programs with a PATH of these alone: no Node, no compiler."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
        return subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            env={**kept, "PATH": str(self.folder / "bin"), **environment},
            cwd=cwd,
            capture_output=True,
            text=True,
        )


def build_wheel(folder: Path) -> Path:
    """Build the project's wheel as pip does, in an environment with just what the build asks for."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["compile"],
    ]
    builder = _bare_environment(folder / "builder")
    _link(_closure(map(Requirement, needed)), builder.packages)
    (folder / "dist").mkdir()
    done = subprocess.run(
        [str(builder.folder / "bin/python"), "-c", BUILDS, str(folder / "dist")],
        env={**os.environ, "PYTHONPATH": str(ROOT / ".ci")},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel


def install(wheel: Path, folder: Path, *extras: str) -> Environment:
    """Return a fresh environment with the wheel and what some of its extras bring."""
    environment = _bare_environment(folder)
    _link(_closure(_own_requirements(wheel, extras)), environment.packages)
    command = [sys.executable, "-m", "pip", "--python", str(environment.folder / "bin/python"), "install", "--quiet"]
    subprocess.run([*command, "--no-deps", "--no-index", str(wheel)], check=True, cwd=folder)
    return environment


def _bare_environment(folder: Path) -> Environment:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return Environment(folder)


def _own_requirements(wheel: Path, extras: Iterable[str]) -> Iterator[Requirement]:
    """Return what the wheel requires with extras, of which some bring others."""
    with ZipFile(wheel) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        stated = Parser().parsestr(opened.read(name).decode()).get_all("Requires-Dist") or []
    waiting, known = ["", *extras], set()
    while waiting:
        extra = waiting.pop()
        if extra not in known:
            known.add(extra)
            for requirement in map(Requirement, stated):
                if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                    if canonicalize_name(requirement.name) == OURS:
                        waiting += requirement.extras
                    else:
                        requirement.marker = None
                        yield requirement


def _closure(requirements: Iterable[Requirement]) -> list[Distribution]:
    """Return the installed distributions that requirements name, and those that these require."""
    waiting, found = list(requirements), dict[str, Distribution]()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in found or (requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})):
            continue
        found[name] = _installed(name)
        waiting += map(Requirement, found[name].requires or [])
    return list(found.values())


def _installed(name: str) -> Distribution:
    try:
        found = distribution(name)
    except PackageNotFoundError as error:
        raise AssertionError(f"the environment of the tests lacks {name}; run: make setup") from error
    return found


def _link(distributions: Iterable[Distribution], packages: Path) -> None:
    for one in distributions:
        places = {path.parts[0] for path in one.files or [] if path.parts[0] != ".."}
        for place in places - {"__pycache__"}:
            target = packages / place
            if not target.exists():
                target.symlink_to(Path(str(one.locate_file(place))).resolve())
