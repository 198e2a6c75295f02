"""A built page published: checked, compared with what is published, and pushed when that is asked for."""

import re
from dataclasses import dataclass
from pathlib import Path

from export.core.console import say
from export.core.errors import RequestError, VerificationError
from export.publishing.configuration import PublishSettings
from export.publishing.domain import check_domain
from export.publishing.publication.branch import push, read_branch, refuse_foreign, remote_address, write_commit
from export.publishing.publication.checks import check_page, notes
from export.publishing.publication.git import Git, redacted, temporary_git
from export.publishing.verification.verify import verify_page

WORKFLOW = Path(".github/workflows/pages.yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRequest:
    """What to publish and how: the built `site`, from the `folder` of its repository.

    With `push` it is pushed, with `replace` over whatever the branch has; `check_only` asks no remote.
    """

    site: Path
    folder: Path
    settings: PublishSettings
    push: bool = False
    replace: bool = False
    check_only: bool = False


def publish(request: PublishRequest) -> None:
    """Check a page and publish it, or say what remains to be done.

    Raises `RequestError` for what cannot be met, `VerificationError` when a check fails: then nothing is pushed.
    """
    check_domain(request.settings.domain)
    say(f"{request.site}:")
    verified = verify_page(str(request.site))
    checks = check_page(request.site, verified, request.settings.visits)
    for check in checks:
        say(check.line())
    for note in notes(verified.manifest):
        say(f"  note: {note}")
    if failed := [check.name for check in checks if not check.passed]:
        raise VerificationError(f"not published: {', '.join(failed)}", hint="see what is said of each above")
    if request.check_only:
        return
    with temporary_git(request.folder) as git:
        _to_branch(git, request)


def _to_branch(git: Git, request: PublishRequest) -> None:
    settings = request.settings
    address = remote_address(git, settings.remote)
    if not address:
        if request.push or settings.remote != PublishSettings().remote:
            raise RequestError(
                f"there is no git remote called {settings.remote or repr('')} in {request.folder.absolute()}",
                hint="git remote add origin ADDRESS, or pass the address with --remote",
            )
        for line in first_steps(request):
            say(line)
        return
    branch = read_branch(git, settings.remote, settings.branch)
    refuse_foreign(branch, request.replace)
    commit, tree = write_commit(git, request.site, settings.domain)
    place = f"the branch {settings.branch} of {redacted(address)}"
    if tree == branch.tree:
        say(f"{place} has just this page already")
    elif request.push:
        push(git, branch, commit)
        say(f"published to {place}")
    else:
        what = "replace what is on" if branch.commit else "make"
        say(f"a dry run: nothing was pushed. With --push, it would {what} {place}, as one commit")
    for line in remaining_clicks(request, address):
        say(line)


def remaining_clicks(request: PublishRequest, address: str) -> list[str]:
    """Return what remains to be done on GitHub, once."""
    settings = request.settings
    domain = f", and enter {settings.domain} as the custom domain" if settings.domain else ""
    lines = [
        f"once, on GitHub: 1. Settings → Pages; 2. Source: Deploy from a branch; 3. {settings.branch} and / (root), "
        f"Save{domain}"
    ]
    if (request.folder / WORKFLOW).is_file():
        lines.append(f"or choose Source: GitHub Actions: then {WORKFLOW} publishes whatever is pushed to main")
    if where := page_address(address, settings.domain):
        lines.append(f"the page will be at {where}")
    return lines


def first_steps(request: PublishRequest) -> list[str]:
    """Return what remains to be done where there is no remote yet."""
    return [
        "the page can be published. Three steps remain:",
        "  1. make an empty repository on GitHub: https://github.com/new",
        f"  2. in {request.folder}: vit-pages publish --push --remote ADDRESS_OF_THE_REPOSITORY",
        f"  3. on GitHub: Settings → Pages → Source: Deploy from a branch → {request.settings.branch}, / (root), Save",
    ]


def page_address(address: str, domain: str) -> str:
    """Return the address at which GitHub serves a repository's page, or nothing for another host's repository."""
    if domain:
        return f"https://{domain}/"
    matched = re.search(r"github\.com[/:](?P<owner>[\w.-]+)/(?P<name>[\w.-]+?)(\.git)?/?$", address)
    if matched is None:
        return ""
    owner, name = matched["owner"].lower(), matched["name"]
    return f"https://{owner}.github.io/" + ("" if name.lower() == f"{owner}.github.io" else f"{name}/")
