"""The branch that a page is published to: one commit, replaced as a whole, and never over somebody else's work."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from export import __version__
from export.core.console import several
from export.core.errors import ArtifactError, ExportError, RequestError
from export.page.content.manifest import GENERATOR, MARKER
from export.publishing.publication.git import Git, redacted

DOMAIN_FILE, NO_JEKYLL = "CNAME", ".nojekyll"
BLOB, EXECUTABLE = "100644", "100755"
MESSAGE = f"Publish the page, built with ViT Pages {__version__}"
IDENTITY = {"user.name": "ViT Pages", "user.email": "vit-pages@localhost"}


@dataclass(frozen=True, slots=True)
class Branch:
    """A branch of a remote as it is now: its commit and tree, empty where there is none.

    `foreign` are files in it that no publication put there, or all that there is to say of a branch that is not ours.
    """

    remote: str
    name: str
    commit: str = ""
    tree: str = ""
    foreign: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.name} of {redacted(self.remote)}"


def remote_address(git: Git, remote: str) -> str:
    """Return the address that a remote's name stands for, an address as it is, or nothing for another name."""
    if "/" in remote or ":" in remote or "\\" in remote or (git.cwd / remote).is_dir():
        return remote
    try:
        return git.run("remote", "get-url", remote)
    except ExportError:
        return ""


def read_branch(git: Git, remote: str, name: str) -> Branch:
    """Ask a remote for a branch and look into it; raises `ExportError` when it cannot be reached."""
    try:
        git.run("check-ref-format", "--branch", name)
    except ExportError as error:
        raise RequestError(f"--branch {name!r} is no name of a branch", hint="gh-pages is the usual one") from error
    listed = git.run("ls-remote", "--", remote, f"refs/heads/{name}")
    if not listed:
        return Branch(remote, name)
    commit = listed.split()[0]
    git.run("fetch", "--quiet", "--no-tags", "--depth", "1", "--", remote, f"refs/heads/{name}")
    tree = git.run("rev-parse", f"{commit}^{{tree}}")
    return Branch(remote, name, commit, tree, _foreign(git, commit))


def _foreign(git: Git, commit: str) -> tuple[str, ...]:
    """Return the files of a commit that no page's manifest there lists."""
    names = [name for name in git.run("ls-tree", "-r", "-z", "--name-only", commit).split("\0") if name]
    ours = {MARKER, DOMAIN_FILE, NO_JEKYLL}
    if MARKER in names:
        try:
            manifest = json.loads(git.run("show", f"{commit}:{MARKER}"))
            if manifest["generator"] == GENERATOR:
                ours |= {file["path"] for file in manifest["files"]}
                return tuple(name for name in names if name not in ours)
        except (ValueError, KeyError, TypeError):
            pass  # somebody else's file of that name
    return tuple(names) or ("an empty commit",)


def write_commit(git: Git, site: Path, domain: str) -> tuple[str, str]:
    """Store the site as one commit without a parent; return the commit and its tree.

    Raises `ArtifactError` when what was stored is not what is in the folder.
    """
    files = sorted(path for path in site.rglob("*") if path.is_file())
    names = [path.relative_to(site).as_posix() for path in files]
    with tempfile.TemporaryDirectory() as scratch:
        own = {NO_JEKYLL: b"", **({DOMAIN_FILE: f"{domain}\n".encode()} if domain else {})}
        for name, body in own.items():
            Path(scratch, name).write_bytes(body)
        extra = [name for name in own if name not in names]
        paths = [str(path.absolute()) for path in files] + [str(Path(scratch, name)) for name in extra]
        names += extra
        blobs = git.run("hash-object", "-w", "--no-filters", "--stdin-paths", data="\n".join(paths) + "\n").split()
    if len(blobs) != len(names):
        raise ArtifactError(f"git stored {len(blobs)} of {len(names)} files", hint="check free disk space")
    entries = "".join(f"{BLOB} {blob}\t{name}\0" for blob, name in zip(blobs, names, strict=True))
    git.run("update-index", "--add", "-z", "--index-info", data=entries)
    tree = git.run("write-tree")
    return git.run(*_identity(git), "commit-tree", tree, "-m", MESSAGE), tree


def _identity(git: Git) -> list[str]:
    """Return the options of a name for the commit, where the person has none set."""
    options = []
    for key, value in IDENTITY.items():
        try:
            git.run("config", key)
        except ExportError:
            options += ["-c", f"{key}={value}"]
    return options


def push(git: Git, branch: Branch, commit: str) -> None:
    """Replace the branch as it was read by a commit; raises `ExportError` when somebody has changed it since."""
    lease = f"--force-with-lease=refs/heads/{branch.name}:{branch.commit}"
    git.run("push", "--quiet", lease, "--", branch.remote, f"{commit}:refs/heads/{branch.name}")


def refuse_foreign(branch: Branch, replace: bool) -> None:
    """Raise `RequestError` for a branch with files that no publication put there, unless it is to be replaced."""
    if branch.foreign and not replace:
        raise RequestError(
            f"the branch {branch} has files that ViT Pages did not put there: {several(list(branch.foreign))}",
            hint="name another branch with --branch, or replace it as a whole with --replace",
        )
