"""Sample pictures of a person's own: whose they are is said, and they are small and say nothing of their place."""

from pathlib import Path

import pytest
from PIL import Image
from rendering import contents, make_site, read_site_data

from export.core.errors import RequestError
from export.page.assets.samples import ATTRIBUTION, MOST, prepared_samples
from export.page.content.inventory import gather_model
from export.page.content.manifest import MARKER, read_site_manifest
from export.page.content.presentation import ModelPage, PageTexts, SampleSet
from export.page.render import render
from export.pipeline.store import Store

CREDITS = """
attribution = "Jane Doe"
licence = "CC BY 4.0"
["IMG_0001.jpg"]
title = "A rose"
attribution = "Jim Doe"
source = "https://example.org/rose"
"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    exif.get_ifd(0x8825)[1] = "N"  # a place
    Image.effect_noise((1200, 800), 80).save(folder / "IMG_0001.jpg", exif=exif)
    Image.new("RGB", (40, 30), "red").save(folder / "red_house Ä.png")
    (folder / ".DS_Store").write_text("")
    (folder / "notes.txt").write_text("of my own")
    (folder / ATTRIBUTION).write_text(CREDITS, "utf-8-sig")  # as editors on Windows write it
    return folder


def test_pictures_are_made_ready_and_credited(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with prepared_samples(pictures, "garden") as ready:
        rose, house = ready.samples
        assert (rose.title, rose.attribution, rose.licence) == ("A rose", "Jim Doe", "CC BY 4.0")
        assert (house.title, house.attribution, house.source) == ("Red house Ä", "Jane Doe", "")
        assert (rose.file, house.file) == ("own/garden/img-0001.jpg", "own/garden/red-house.png")
        with Image.open(ready.folder / rose.file) as image:
            assert image.size == (rose.width, rose.height) == (533, 800) and not image.getexif()
        assert (ready.folder / house.file).read_bytes() == (pictures / "red_house Ä.png").read_bytes()
    said = capsys.readouterr().out
    assert "notes.txt" in said and "without what the camera wrote" in said and not ready.folder.exists()


@pytest.mark.parametrize(
    ("credits", "message"),
    [
        (None, "has no attribution.toml"),
        ("licence = 'MIT'", "says no attribution of IMG_0001.jpg"),
        ("attribution = 'me'", "says no licence of"),
        ("attribution = me", "cannot be read"),
        ("autor = 'me'", "unknown key"),
        ("attribution = 3", "attribution is 3"),
        (CREDITS + '["IMG_001.jpg"]\ntitle = "x"', r"\[IMG_001.jpg\] is none of the pictures"),
        ("attribution = 'me'\nlicence = 'MIT'\nsource = 'javascript:x'", "source is 'javascript:x'"),
    ],
)
def test_pictures_that_are_nobodys_are_refused(pictures: Path, credits: str | None, message: str) -> None:
    (pictures / ATTRIBUTION).unlink()
    if credits is not None:
        (pictures / ATTRIBUTION).write_text(credits)
    with pytest.raises(RequestError, match=message) as refused, prepared_samples(pictures, "garden"):
        pass
    assert refused.value.hint


def test_folders_without_pictures_or_with_too_many_are_refused(pictures: Path) -> None:
    for number in range(MOST):
        Image.new("RGB", (2, 2)).save(pictures / f"{number}.png")
    with pytest.raises(RequestError, match=f"has {MOST + 2} pictures"), prepared_samples(pictures, "garden"):
        pass
    for number in range(2, MOST):
        (pictures / f"{number}.png").unlink()
    Image.effect_noise((90, 90), 80).save(pictures / "0.png")
    (pictures / "0.png").write_bytes((pictures / "0.png").read_bytes()[:2000])
    with pytest.raises(RequestError, match=r"0\.png cannot be opened"), prepared_samples(pictures, "garden"):
        pass
    for path in pictures.glob("*.[pj][np]g"):
        path.unlink()
    with pytest.raises(RequestError, match="has no picture"), prepared_samples(pictures, "garden"):
        pass


def test_texts_licence_and_samples_are_on_the_page_and_stay_when_it_is_rendered_again(
    pictures: Path, store: Store, bundle: Path, out: Path, tmp_path: Path
) -> None:
    def site(folder: Path, texts: PageTexts, page: ModelPage) -> Path:
        render(
            artifacts=store.root,
            models=["plain"],
            recipes=["u8"],
            bundle=bundle,
            measurements=None,
            out=folder,
            texts=texts,
            pages={"plain": page},
        )
        return folder

    texts = PageTexts(title="My <garden>", lead="What grows", about="One.\n\nTwo & three.")
    with prepared_samples(pictures, "plain") as samples:
        page = ModelPage(title="Plants", licence="CC-BY-4.0", source="https://example.org/", samples=samples)
        assert gather_model(store, "plain", ["u8"], page=page).spec.licence == "CC-BY-4.0"
        site(out, texts, page)
    html = (out / "index.html").read_text()
    for text in ("<title>My &lt;garden&gt; ", "<h1>My &lt;garden&gt;</h1>", "What grows", "<p>Two &amp; three.</p>"):
        assert text in html
    assert "CC-BY-4.0" in (out / "method.html").read_text() and "Jim Doe. Licence: CC BY 4.0." in html
    assert html.count('<span class="unseen"> of ') == 1  # the other picture has no source
    (model,) = read_site_data(out)["models"]
    assert model["title"] == "Plants" and all((out / one["file"]).is_file() for one in model["samples"])
    manifest = read_site_manifest((out / MARKER).read_bytes())
    (listed,) = manifest.models
    again = ModelPage(
        title=listed.title,
        licence=listed.licence,
        source=listed.source,
        samples=SampleSet(folder=out / "samples", samples=listed.samples),
    )
    before = contents(out)
    assert contents(site(out, manifest.page, again)) == before


def test_a_page_without_own_texts_has_the_usual_ones(store: Store, bundle: Path, out: Path) -> None:
    make_site(store, bundle, out)
    html = (out / "index.html").read_text()
    assert "<h1>A Vision Transformer, on your own device</h1>" in html and "about-heading" not in html
