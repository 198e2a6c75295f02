"""git, in a repository that lives as long as a publication, with the settings of the one that a person works in."""

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from export.core.errors import ExportError, RequestError

CREDENTIALS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)[^/\s@]*@", re.IGNORECASE)
TOKENS = re.compile(r"\b(gh[pousr]_\w+|github_pat_\w+|glpat-[\w-]+|(?:basic|bearer)\s+[\w+/=.-]+)", re.IGNORECASE)
SECRETS = re.compile(r"(?P<name>[?&][\w-]*(token|secret|password|key|auth)[\w-]*=)[^&\s'\"]*", re.IGNORECASE)
OF_A_REPOSITORY = re.compile(r"GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_|ALTERNATE_|COMMON_DIR|NAMESPACE|PREFIX|TRACE)")
# What a site's bytes must not go through, whatever a person has set.
UNCHANGED = ("core.autocrlf=false", "core.attributesFile=/dev/null", "core.excludesFile=/dev/null", "gc.auto=0")


def redacted(text: str) -> str:
    """Return a text without user names, passwords and tokens in it."""
    return SECRETS.sub(r"\g<name>…", TOKENS.sub("…", CREDENTIALS.sub(r"\g<scheme>", text)))


class Git:
    """Runs git with a folder of its own for what it stores; `cwd` is where relative paths of remotes begin."""

    def __init__(self, store: Path, cwd: Path) -> None:
        self.store, self.cwd = store, cwd

    def run(self, *arguments: str, data: str | None = None) -> str:
        """Run a command and return what it prints; raises `ExportError` with what git says, without credentials."""
        done = self._run(arguments, data)
        if done.returncode != 0:
            said = redacted((done.stderr or done.stdout).strip()) or f"exit code {done.returncode}"
            raise ExportError(
                f"git {arguments[0]} failed: {said}", hint="check the remote, and that you may push to it"
            )
        return done.stdout.strip()

    def _run(self, arguments: Sequence[str], data: str | None) -> "subprocess.CompletedProcess[str]":
        settings = [part for setting in UNCHANGED for part in ("-c", setting)]
        environment = {name: value for name, value in os.environ.items() if not OF_A_REPOSITORY.match(name)}
        environment |= {"GIT_DIR": str(self.store), "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        return subprocess.run(
            ["git", *settings, *arguments],
            cwd=self.cwd,
            env=environment,
            input=data,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
        )


@contextmanager
def temporary_git(folder: Path) -> Iterator[Git]:
    """Yield git for a publication from `folder`: remotes and credentials as there, nothing is written there.

    Raises `RequestError` where git is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="vit-pages-publish-") as scratch:
        git = Git(Path(scratch, "repository.git"), folder)
        try:
            git.run("init", "--quiet", "--bare")
        except FileNotFoundError as error:
            raise RequestError("git is not on PATH", hint="install git, or upload the folder by hand") from error
        if (config := _own_config(folder)) is not None:
            git.run("config", "include.path", str(config))
        yield git


def _own_config(folder: Path) -> Path | None:
    """Return the settings of the repository that a folder is in, if it is in one; raises `RequestError`."""
    found = subprocess.run(
        ["git", "rev-parse", "--path-format=absolute", "--git-path", "config"],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "LC_ALL": "C"},
    )
    said = redacted(found.stderr.strip())
    if found.returncode != 0 and "not a git repository" not in said:
        raise RequestError(f"git does not read the repository of {folder.absolute()}: {said}", hint="do as git says")
    path = Path(found.stdout.strip())
    return path if found.returncode == 0 and path.is_file() else None
