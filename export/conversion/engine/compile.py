"""Our engine's WebAssembly: compiled from `site/engine/` by Zig's C compiler, once per content."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

from export.conversion.engine import contract
from export.core.environment.extras import install
from export.core.errors import ExportError, RequestError
from export.core.files import hash_file, hash_json, replacing_folder
from export.core.paths import ENGINE_SOURCE, INSTALLED, PREBUILT_ENGINE

CACHE = Path(".cache/engine")
COMPILER = "ziglang"
ORIGIN = "origin.json"  # of prebuilt ones: the key, and the version of the compiler
MOST_BYTES = 40 * 1024  # of a build: the page's first visitor waits for it


@dataclass(frozen=True, slots=True)
class Build:
    """One of the engine's builds: its file, its instruction set as `simd/isa.h` has it, and sources of its own.

    `emulation` is a header that is included before all else, for instance with the relaxed instructions in plain SIMD;
    `flags` are the compiler's, after those of all builds.
    """

    name: str
    isa: str
    threads: bool
    sources: tuple[Path, ...] = ()
    emulation: Path | None = None
    macros: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()

    @property
    def relaxed(self) -> bool:
        """Whether it uses relaxed SIMD."""
        return self.isa != "PLAIN" and self.emulation is None


BUILDS = (
    Build("vit-relaxed.wasm", "RELAXED", threads=False),
    Build("vit-relaxed-threads.wasm", "RELAXED", threads=True),
    Build("vit-pairs.wasm", "PAIRS", threads=False),
    Build("vit-pairs-threads.wasm", "PAIRS", threads=True),
    Build("vit-plain.wasm", "PLAIN", threads=False),
    Build("vit-plain-threads.wasm", "PLAIN", threads=True),
)

# No contraction: every build is to give the same bits. No standard library: there is none.
FLAGS = (
    "-target",
    "wasm32-freestanding",
    "-std=c11",
    "-O3",
    "-g0",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffp-contract=off",
    "-fno-sanitize=all",
    "-nostdlib",
    "-Wl,--no-entry",
    "-Wl,--import-memory",
    "-Wl,-z,stack-size=65536",
    "-Wl,-s",
)
# Loop strength reduction turns constant offsets of loads, which cost nothing, into additions.
RELAXED_FLAGS = ("-mllvm", "-disable-lsr")
THREAD_FLAGS = (
    "-mthread-model",
    "posix",
    "-Wl,--shared-memory",
    "-Wl,--max-memory=2147483648",
    "-Wl,--export=__stack_pointer",
)


def make_engine() -> Path:
    """Return the folder of the engine's builds, compiling them when their sources have changed.

    An installed package has brought them along.
    Raises `RequestError` when the compiler is missing, `ExportError` when compiling fails or a build has become too
    large.
    """
    if INSTALLED:
        return PREBUILT_ENGINE
    folder = CACHE / engine_key()[:16]
    if (folder / BUILDS[-1].name).exists():
        return folder
    with replacing_folder(folder) as partial:
        for build in BUILDS:
            target = partial / build.name
            compile_build(build, target)
            if target.stat().st_size > MOST_BYTES:
                raise ExportError(f"{build.name} has {target.stat().st_size} bytes, more than {MOST_BYTES}")
    return folder


def engine_key() -> str:
    """Return the hash of everything the builds are made from."""
    if INSTALLED:
        return _origin()["key"]
    paths = sorted(ENGINE_SOURCE.rglob("*.[ch]"))
    sources = [[path.relative_to(ENGINE_SOURCE).as_posix(), hash_file(path)] for path in paths]
    builds = [[build.name, build.isa, build.threads] for build in BUILDS]
    flags = [*FLAGS, *RELAXED_FLAGS, *THREAD_FLAGS]
    return hash_json([sources, contract.header(), builds, flags, compiler_version()])


@cache
def compiler_version() -> str:
    """Return the version of the compiler of the builds; raises `RequestError` where it is needed and missing."""
    if INSTALLED:
        return _origin()["compiler"]
    try:
        return version(COMPILER)
    except PackageNotFoundError as error:
        raise RequestError(
            f"the package {COMPILER} is not installed; it compiles the vit engine", hint=install("compile")
        ) from error


@cache
def _origin() -> dict[str, str]:
    origin: dict[str, str] = json.loads((PREBUILT_ENGINE / ORIGIN).read_text("ascii"))
    return origin


def write_prebuilt(folder: Path) -> None:
    """Write the builds and where they come from, as `PREBUILT_ENGINE` holds them; raises what `make_engine` raises."""
    shutil.copytree(make_engine(), folder)
    (folder / ORIGIN).write_text(json.dumps({"key": engine_key(), "compiler": compiler_version()}), "ascii")


def compile_build(build: Build, target: Path) -> None:
    """Write a build; raises `RequestError` when the compiler is missing, `ExportError` when compiling fails."""
    compiler_version()
    features = ["generic", "simd128", "bulk_memory"]
    features += ["relaxed_simd"] * build.relaxed + ["atomics"] * build.threads
    with TemporaryDirectory() as generated:
        (Path(generated) / "contract.h").write_text(contract.header(), "ascii")
        command = [
            sys.executable,
            "-m",
            COMPILER,
            "cc",
            *FLAGS,
            f"-mcpu={'+'.join(features)}",
            *(RELAXED_FLAGS if build.relaxed else ()),
            *(THREAD_FLAGS if build.threads else ()),
            *build.flags,
            "-o",
            str(target.resolve()),
            f"-DISA=ISA_{build.isa}",
            *(f"-D{macro}" for macro in build.macros),
            f"-I{ENGINE_SOURCE}",
            f"-I{generated}",
            *(("-include", str(build.emulation)) if build.emulation else ()),
            *(str(path) for path in (*sorted(ENGINE_SOURCE.rglob("*.c")), *build.sources)),
        ]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        raise ExportError(f"compiling {build.name} failed:\n{(done.stderr or done.stdout).strip()}")
