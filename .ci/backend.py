"""Builds the wheel: setuptools does, and what a repository has beside `export/` is laid into the package.

A wheel brings the page's scripts bundled and the vit engine compiled, so that who installs it needs neither Node nor a
compiler. Who builds it needs Node; the page's packages are installed where they are missing, and pip brings Zig.
"""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401
    build_editable,
    build_wheel,
    get_requires_for_build_editable,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parents[1]
COPIED = ("site/icon.svg", "site/samples", "site/engine/contract.json", "templates")
# What the pages of embedded models show, where it was measured.
MEASURED = (".github/analysis.json", ".github/comparison.json")


class UnsupportedOperation(Exception):  # noqa: N818
    """What the packaging standard calls a hook that a project does not offer."""


def get_requires_for_build_wheel(config_settings: dict[str, object] | None = None) -> list[str]:
    """Return what building the wheel needs: the base of the package, and the compiler."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [
        *build_meta.get_requires_for_build_wheel(config_settings),
        *project["dependencies"],
        *project["optional-dependencies"]["compile"],
    ]


def build_sdist(sdist_directory: str, config_settings: dict[str, object] | None = None) -> str:
    """Refuse: an archive of the sources would have to bring the page's packages too."""
    raise UnsupportedOperation("there is no source distribution; build the wheel in a checkout: make wheel")


class BuildWithResources(build_py):
    """The package's files, and with them, but for an editable install, `export/resources/`."""

    def run(self) -> None:
        """Build from nothing: an earlier wheel's files are none of this one's."""
        if not self.editable_mode:
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()
        if not self.editable_mode:
            fill(Path(self.build_lib, "export", "resources"))


def fill(resources: Path) -> None:
    """Write what an installed package finds in place of the repository; see `export/core/paths.py`."""
    sys.path.insert(0, str(ROOT))
    from export.conversion.engine.compile import write_prebuilt
    from export.page.assets.bundle import make_bundle

    if not (ROOT / "site" / "node_modules").is_dir():
        subprocess.run(["npm", "ci", "--prefix", "site", "--omit=dev", "--no-audit", "--no-fund"], cwd=ROOT, check=True)
    for name in (*COPIED, *(name for name in MEASURED if (ROOT / name).is_file())):
        source, target = ROOT / name, resources / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if source.is_dir() else shutil.copyfile)(source, target)
    shutil.copytree(make_bundle(), resources / "bundle")
    write_prebuilt(resources / "engine")
    tools = resources / "site" / "tools"
    subprocess.run(["node", str(ROOT / "site/tools/bundle_runner.mjs"), "--out", str(tools.resolve())], check=True)
