"""`vit-pages.toml`: the command line's options under the same names, checked alike, and overridden by it."""

from pathlib import Path
from typing import Any

import pytest

from export.build import main, parser, read_request
from export.core.errors import RequestError
from export.publishing.option_values import options_of
from export.publishing.options import COMMON, CONFIG
from export.quantization.recipes import find_recipes

# A value of each option that takes no text, or no arbitrary one.
VALUES: dict[str, Any] = {
    "model": '"deit_t"',
    "recipe": '"u8"',
    "engine": '"vit"',
    "device": '"cpu"',
    "memory": '"4G"',
    "weights": '"random"',
    "multi-label": "true",
    "features": "true",
    "force": "true",
    "mean": "[0.5, 0.4, 0.3]",
    "std": "0.5",
    "crop-pct": "0.9",
    "interpolation": '"bicubic"',
    "image-size": "384",
    "source": '"https://example.org/"',
    "name": '"mine"',
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, path: str = CONFIG) -> Path:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return target


def test_every_option_of_the_command_line_is_a_key_and_means_the_same(folder: Path) -> None:
    Path("here").mkdir()
    Path("here/there").write_text("a\n")
    for name, action in options_of(parser()).items():
        value = VALUES.get(name, '"there"' if action.type is Path else '"text"')
        fixed = {"engine": "vit", "recipe": "w8a8_gptq"}  # whether tools are installed takes long to find out
        fixed |= {"model": "deit_t"} if name == "checkpoint" else {}  # a file of text does not say what it is of
        fixed.pop(name, None)
        rest = "".join(f'{key} = "{text}"\n' for key, text in fixed.items())
        write(f"{name} = {value}\n{rest}", f"here/{CONFIG}")
        argv = [*(part for key, text in fixed.items() for part in (f"--{key}", text)), f"--{name}"]
        if value != "true":
            argv.append(str(Path("here/there")) if value == '"there"' else value.strip('"[]').replace(", ", ","))
        expected, found = read_request(argv), read_request(["--config", f"here/{CONFIG}"])
        assert found.notes[0] == f"here/{CONFIG} says what to build"
        for field in expected.__slots__:
            assert field == "notes" or getattr(found, field) == getattr(expected, field), name


def test_the_file_in_the_folder_is_used_and_that_is_said() -> None:
    assert read_request(["--engine", "vit", "--recipe", "w8_rtn"]).notes == ()
    write('model = "deit_t"\nrecipe = ["u8", "f32"]\n')
    request = read_request([])
    assert [model.name for model in request.models] == ["deit_t"] and request.recipes == find_recipes("u8,f32")
    assert request.notes == (f"{CONFIG} says what to build",)
    Path(CONFIG).rename("other.toml")
    assert read_request(["--config", "other.toml"]).models == request.models


def test_the_command_line_comes_first() -> None:
    write('model = "deit_t"\nrecipe = "u8"\nimage-size = 384\nout = "there"\n')
    request = read_request(["--recipe", "f32", "--image-size", "256"])
    assert request.recipes == find_recipes("f32") and request.out == Path("there")
    assert request.models[0].preprocess.image_size == 256
    assert request.notes == (f"{CONFIG} says what to build; the command line comes first: --recipe, --image-size",)


