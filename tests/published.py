"""What a person has who publishes a page: a tiny checkpoint, labels, pictures; and the commands, run in a folder."""

import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import chdir, redirect_stdout
from io import StringIO
from pathlib import Path
from urllib.request import urlopen

from sharing import SHARED, share_bundle

from export.__main__ import dispatch
from export.core.files import hash_file, hash_json
from export.page.content.manifest import MARKER

ROOT = Path(__file__).parents[1]
LABELS = tuple(f"thing {number}" for number in range(4))


def write_checkpoint(path: Path) -> Path:
    """Write a ViT-T of one block for pictures of 32×32 pixels and four classes."""
    import timm
    from safetensors.torch import save_file

    from export.models.weights.randomise import randomise

    module = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=1, num_classes=len(LABELS))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(randomise(module.eval(), seed=3).state_dict(), path)
    return path


def write_pictures(folder: Path, count: int) -> Path:
    """Write class folders with `count` pictures each."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for label in LABELS:
        (folder / label).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(random.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / label / f"{number}.png")
    return folder


def share_cache(folder: Path) -> None:
    """Let a folder use what earlier builds compiled and bundled."""
    cache = folder / ".cache"
    if not cache.is_symlink():
        SHARED.mkdir(parents=True, exist_ok=True)
        cache.symlink_to(SHARED.parent)


class Terminal:
    """Runs commands one after the other, `cd` included; `vit-pages` runs in this process, which has PyTorch already."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, ""

    def run(self, line: str) -> str:
        """Run a line and return what it printed; fails when it does."""
        words = shlex.split(re.sub(r"\s#.*", "", line))  # within a word, # begins no comment
        if words[0] == "cd":
            self.folder = self.folder / words[1]
            assert self.folder.is_dir(), line
            return ""
        if words[:2] == ["vit-pages", "serve"]:
            return self._serve(words[1:])
        said = self._run_here(words[1:]) if words[0] == "vit-pages" else self._run(words)
        self.said += said
        return said

    def _run_here(self, words: list[str]) -> str:
        share_cache(self.folder)
        share_bundle()
        with chdir(self.folder), redirect_stdout(StringIO()) as said:
            dispatch(words)
        return said.getvalue()

    def _run(self, words: list[str]) -> str:
        done = subprocess.run(words, cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _serve(self, words: list[str]) -> str:
        """Start the server, visit the page, and stop it."""
        port = [] if "--port" in words else ["--port", "0"]  # 8000 may be taken
        command = [sys.executable, "-m", "export", *words, *port]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, cwd=self.folder, env=environment, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            line = server.stdout.readline()
            with urlopen(next(word for word in line.split() if word.startswith("http"))) as response:
                assert b"site-data" in response.read()
            server.terminate()  # a shell lets its background jobs ignore Ctrl-C
        return line


def bare_repository(folder: Path, address: str) -> dict[str, str]:
    """Make a bare repository that git takes for the one at an address; return the environment in which it does."""
    subprocess.run(["git", "init", "--quiet", "--bare", str(folder)], check=True)
    config = folder.parent / "gitconfig"
    config.write_text(
        f'[url "{folder}"]\n\tinsteadOf = {address}\n[user]\n\tname = Jane Doe\n\temail = jane@example.org\n'
    )
    return {"GIT_CONFIG_GLOBAL": str(config), "GIT_CONFIG_NOSYSTEM": "1"}


def git(folder: Path, *arguments: str) -> str:
    """Return what git prints."""
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def forge(page: Path, path: Path) -> None:
    """Write a changed file's hash wherever the manifest and the page have it, as somebody would who hides a change."""
    manifest = json.loads((page / MARKER).read_text())
    name = path.relative_to(page).as_posix()
    record = {"bytes": path.stat().st_size, "sha256": hash_file(path)}
    hashes: dict[str, str] = {}  # that were, and that are
    for model in manifest["models"]:
        if model["selftest"]["path"] == name:
            hashes[model["selftest"]["sha256"]] = record["sha256"]
            model["selftest"] |= record
        for variant in model["variants"]:
            for file in variant["files"]:
                if variant["folder"] + file["path"] == name:
                    hashes[file["sha256"]] = record["sha256"]
                    file |= record
                    sha256 = hash_json([[one["path"], one["sha256"]] for one in variant["files"]])
                    hashes[variant["sha256"]], variant["sha256"] = sha256, sha256
    for said in (page / "index.html", *page.glob("models/*/manifest.json")):
        text = said.read_text()
        for before, after in hashes.items():
            text = text.replace(before, after)
        said.write_text(text)
    for file in manifest["files"]:
        changed = page / file["path"]
        file |= {"bytes": changed.stat().st_size, "sha256": hash_file(changed)}
    (page / MARKER).write_text(json.dumps(manifest))
