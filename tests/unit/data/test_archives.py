"""Folders and archives as people make them: links, separators of Windows, names in other encodings, other files."""

import io
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from export.core.errors import RequestError
from export.data.archives import list_files, reading


def listed(path: Path) -> tuple[dict[str, bytes], list[str]]:
    said: list[str] = []
    names = list_files(path, said.append)
    with reading(path) as read:
        return {name: read(name) for name in names}, said


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


LINKS = {
    "a folder elsewhere": ("cat", "{elsewhere}/animals", {"cat/1.png": b"animals/1.png"}),
    "a folder beside": ("cat", "dog", {"cat/0.png": b"dog/0.png"}),
    "a file": ("cat.png", "dog/0.png", {"cat.png": b"dog/0.png"}),
    "below another link": ("cat/deep", "{elsewhere}", {"cat/deep/animals/1.png": b"animals/1.png"}),
}


@pytest.mark.parametrize("case", LINKS)
def test_links_are_followed(tmp_path: Path, case: str) -> None:
    elsewhere, folder = write(tmp_path / "elsewhere", "animals/1.png"), write(tmp_path / "data", "dog/0.png")
    name, target, expected = LINKS[case]
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).symlink_to(target.format(elsewhere=elsewhere))
    assert listed(folder) == ({"dog/0.png": b"dog/0.png", **expected}, [])
    (tmp_path / "link").symlink_to(folder)
    assert listed(tmp_path / "link")[0] == {"dog/0.png": b"dog/0.png", **expected}


@pytest.mark.parametrize(
    ("target", "words"), [("..", "dog/loop (links back to"), ("nowhere", "where there is nothing"), ("loop", "nothing")]
)
def test_links_in_circles_and_to_nothing_are_named(tmp_path: Path, target: str, words: str) -> None:
    folder = write(tmp_path / "data", "dog/0.png")
    (folder / "dog/loop").symlink_to(target)
    files, said = listed(folder)
    assert files == {"dog/0.png": b"dog/0.png"}
    assert len(said) == 1 and said[0].startswith("note: 1 entries of data are skipped: ") and words in said[0]


def test_two_links_to_one_folder_are_both_followed(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", "dog/0.png")
    for name in ("cat", "emu"):
        (folder / name).symlink_to("dog")
    assert set(listed(folder)[0]) == {"cat/0.png", "dog/0.png", "emu/0.png"}


def make_zip(path: Path, entries: dict[str, bytes], links: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
        for name, target in links.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, 0o120777 << 16
            archive.writestr(info, target)
    return path


def make_tar(path: Path, entries: dict[str, bytes], links: dict[str, str], kind: bytes = tarfile.SYMTYPE) -> Path:
    with tarfile.open(path, "w") as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for name, target in links.items():
            info = tarfile.TarInfo(f"./{name}")
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return path


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ({"a/cat": "dog"}, {"a/cat/0.png"}),
        ({"a/cat.png": "dog/0.png"}, {"a/cat.png"}),
        ({"cat": "./a/dog/"}, {"cat/0.png"}),
        ({"a/emu": "cat", "a/cat": "dog"}, {"a/emu/0.png", "a/cat/0.png"}),
        ({"b": "a", "a/cat": "dog"}, {"a/cat/0.png", "b/cat/0.png", "b/dog/0.png"}),
    ],
)
def test_links_in_archives_are_followed(
    tmp_path: Path, make: Callable[..., Path], links: dict[str, str], expected: set[str]
) -> None:
    files, said = listed(make(tmp_path / "data", {"a/dog/0.png": b"dog"}, links))
    assert (files, said) == (dict.fromkeys({"a/dog/0.png", *expected}, b"dog"), [])


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("target", ["../../etc", "/etc/passwd", "..", "loop", "gone"])
def test_links_out_of_an_archive_are_named(tmp_path: Path, make: Callable[..., Path], target: str) -> None:
    files, said = listed(make(tmp_path / "data", {"a/dog/0.png": b"dog"}, {"a/loop": target}))
    assert files == {"a/dog/0.png": b"dog"}
    assert said == [f"note: 1 links in data lead to nothing in it and are skipped: a/loop (links to {target})"]


def test_hard_links_of_a_tar_are_files(tmp_path: Path) -> None:
    path = make_tar(tmp_path / "a.tar", {"a/dog.png": b"dog"}, {"b/cat.png": "./a/dog.png"}, tarfile.LNKTYPE)
    assert listed(path) == ({"a/dog.png": b"dog", "b/cat.png": b"dog"}, [])


