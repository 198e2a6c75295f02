"""Builds of our engine for tests, compiled once per content of their sources."""

import shutil
from pathlib import Path

from sharing import ENGINE, SHARED, one_at_a_time

from export.conversion.engine.compile import Build, compile_build, engine_key, make_engine
from export.core.files import hash_file, hash_json, replacing_folder


def compiled(name: str, builds: tuple[Build, ...], *, own: bool = False) -> Path:
    """Return a folder with the builds, and the engine's `own`."""
    headers = [build.emulation for build in builds if build.emulation]
    sources = [hash_file(path) for path in (*headers, *(source for build in builds for source in build.sources))]
    flags = [[build.macros, build.flags] for build in builds]
    folder = SHARED / "engine" / f"{name}-{hash_json([engine_key(), sources, flags])[:16]}"
    with one_at_a_time(ENGINE):
        if not folder.exists():
            with replacing_folder(folder) as partial:
                if own:
                    shutil.copytree(make_engine(), partial, dirs_exist_ok=True)
                for build in builds:
                    compile_build(build, partial / build.name)
    return folder
