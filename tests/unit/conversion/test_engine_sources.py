"""The vit engine's C: what a module is and which others it may know. A module is a .c file, its header, or both."""

import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ENGINE = Path(__file__).parents[3] / "site" / "engine"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
# A function with external linkage, defined: its type begins the line.
DEFINED = re.compile(
    r"^(?!static\b|INLINE\b|EXPORT\b|typedef\b)(?:const )?\w[\w ]*[ *](\w+)\([^;{}]*\) \{", re.MULTILINE
)


def modules(folder: Path) -> dict[str, set[str]]:
    """Return each module below a folder with those that it includes, as paths without ending."""
    found: dict[str, set[str]] = {}
    for path in sorted(folder.rglob("*.[ch]")):
        name = path.relative_to(folder).with_suffix("").as_posix()
        included = {other.removesuffix(".h") for other in INCLUDE.findall(path.read_text())}
        found.setdefault(name, set()).update(included - {name})
    return found


def rooms(found: dict[str, set[str]]) -> dict[str, set[str]]:
    """Return each folder with the other folders that its modules include; the one of all is “.”."""
    between: dict[str, set[str]] = {}
    for name, others in found.items():
        room = str(Path(name).parent)
        between.setdefault(room, set()).update({str(Path(other).parent) for other in others} - {room})
    return between


def test_neither_modules_nor_folders_include_themselves_by_way_of_others() -> None:
    found = modules(ENGINE)
    assert len(found) > 10 and found["forward"] and not found["simd/simd"]
    assert {name for others in found.values() for name in others} - {*found} == {"contract"}, "made when it is compiled"
    list(TopologicalSorter(found).static_order())
    folders = rooms({name: others - {"contract"} for name, others in found.items()})
    assert list(TopologicalSorter(folders).static_order())[0 :: len(folders) - 1] == ["simd", "."]


def test_a_circle_is_found(tmp_path: Path) -> None:
    for name, text in {
        "a.h": "",
        "a.c": '#include "b.h"\n',
        "b.h": "",
        "b.c": '#include "b.h"\n#include "a.h"\n',
    }.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(CycleError):
        list(TopologicalSorter(modules(tmp_path)).static_order())


def test_what_a_module_defines_its_own_header_declares() -> None:
    """Otherwise a circle of symbols could hide behind another module's header."""
    for path in sorted(ENGINE.rglob("*.c")):
        defined = DEFINED.findall(path.read_text())
        header = path.with_suffix(".h")
        declared = header.read_text() if header.exists() else ""
        assert [name for name in defined if not re.search(rf"\b{name}\(", declared)] == [], path.name
        assert defined or path.name == "engine.c", f"{path.name}: nothing found in it"