@pytest.mark.parametrize("make", [make_zip, make_tar, None])
def test_a_backslash_separates_folders_where_no_slash_does(tmp_path: Path, make: Callable[..., Path] | None) -> None:
    entries = {r"Bag\0.png": b"0", r"Shirt\deep\1.png": b"1"}
    if make is None:
        path = tmp_path / "data"
        path.mkdir()
        for name, content in entries.items():
            (path / name).write_bytes(content)
    else:
        path = make(tmp_path / "data", entries, {})
    if make is make_zip:
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("Bag\\", b"")
    files, said = listed(path)
    assert files == {"Bag/0.png": b"0", "Shirt/deep/1.png": b"1"}
    assert said == ["note: data separates folders by \\, which is read as /"]


def test_a_backslash_is_part_of_a_name_beside_slashes(tmp_path: Path) -> None:
    assert set(listed(make_zip(tmp_path / "a.zip", {"a\\b.png": b"", "c/d.png": b""}, {}))[0]) == {
        "a\\b.png",
        "c/d.png",
    }


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_that_lead_out_of_an_archive_lie_in_it(tmp_path: Path, make: Callable[..., Path]) -> None:
    files, said = listed(make(tmp_path / "data", {"x/../../Bag/0.png": b"0", "a/../b.png": b"1"}, {}))
    assert files == {"Bag/0.png": b"0", "b.png": b"1"}
    assert len(said) == 1 and "1 entries of data are named as if outside it and read without .." in said[0]


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("other", ["Bag/0.png", "../../Bag/0.png"])
def test_a_name_that_leads_out_onto_another_entry_is_refused(
    tmp_path: Path, make: Callable[..., Path], other: str
) -> None:
    path = make(tmp_path / "data", {"../Bag/0.png": b"0", other: b"1", "./b.png": b"2"}, {})
    with pytest.raises(RequestError, match=r"which leads out of it, and another one named Bag/0\.png"):
        listed(path)


def test_what_macos_adds_does_not_say_how_folders_are_separated(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "data", {r"Bag\0.png": b"0", "__MACOSX/._x": b""}, {})
    assert set(listed(path)[0]) == {"Bag/0.png"}


@pytest.mark.parametrize(
    ("raw", "name"),
    [("Käse".encode(), "Käse"), ("Käse".encode("cp437"), "Käse"), ("チーズ".encode(), "チーズ"), (b"plain", "plain")],
    ids=["utf-8", "cp437", "japanese", "ascii"],
)
def test_names_in_a_zip_are_utf8_before_code_page_437(tmp_path: Path, raw: bytes, name: str) -> None:
    placeholder = "x" * len(raw)
    path = make_zip(tmp_path / "a.zip", {f"{placeholder}/0.png": b"0"}, {})
    path.write_bytes(path.read_bytes().replace(placeholder.encode(), raw))
    assert listed(path)[0] == {f"{name}/0.png": b"0"}


def test_a_name_in_utf8_beside_that_of_a_zip_is_used(tmp_path: Path) -> None:
    name = "Käse/0.png".encode()
    info = zipfile.ZipInfo("K_se/0.png")
    info.extra = struct.pack("<HHBI", 0x7075, 5 + len(name), 1, zlib.crc32(b"K_se/0.png")) + name
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, b"0")
    assert listed(tmp_path / "a.zip")[0] == {"Käse/0.png": b"0"}


def test_names_in_a_zip_with_the_utf8_flag_are_taken_as_they_are(tmp_path: Path) -> None:
    assert set(listed(make_zip(tmp_path / "a.zip", {"Käse/Ã¤.png": b"0"}, {}))[0]) == {"Käse/Ã¤.png"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", ("Git LFS pointer", "git lfs pull")),
        (b"Rar!\x1a\x07\x01\x00", ("a RAR archive", "unpack it")),
        (b"7z\xbc\xaf\x27\x1c", ("a 7-Zip archive", "unpack it")),
        (b"\x28\xb5\x2f\xfd", ("Zstandard", "unpack it")),
        (b"<!DOCTYPE html><html>", ("a web page", "download it again")),
        (b"PAR1", ("a Parquet table", "one folder per class")),
    ],
)
def test_other_files_are_named_with_what_can_be_done(tmp_path: Path, content: bytes, words: tuple[str, ...]) -> None:
    (tmp_path / "data.zip").write_bytes(content)
    with pytest.raises(RequestError) as caught:
        list_files(tmp_path / "data.zip")
    assert words[0] in caught.value.message and words[1] in caught.value.hint


def test_a_part_of_a_zip_in_several_parts_is_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a.zip", {"a/b.png": b"0"}, {})
    raw = bytearray(path.read_bytes())
    raw[raw.rindex(b"PK\x05\x06") + 12] = 0xFF  # the directory is larger than the file
    path.write_bytes(raw)
    with pytest.raises(RequestError, match="damaged"):
        list_files(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", "dog/0.png", "cat/0.png")
    (folder / "cat").chmod(0)
    assert "cat (no permission to read it)" in listed(folder)[1][0]
    (folder / "cat").chmod(0o755)
