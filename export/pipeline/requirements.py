"""What a build needs and this machine has not got: found out, and said by name, before anything is made."""

import shutil
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from export.conversion.engine.compile import COMPILER, compiler_version
from export.core.environment.extras import MODULES, install, missing
from export.core.errors import RequestError
from export.core.paths import INSTALLED
from export.pipeline.formats import FORMATS, ancestry

LAST_PYTHON = (3, 12)  # for which TensorFlow has builds
TENSORFLOW = "tensorflow"


@cache
def tool_version(distribution: str) -> str:
    """Return the version of a tool of `FORMATS`; raises `PackageNotFoundError`."""
    return compiler_version() if distribution == COMPILER and INSTALLED else version(distribution)


def missing_tools(format: str) -> tuple[str, ...]:
    """Return the distributions and programs that a format or something it is made from needs, and that are not here."""
    formats = [FORMATS[name] for name in sorted(ancestry([format]))]
    tools = dict.fromkeys(tool for one in formats for tool in one.tools)
    modules = dict.fromkeys(module for one in formats for module in MODULES[one.extra])
    programs = dict.fromkeys(program for one in formats for program in one.programs)
    lacking = [tool for tool in tools if not _is_installed(tool)]
    lacking += [name for name in missing(*modules) if name.replace("_", "-") not in lacking]
    return (*lacking, *(program for program in programs if shutil.which(program) is None))


def extras_for(formats: Iterable[str]) -> tuple[str, ...]:
    """Return the extras that bring the distributions which formats lack."""
    extras: dict[str, None] = {}
    for format in formats:
        tools = [tool for tool in missing_tools(format) if tool not in FORMATS[format].programs]
        extras |= dict.fromkeys("compile" if tool == COMPILER else FORMATS[format].extra for tool in tools)
    return tuple(extras)


def require_tools(formats: Iterable[str], why: str = "") -> None:
    """Raise `RequestError` with all that formats lack, and what to do about it; `why` says what they are for."""
    asked = set(formats)
    lacking = {format: tools for format in FORMATS if format in asked and (tools := missing_tools(format))}
    if lacking:
        needs = "; ".join(f"{', '.join(tools)} (for {format})" for format, tools in lacking.items())
        raise RequestError(f"{why and f'{why}; '}not installed: {needs}", hint=remedy(lacking))


def remedy(formats: Iterable[str]) -> str:
    """Return what to install for formats that lack something."""
    formats = tuple(formats)
    missing = {tool for format in formats for tool in missing_tools(format)}
    programs = {program for format in formats for program in FORMATS[format].programs}
    steps = [install(*extras)] if (extras := extras_for(formats)) else []
    if TENSORFLOW in missing and sys.version_info[:2] > LAST_PYTHON:
        steps.append("under Python 3.11 or 3.12, the last for which there is TensorFlow 2.19")
    if missing & programs:
        steps.append("Node.js 20.10 or newer, which verifies the conversion")
    return "; and ".join(steps)


def _is_installed(distribution: str) -> bool:
    try:
        tool_version(distribution)
    except PackageNotFoundError:
        return False
    return True