def test_models_have_checkpoints_recipes_labels_data_and_texts_of_their_own(folder: Path) -> None:
    for name in ("birds.safetensors", "plants.pth", "birds.txt", "photos/a.png", "samples/attribution.toml"):
        write("x", f"page/{name}")
    write(
        """
        recipe = "w8a8_gptq"
        engine = "vit"
        [page]
        title = "My garden"
        about = '''One
        paragraph.

        Another one.'''
        [[models]]
        name = "birds"
        model = "deit_t"
        checkpoint = "birds.safetensors"
        labels = "birds.txt"
        licence = "CC-BY-4.0"
        samples = "samples"
        [[models]]
        name = "plants"
        title = "What grows here"
        model = "deit_t"
        checkpoint = "plants.pth"
        recipe = "w4a8_gptq,w8_rtn"
        data = "photos"
        """,
        f"page/{CONFIG}",
    )
    request = read_request(["--config", f"page/{CONFIG}"])
    base = Path("page")
    assert [(model.name, model.checkpoint, model.labels) for model in request.models] == [
        ("birds", base / "birds.safetensors", base / "birds.txt"),
        ("plants", base / "plants.pth", None),
    ]
    birds, plants = (request.choices[name] for name in ("birds", "plants"))
    assert (birds.recipes, plants.recipes) == (find_recipes("w8a8_gptq"), find_recipes("w4a8_gptq,w8_rtn"))
    assert (birds.data, plants.data, birds.samples) == (None, base / "photos", base / "samples")
    assert (birds.page.title, birds.page.licence, plants.page.title) == ("birds", "CC-BY-4.0", "What grows here")
    assert request.texts.title == "My garden" and request.texts.paragraphs == ("One paragraph.", "Another one.")
    chosen = read_request(["--config", f"page/{CONFIG}", "--model", "plants"])
    assert [model.checkpoint for model in chosen.models] == [base / "plants.pth"]
    assert f"page/{CONFIG} has 2 models; built here: plants" in chosen.notes
    other = read_request(["--config", f"page/{CONFIG}", "--model", "vit_t"])
    assert [(model.name, model.checkpoint) for model in other.models] == [("vit_t", None)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('modle = "deit_t"', ("modle", "the nearest known key is model")),
        ("image_size = 384", ("image_size", "image-size")),
        ('[page]\ntitel = "A"', ("[page]", "titel", "title")),
        ('[publish]\ndomian = "a.b"', ("[publish]", "domian", "domain")),
        ('[pages]\ntitle = "A"', ("pages", "the nearest known key is page")),
        ('[[model]]\nmodel = "deit_t"', ("has [[model]]", "[[models]]")),
        ("[workflow]\ninstall = 3", ("[workflow]", "install", "a list")),
        ('[[models]]\nmodel = "deit_t"\ncheckpiont = "x"', ("number 1", "checkpiont", "checkpoint")),
        ('[[models]]\nmodel = "deit_t"\nengine = "vit"', ("engine", "of the whole page")),
        ('model = "deit_t"\n[[models]]\nmodel = "vit_t"', ("both model and [[models]]",)),
        ('[models]\nmodel = "deit_t"', ("no list of tables", "[[models]]")),
        ('[[models]]\nmodel = ["deit_t", "vit_t"]', ("model is a list",)),
        ('[[models]]\nmodel = "deit_t"\n[[models]]\nmodel = "deit_t"', ("two models are called deit_t", "name = …")),
        ('model = ["deit_t", "vit_t"]\ncheckpoint = "x.pth"', ("checkpoint", "2 models")),
        ("image-size = true", ("image-size", "True")),
        ('image-size = "large"', ("image-size is 'large'", "a whole number")),
        ("image-size = 9000", ("--image-size 9000", "1 to 4096")),
        ('interpolation = "cubic"', ("interpolation", "bicubic")),
        ("mean = [0.5, 0.5]", ("mean", "three for red, green and blue")),
        ("multi-label = 1", ("multi-label is 1", "true or false")),
        ("recipe = []", ("recipe is a list of 0",)),
        ("data = { folder = 'x' }", ("data is a table",)),
        ('recipe = "w9a8_gptq"', ("9 bits",)),
        ('checkpoint = "none.pth"\nmodel = "deit_t"', ("none.pth does not exist",)),
        ('labels = "none.txt"', ("none.txt: no such file",)),
        ('data = "none"', ("none: no such folder",)),
        ('name = "a b"', ("'a b' is no name",)),
        ('source = "javascript:alert(1)"', ("is no address", "https://")),
        ("model = deit_t", ("is not TOML", "line 2")),
        ("recipe = " + 2000 * "[", ("is not TOML", "nested too deeply")),
        (
            '[[models]]\nmodel = "deit_t"\nname = "a"\n[[models]]\nmodel = "vit_t"\nname = "A"',
            ("two models are called",),
        ),
        ('recipe = "u8"\nrecipe = "f32"', ("is not TOML", "overwrite a value")),
        ("[page]\nlead = 3", ("[page]", "lead", "text")),
    ],
)
def test_what_a_file_says_wrongly_is_refused_with_a_way_on(text: str, words: tuple[str, ...]) -> None:
    write(text if "engine" in text or "recipe" in text else f'engine = "vit"\n{text}')
    with pytest.raises(RequestError) as refused:
        main([])
    assert all(word in str(refused.value) for word in words), refused.value
    assert CONFIG in str(refused.value) or "--" in str(refused.value) or "models are called" in str(refused.value)
    assert refused.value.hint and not Path("_site").exists() and not Path("artifacts").exists()


def test_a_model_without_architecture_is_chosen_by_its_name_and_a_mark_of_windows_is_no_text(folder: Path) -> None:
    table = '[[models]]\nname = "{0}"\ncheckpoint = "{0}"\n'
    for name in ("one", "two"):
        write('{"model_type": "vit", "architectures": ["ViTModel"]}', f"{name}/config.json")
        write("weights", f"{name}/model.safetensors")
    write("\ufeff" + 'engine = "vit"\n' + table.format("one") + table.format("two"))
    chosen = read_request(["--model", "two"])
    assert [(model.name, model.checkpoint) for model in chosen.models] == [("two", Path("two"))]


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, lambda path: path.write_bytes(b"\xff\xfe")])
def test_a_file_that_cannot_be_read_is_refused(make: Any) -> None:
    path = Path("mine.toml")
    make(path)
    with pytest.raises(RequestError, match=r"mine\.toml (does not exist|is a folder|is not UTF-8)"):
        read_request(["--config", "mine.toml"])


def test_options_of_the_whole_build_are_those_that_no_model_has() -> None:
    assert set(COMMON) < {action.dest for action in options_of(parser()).values()}
