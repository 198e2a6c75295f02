"""From a file of weights to a published page: the three commands, and every command of `docs/publishing.md`."""

import re
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from published import LABELS, ROOT, Terminal, bare_repository, git, write_checkpoint, write_pictures

from export.measuring.browser.server import serving
from export.publishing.build_request import read_build, read_tables
from export.publishing.configuration import find_configuration
from export.publishing.options import build_parser
from tests.library_models import VIT, make, save

pytestmark = [pytest.mark.conversion, pytest.mark.browser]

DOCUMENT = (ROOT / "docs/publishing.md").read_text()
ADDRESS = "https://github.com/you/my_page.git"
PACKAGE = "vit_pages-0.1.0-py3-none-any.whl"
# What a checkpoint's options on the command line are, by its form; a folder of another library needs its place alone.
FORMS = {
    "a file": "--model vit_t --checkpoint my.safetensors --labels my_labels.txt",
    "a folder of transformers": "--checkpoint my_vit",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENT, re.DOTALL | re.MULTILINE)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with all that the document takes for granted."""
    folder = tmp_path / "desk"
    write_checkpoint(folder / "my.safetensors")
    (folder / "my_labels.txt").write_text("\n".join(LABELS) + "\n")
    (folder / PACKAGE).write_bytes(b"a wheel")
    write_pictures(folder / "my_photos/train", 8)
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bare repository that git takes for the one at ADDRESS."""
    for name, value in bare_repository(tmp_path / "hub.git", ADDRESS).items():
        monkeypatch.setenv(name, value)
    return tmp_path / "hub.git"


@pytest.mark.parametrize("form", FORMS)
def test_three_commands_lead_to_a_page_that_classifies(form: str, desk: Path, hub: Path, page: Page) -> None:
    terminal = Terminal(desk)
    if "my_vit" in FORMS[form]:
        labels = dict(enumerate(LABELS))
        save(make("ViTForImageClassification", **VIT, id2label=labels), desk / "my_vit")
    terminal.run(f"vit-pages init my_page {FORMS[form]} --licence MIT --recipe w8a8_minmax --package {PACKAGE}")
    terminal.run("cd my_page")
    said = terminal.run("vit-pages build")
    assert "vit-pages.toml says what to build" in said and "synthetic images" in said
    said = terminal.run(f"vit-pages publish --push --remote {ADDRESS}")
    assert "synthetic images" in said and "https://you.github.io/my_page/" in said
    git(desk, "clone", "--quiet", "--branch", "gh-pages", str(hub), "visited")
    with serving(desk / "visited", base_path="/my_page/") as url:
        page.goto(url)
        expect(page.locator("#state")).to_contain_text("Ready")
        expect(page.get_by_text("chosen on synthetic images")).to_be_visible()
        page.locator(".samples:visible button").first.click()
        expect(page.locator("#state")).to_contain_text(re.compile(r"Most likely: thing \d, \d+\.\d\s%"))


def test_every_command_of_the_document_runs(desk: Path, hub: Path) -> None:
    write_pictures(desk / "my_photos/val", 15)
    write_pictures(desk / "other_photos", 1)
    shutil.make_archive(str(desk / "screenshots"), "zip", desk / "other_photos")
    terminal = Terminal(desk)
    for line in "".join(blocks("sh")).replace("\\\n", " ").splitlines():
        if line.startswith("vit-pages init"):  # a checkout does not know where it is published
            line += f" --package {desk / PACKAGE}"
        if "https://you.github.io" in line:
            with serving(terminal.folder / "_site", base_path="/my_page/") as url:
                terminal.run(line.replace("https://you.github.io/my_page/", url))
        elif line:
            terminal.run(line.replace("sha256=…", f"sha256={'0' * 64}"))
    assert git(hub, "for-each-ref", "--format=%(refname:short)").split() == ["gh-pages", "main"]
    assert git(hub, "show", "gh-pages:CNAME") == "garden.example.org"
    assert git(hub, "rev-list", "--count", "gh-pages") == "1" and git(hub, "ls-tree", "gh-pages", ".nojekyll")
    assert "vit-pages.toml" in git(hub, "ls-tree", "--name-only", "main").split()
    page = desk / "my_page/_site"
    assert "chosen on synthetic" not in (page / "index.html").read_text()
    assert re.search(r"Calibrated on 32 images: data", (page / "method.html").read_text())
    for words in ("a dry run: nothing was pushed", "published to the branch gh-pages", "as they should be"):
        assert words in terminal.said


def test_the_configuration_of_the_document_is_one(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration, attribution = blocks("toml")
    (desk / "vit-pages.toml").write_text(configuration)
    (desk / "my_samples").mkdir()
    (desk / "my_samples/attribution.toml").write_text(attribution)
    monkeypatch.chdir(desk)
    request = read_build(build_parser("", None), [])
    assert [model.name for model in request.models] == ["plants", "birds"]
    assert request.choices["plants"].samples == Path("my_samples")
    _, tables = read_tables(find_configuration(None), build_parser("", None))
    documented = set(re.findall(r"^\| `?([\w`, ]+?)`? \|", DOCUMENT, re.MULTILINE))
    assert tables and {"samples", "data"} <= documented
