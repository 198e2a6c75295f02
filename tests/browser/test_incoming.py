"""What people drop, paste and choose: folders, several files, shortcuts, files that are gone; nothing is ignored."""

import re
from pathlib import Path

import pytest
from damaged_pictures import encoded, picture
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

SAMPLE = Path(__file__).parents[2] / "site/samples/fashion/bag-30.png"
HAND_OVER = """([how, files, data]) => {
  const transfer = new DataTransfer();
  for (const [name, type, bytes] of files) transfer.items.add(new File([Uint8Array.from(bytes)], name, { type }));
  for (const [type, text] of Object.entries(data)) transfer.setData(type, text);
  const kind = how === 'paste' ? ClipboardEvent : DragEvent;
  const options = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
  document.body.dispatchEvent(new kind(how, options));
}"""


@pytest.fixture
def opened(page: Page, site_url: str) -> Page:
    page.goto(f"{site_url}#variant=u8-tfjs&backend=wasm")
    expect(page.locator("#state")).to_contain_text("Ready")
    return page


def hand_over(page: Page, how: str, *files: tuple[str, str, bytes], **data: str) -> None:
    """Dispatch a drop or a paste of files and of data by type."""
    listed = [[name, kind, list(content)] for name, kind, content in files]
    page.evaluate(HAND_OVER, [how, listed, {name.replace("_", "/"): text for name, text in data.items()}])


def drop_paths(page: Page, *paths: Path) -> None:
    """Drop files and folders of this machine, as a file manager does."""
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    session = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 200, "y": 200, "data": data})


def test_several_files_are_counted_and_the_first_image_is_used(opened: Page) -> None:
    image = SAMPLE.read_bytes()
    text = ("notes.txt", "text/plain", b"words")
    for how, title in (("drop", "bag.png"), ("paste", "Pasted image")):
        hand_over(opened, how, text, ("bag.png", "image/png", image), ("other.png", "image/png", image))
        expect(opened.get_by_role("img", name=f"Your image: {title}")).to_be_visible()
        expect(opened.locator("#state")).to_contain_text("Most likely: Bag")
        done = "dropped" if how == "drop" else "pasted"
        expect(opened.locator("#notices")).to_contain_text(f"3 files were {done}: “bag.png” was taken, the other 2")
    hand_over(opened, "drop", ("bag.png", "image/png", image))
    expect(opened.locator("#notices")).to_be_hidden()


def test_notice_of_the_rest_stays_where_the_first_file_is_refused(opened: Page) -> None:
    hand_over(opened, "drop", ("a.png", "image/png", b"words"), ("b.png", "image/png", SAMPLE.read_bytes()))
    expect(opened.get_by_role("alert")).to_contain_text("not an image")
    expect(opened.locator("#notices")).to_contain_text("2 files were dropped: “a.png” was taken, the other one was not")


def test_image_that_can_be_read_is_preferred(opened: Page) -> None:
    drawing = ("a.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    empty = ("b.png", "image/png", b"")
    hand_over(opened, "drop", drawing, empty, ("c.png", "image/png", SAMPLE.read_bytes()))
    expect(opened.locator("#state")).to_contain_text("Most likely: Bag")
    expect(opened.locator("#notices")).to_contain_text("3 files were dropped: “c.png” was taken, the other 2 were not")


def test_folder_is_named_and_not_called_a_bug(opened: Page, tmp_path: Path) -> None:
    folder = tmp_path / "holiday"
    folder.mkdir()
    drop_paths(opened, folder)
    alert = opened.get_by_role("alert")
    expect(alert).to_contain_text("“holiday” is a folder")
    expect(alert).to_contain_text("choose an image in it")
    drop_paths(opened, folder, SAMPLE)
    expect(opened.locator("#state")).to_contain_text("Most likely: Bag")
    expect(opened.locator("#notices")).to_contain_text("A folder was dropped too, and not used; “bag-30.png” was taken")


def test_file_that_is_gone_or_changed_is_to_be_chosen_again(opened: Page, tmp_path: Path) -> None:
    opened.get_by_role("button", name=re.compile("^Load the model")).click()
    expect(opened.get_by_role("button", name="Load again")).to_be_visible()
    chosen = tmp_path / "bag.png"
    for spoil in (chosen.unlink, lambda: chosen.write_bytes(b"now something longer" * 100)):
        chosen.write_bytes(SAMPLE.read_bytes())
        opened.get_by_label("Choose an image").set_input_files(chosen)
        expect(opened.locator("#state")).to_contain_text("Most likely: Bag")
        spoil()
        opened.get_by_role("button", name="Load again").click()
        alert = opened.get_by_role("alert")
        expect(alert).to_contain_text("can no longer read the file")
        expect(alert).to_contain_text(re.compile("Choose the file again.*moved, changed or deleted"))
        expect(alert).not_to_contain_text("report")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"text_uri-list": "https://example.org/a.png", "text_html": "<img src='https://example.org/a.png'>"},
            "address",
        ),
        ({"text_plain": "words"}, "text"),
        ({"application_x-own": "{}"}, "something else"),
        ({}, "something else"),
    ],
)
def test_what_is_no_file_is_named(opened: Page, data: dict[str, str], message: str) -> None:
    hand_over(opened, "drop", **data)
    expect(opened.get_by_role("alert")).to_contain_text(
        re.compile(f"Only files can be dropped here; this was .*{message}")
    )


def test_paste_without_an_image_and_files_that_are_none(opened: Page) -> None:
    hand_over(opened, "paste", text_plain="words")
    expect(opened.get_by_role("alert")).to_contain_text("contains no image")
    shortcut = b"[InternetShortcut]\r\nURL=https://example.org/bag.png\r\n"
    for name, content, message in (
        ("bag.url", shortcut, "a shortcut"),
        ("bag.png", b"", "0 bytes"),
        ("bag.png", b"\0\0\0\x20ftypisom" + bytes(9000), "a video"),
    ):
        hand_over(opened, "drop", (name, "", content))
        expect(opened.get_by_role("alert")).to_contain_text(message)


def test_picture_that_ends_early_is_answered_with_a_notice(opened: Page) -> None:
    for data, notice in (
        (encoded(picture(400, 300), "PNG")[:-12], "no end mark"),
        (encoded(picture(400, 300), "JPEG", quality=95)[:-2], "no end mark"),
        (encoded(picture(400, 300), "JPEG", quality=95)[:-6000], "rows are missing"),
    ):
        hand_over(opened, "drop", ("cut", "image/png", data))
        expect(opened.locator("#notices")).to_contain_text(notice)
        expect(opened.locator("#state")).to_contain_text("Most likely")
