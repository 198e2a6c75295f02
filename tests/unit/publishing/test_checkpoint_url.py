"""A checkpoint at an address: downloaded once, verified, and gone on with after a cut."""

import hashlib
from pathlib import Path

import pytest
from served import CutServer

from export.core.errors import ExportError
from export.publishing.checkpoint_url import fetched, is_url


def test_a_checkpoint_is_downloaded_once_whole_and_verified(tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    with CutServer(content) as server:
        place = Path(f"{server.url}my%20model.pth#sha256={hashlib.sha256(content).hexdigest()}")
        assert is_url(place) and not is_url(Path("https.pth")) and fetched(Path("a.pth")) == Path("a.pth")
        path = fetched(place, tmp_path)
        assert path.name == "my model.pth" and path.read_bytes() == content
        assert server.cuts == 1 and server.ranges[-1] == f"bytes={len(content) // 2}-"
        asked = len(server.ranges)
        assert fetched(place, tmp_path) == path and len(server.ranges) == asked


def test_another_file_is_refused(tmp_path: Path) -> None:
    with CutServer(b"something else", cuts=0) as server, pytest.raises(ExportError, match="its SHA256 is"):
        fetched(Path(f"{server.url}a.pth#sha256={'0' * 64}"), tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
