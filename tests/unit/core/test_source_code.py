"""What code decides an artifact's bytes is found from imports: a change there makes it anew, a change elsewhere not."""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from export.core import source_code
from export.core.source_code import REPORTING, code_key, reached_modules
from export.pipeline.formats import FORMATS

ROOT = Path(__file__).parents[3]
STAGES = sorted({format.stage for format in FORMATS.values()})
ALL = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "export").rglob("*.py")
)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("copied")
    shutil.copytree(
        ROOT / "export",
        root / "export",
        ignore=lambda folder, names: {"__pycache__", *(["assets"] if folder.endswith("data") else [])},
    )
    return root


@pytest.fixture
def copy(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package whose files may be changed, for all tests: what one changes it also restores."""
    monkeypatch.setattr(source_code, "IMPORTED_FROM", copied)
    return copied


@pytest.fixture
def worded(copy: Path) -> Iterator[Path]:
    """A module of the copy, to be written."""
    path = copy / "export/worded.py"
    yield path
    path.unlink()


def file_of(root: Path, module: str) -> Path:
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@contextmanager
def changed(root: Path, modules: Iterable[str]) -> Iterator[None]:
    """Within the block, the modules have a statement more."""
    before = {path: path.read_text() for path in (file_of(root, module) for module in modules)}
    for path, text in before.items():
        path.write_text(f"{text}\nCHANGED = 1\n")
    try:
        yield
    finally:
        for path, text in before.items():
            path.write_text(text)


@pytest.mark.parametrize("stage", STAGES)
def test_a_change_in_any_module_that_a_stage_reaches_changes_its_key_and_no_other_change_does(
    stage: str, copy: Path
) -> None:
    reached, before = reached_modules(stage), code_key(stage)
    assert stage in reached and not reached & REPORTING
    with changed(copy, set(ALL) - reached):
        assert code_key(stage) == before
    for module in reached:
        with changed(copy, [module]):
            assert code_key(stage) != before, module
    assert code_key(stage) == before


@pytest.mark.parametrize(
    ("format", "module"),
    [
        ("vit", "export.quantization.layers.accumulation"),
        ("vit", "export.quantization.layers.packing"),
        ("vit", "export.quantization.integer_file"),
        ("onnx", "export.quantization.calibration.assemble"),
        ("onnx_tfjs", "export.conversion.reshape.folds"),
        ("safetensors", "export.quantization.methods"),
        ("safetensors", "export.data.calibration"),
        ("torch", "export.models.weights.randomise"),
        ("tfjs", "export.conversion.converter_process"),
        ("selftest", "export.data.preprocess"),
    ],
)
def test_what_once_was_forgotten_is_reached(format: str, module: str) -> None:
    assert module in reached_modules(FORMATS[format].stage)


def test_a_self_test_depends_on_what_runs_the_artifact() -> None:
    tested = FORMATS["selftest_qdq"]
    assert "export.conversion.onnx.export" in reached_modules(tested.stage, tested.runner)


def test_an_evaluation_depends_on_all_that_calibrates_and_measures() -> None:
    reached = reached_modules("export.quantization.evaluation.run")
    assert {
        "export.quantization.layers.accumulation",
        "export.quantization.calibration.gptq",
        "export.quantization.evaluation.baselines",
    } <= reached


def test_neither_bounds_nor_commands_nor_the_page_recalibrate() -> None:
    for stage in STAGES:
        reached = reached_modules(stage)
        assert "export.pipeline.formats" not in reached and "export.pipeline.session" not in reached
        assert not {module for module in reached if module.startswith(("export.page", "export.measuring"))}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1\n", "# a comment\nx = 1\n"),
        ('"""One."""\nx = 1\n', '"""Another."""\n\nx   =   1\n'),
        (
            'def f():\n    """Return."""\n    raise ValueError("this")\n',
            'def f():\n    raise ValueError(f"that {f}")\n',
        ),
        ('def f():\n    say("this")\n    return 1\n', 'def f():\n    say("that")\n    return 1\n'),
        ("x = 1\n", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\nx = 1\n"),
    ],
    ids=["comment", "docstring and layout", "error's message", "printed", "types"],
)
def test_words_are_no_change(worded: Path, before: str, after: str) -> None:
    typing = "from typing import TYPE_CHECKING\n" if "TYPE_CHECKING" in after else ""
    keys = []
    for text in (typing + before, after):
        worded.write_text(text)
        keys.append(code_key("export.worded"))
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1\n", "x = 2\n"),
        ('raise ValueError("a")\n', 'raise TypeError("a")\n'),
        ('x = "a text that is written"\n', 'x = "another"\n'),
        ("def f():\n    return 1\n", "def f():\n    from export.core import stats\n    return 1\n"),
        ("x = 1\n", "import export.core.figures.stats\nx = 1\n"),
    ],
)
def test_statements_are(worded: Path, before: str, after: str) -> None:
    keys = []
    for text in (before, after):
        worded.write_text(text)
        keys.append(code_key("export.worded"))
    assert keys[0] != keys[1]


def test_a_name_that_is_no_module_of_ours_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"export\.nothing"):
        code_key("export.nothing")
