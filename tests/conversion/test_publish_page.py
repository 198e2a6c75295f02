"""A page published to a branch: checked first, as one commit, and never over somebody else's work."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec.structs import replace as with_values
from published import bare_repository, forge, git, share_cache

from export.core.errors import ExportError, RequestError, VerificationError
from export.page.content.manifest import MARKER
from export.publish import main
from export.publishing.limits import FILE_LIMIT, MONTHLY_TRAFFIC
from export.publishing.publication.branch import push, read_branch, refuse_foreign, write_commit
from export.publishing.publication.checks import Check, check_page
from export.publishing.publication.git import redacted, temporary_git
from export.publishing.publication.publish import page_address
from export.publishing.verification.verify import Verified, verify_page

pytestmark = pytest.mark.conversion

ADDRESS = "https://github.com/you/page.git"


@pytest.fixture(scope="module")
def built(build_page: Callable[..., Path]) -> Path:
    return build_page("w8a8_gptq")


@pytest.fixture(scope="module")
def verified(built: Path) -> Verified:
    return verify_page(str(built))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bare repository that git takes for the one at ADDRESS."""
    for name, value in bare_repository(tmp_path / "hub.git", ADDRESS).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "hub.git"


@pytest.fixture
def desk(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page, which is the current one."""
    folder = tmp_path / "desk"
    shutil.copytree(built, folder / "_site")
    share_cache(folder)
    monkeypatch.chdir(folder)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_dry_run_changes_nothing_and_a_push_makes_one_commit(
    hub: Path, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    git(desk, "init", "--quiet")
    git(desk, "remote", "add", "origin", ADDRESS)
    (desk / "vit-pages.toml").write_text('[publish]\ndomain = "model.example.org"\n')
    before = contents(desk)
    main([])
    assert "a dry run: nothing was pushed. With --push, it would make the branch gh-pages" in capsys.readouterr().out
    assert not git(hub, "for-each-ref")
    main(["--push"])
    said = capsys.readouterr().out
    assert "published to the branch gh-pages" in said and "https://model.example.org/" in said
    assert "enter model.example.org as the custom domain" in said
    assert contents(desk) == before
    assert (
        git(hub, "rev-list", "--count", "gh-pages") == "1"
        and git(hub, "log", "-1", "--format=%an", "gh-pages") == "Jane Doe"
    )
    clone = desk.parent / "clone"
    git(desk.parent, "clone", "--quiet", "--branch", "gh-pages", str(hub), "clone")
    shutil.rmtree(clone / ".git")
    assert contents(clone) == {**contents(desk / "_site"), "CNAME": b"model.example.org\n"}


def test_a_page_that_is_published_already_is_left_and_another_takes_its_place(
    hub: Path, built: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(built, tmp_path / "other"))
    (other / "results.html").write_text("measured anew")
    with temporary_git(tmp_path) as store:  # in no repository, and without a remote of its own
        first, tree = write_commit(store, built, "")
        push(store, read_branch(store, ADDRESS, "gh-pages"), first)
        branch = read_branch(store, ADDRESS, "gh-pages")
        assert (branch.commit, branch.tree, branch.foreign) == (first, tree, ())
        second, _ = write_commit(store, other, "")
        push(store, branch, second)
    assert git(hub, "rev-parse", "gh-pages") == second and git(hub, "rev-list", "--count", "gh-pages") == "1"
    assert git(hub, "show", "gh-pages:results.html") == "measured anew"


def test_a_branch_of_others_is_refused_until_it_is_to_be_replaced(hub: Path, built: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    git(tmp_path, "init", "--quiet", "--initial-branch", "gh-pages", "work")
    shutil.copytree(built, work, dirs_exist_ok=True)
    for names in (("thesis.txt",), (MARKER,)):  # beside a page, and without one
        for name in names:
            (work / name).write_text("years of work")
        git(work, "add", "--all")
        git(work, "commit", "--quiet", "--message", "Mine")
        git(work, "push", "--quiet", "--force", str(hub), "gh-pages")
        with temporary_git(tmp_path) as store:
            branch = read_branch(store, ADDRESS, "gh-pages")
            with pytest.raises(RequestError, match="that ViT Pages did not put there") as refused:
                refuse_foreign(branch, replace=False)
            assert "--replace" in refused.value.hint and branch.foreign
            refuse_foreign(branch, replace=True)


def test_what_somebody_pushed_meanwhile_is_not_lost(hub: Path, built: Path, tmp_path: Path) -> None:
    with temporary_git(tmp_path) as store:
        commit, _ = write_commit(store, built, "")
        seen = read_branch(store, ADDRESS, "gh-pages")
        meanwhile, _ = write_commit(store, built, "example.org")
        push(store, seen, meanwhile)
        with pytest.raises(ExportError, match="git push failed"):
            push(store, seen, commit)
    assert git(hub, "rev-parse", "gh-pages") == meanwhile


def failing(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if not check.passed]


def test_limits_and_licences_are_held(desk: Path, verified: Verified) -> None:
    site, manifest = desk / "_site", verified.manifest
    assert failing(check_page(site, verified, 0)) == []
    visits = MONTHLY_TRAFFIC // manifest.first_visit_bytes
    assert failing(check_page(site, verified, visits)) == []
    assert failing(check_page(site, verified, visits + 1)) == ["visits"]
    model = manifest.models[0]
    for licence in ("not stated (own checkpoint)", "", " ", "unknown"):
        unknown = with_values(manifest, models=(with_values(model, licence=licence),))
        assert failing(check_page(site, replace(verified, manifest=unknown), 0)) == ["licence"]
    with (site / "large.bin").open("wb") as stream:
        stream.truncate(FILE_LIMIT + 1)
    (check,) = (check for check in check_page(site, verified, 0) if not check.passed)
    assert check.name == "files" and "large.bin" in check.text and check.hint
    for number in range(10):
        with (site / f"{number}.bin").open("wb") as stream:
            stream.truncate(FILE_LIMIT)
    assert failing(check_page(site, verified, 0)) == ["files", "size"]


def test_a_page_that_was_changed_is_not_published(hub: Path, desk: Path) -> None:
    (desk / "_site/index.html").write_text("somebody else's page")
    with pytest.raises(VerificationError, match="not published: verification"):
        main(["--push", "--remote", ADDRESS])
    assert not git(hub, "for-each-ref")


def test_a_page_of_an_unknown_licence_is_not_published(hub: Path, desk: Path) -> None:
    manifest = json.loads((desk / "_site" / MARKER).read_text())
    manifest["models"][0]["licence"] = "not stated (own checkpoint)"
    (desk / "_site" / MARKER).write_text(json.dumps(manifest))
    forge(desk / "_site", desk / "_site/index.html")
    with pytest.raises(VerificationError, match="not published: licence"):
        main(["--push", "--remote", ADDRESS])
    assert not git(hub, "for-each-ref")


def test_without_a_remote_the_steps_that_remain_are_said(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    said = capsys.readouterr().out
    assert "Three steps remain" in said and "Settings → Pages" in said and "  3. " in said
    with pytest.raises(RequestError, match="no git remote called origin"):
        main(["--push"])
    with pytest.raises(RequestError, match="no git remote called orgin"):
        main(["--remote", "orgin"])


def test_settings_that_git_does_not_read_are_not_taken_for_none(desk: Path) -> None:
    git(desk, "init", "--quiet")
    (desk / ".git/config").write_text("[core")
    with pytest.raises(RequestError, match="git does not read the repository"), temporary_git(desk):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--site", "none"], "there is no page in none"),
        (["--push", "--check"], "mutually exclusive"),
        (["--visits", "-1"], "below 0"),
        (["--domain", "example.org/page"], "is no domain"),
        (["--config", "none.toml"], "does not exist"),
    ],
)
def test_what_cannot_be_met_is_refused(desk: Path, options: list[str], message: str) -> None:
    with pytest.raises(RequestError, match=message) as refused:
        main(options)
    assert refused.value.hint or "--visits" in refused.value.message


def test_credentials_are_never_told(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_git(desk) as store, pytest.raises(ExportError, match="git ls-remote failed") as failed:
        read_branch(store, "http://jane:s3cret@127.0.0.1:9/page.git", "gh-pages")
    assert "s3cret" not in str(failed.value) and "jane" not in str(failed.value)
    with temporary_git(desk) as store, pytest.raises(ExportError) as failed:
        read_branch(store, "http://127.0.0.1:9/page.git?private_token=s3cret&x=1", "gh-pages")
    assert "s3cret" not in str(failed.value)
    with pytest.raises(RequestError, match="no name of a branch"), temporary_git(desk) as store:
        read_branch(store, ADDRESS, "a b")
    for secret in ("ghp_0123456789abcdef", "github_pat_0123_abc", "Bearer abc.def"):
        assert secret not in redacted(f"fatal: {secret} was refused")
    assert redacted("https://me:pa:ss@h.example/x and git@h.example:x") == "https://h.example/x and git@h.example:x"


@pytest.mark.parametrize(
    ("address", "domain", "expected"),
    [
        ("https://github.com/You/page.git", "", "https://you.github.io/page/"),
        ("git@github.com:you/you.github.io.git", "", "https://you.github.io/"),
        ("https://github.com/you/page", "model.example.org", "https://model.example.org/"),
        ("/srv/git/page.git", "", ""),
    ],
)
def test_the_address_of_the_page_is_said(address: str, domain: str, expected: str) -> None:
    assert page_address(address, domain) == expected
