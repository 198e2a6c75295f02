"""A folder that transformers saved, built by the command and opened in a browser, answers as the library does."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Page, expect

from export.build import main
from export.measuring.browser.server import serving
from tests.library_models import LABELS, VIT, make, save, transformers

pytestmark = pytest.mark.browser

PROCESSOR = {
    "image_processor_type": "ViTImageProcessor",
    "size": {"shortest_edge": 35},
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "resample": 3,
    "image_mean": [0.5, 0.4, 0.6],
    "image_std": [0.5, 0.6, 0.4],
}
SHARE = re.compile(r"(\d+\.\d)\s*%")
POINTS = 2.5  # of 100, between float weights in the library and 8 bits in the browser


def picture(folder: Path) -> Path:
    rng = np.random.default_rng(5)
    small = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
    small.resize((97, 61), Image.Resampling.BICUBIC).save(folder / "picture.png")
    return folder / "picture.png"


def test_a_folder_of_several_labels_answers_as_the_library_does(page: Page, tmp_path: Path) -> None:
    model = make("ViTForImageClassification", **VIT, problem_type="multi_label_classification")
    folder = save(model, tmp_path / "tags", PROCESSOR)
    (folder / "README.md").write_text("---\nlicense: cc0-1.0\n---\n")
    site, artifacts = tmp_path / "site", tmp_path / "artifacts"
    words = f"--checkpoint {folder} --recipe w8_dynamic --engine vit --out {site} --artifacts {artifacts}"
    main([*words.split(), "--measurements", str(tmp_path / "none.json"), "--benchmark", str(tmp_path / "none.json")])

    path = picture(tmp_path)
    processor = transformers.ViTImageProcessorPil.from_pretrained(folder)
    with torch.inference_mode():
        pixels = torch.from_numpy(np.asarray(processor(Image.open(path))["pixel_values"]))
        wanted = 100 * torch.sigmoid(model(pixels).logits[0])

    with serving(site) as url:
        page.goto(url)
        page.locator("#file").set_input_files(path)
        expect(page.locator("#ranking .share")).to_have_count(len(LABELS))
        expect(page.locator("#state")).to_contain_text("Most likely")
        rows = page.locator("#ranking li").all_inner_texts()
        found = {
            name: float(match[1]) for row in rows for name in LABELS if name in row and (match := SHARE.search(row))
        }
        page.goto(f"{url}/method.html")
        expect(page.locator("main")).to_contain_text("cc0-1.0")
    assert found.keys() == set(LABELS)
    assert max(abs(found[name] - float(value)) for name, value in zip(LABELS, wanted, strict=True)) <= POINTS
    assert sum(found.values()) > 110 or sum(found.values()) < 90  # no softmax
    spec = json.loads((artifacts / "tags/f32/torch/spec.json").read_text())
    assert (spec["probabilities"], spec["preprocess"]["crop_rounding"]) == ("sigmoid", "down")
