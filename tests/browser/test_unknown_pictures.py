"""A model with a confidence says when a picture is probably of none of its classes, and names the nearest."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from export.core.records import Confidence, Estimate
from export.data.preprocess import preprocess, read_image
from export.measuring.browser.server import serving
from export.models.choice.request import ModelRequest
from export.models.confidence import SCHEMA_VERSION, ConfidenceFile
from export.models.load import load
from export.models.weights.float_artifact import run_model
from export.page.site import BuildRequest, build_site
from export.quantization.evaluation.confidence import energies
from export.quantization.recipes import find_recipes

pytestmark = pytest.mark.browser

SAMPLES = Path(__file__).parents[2] / "site/samples/fashion"
SHARE = Estimate(value=0.05, n=100, low=0.02, high=0.11)
NONE = "Probably none of the 10 classes this model knows. The nearest:"


def confidence_between(pictures: list[Path], file: Path) -> list[Path]:
    """Write a confidence whose threshold lies between the two pictures' scores; return them, the unknown one first."""
    spec, module = load(ModelRequest(model="fashion"))
    inputs = np.stack([preprocess(read_image(path), spec.preprocess) for path in pictures])
    scores = energies(run_model(module, inputs).astype(np.float64), 8.0)
    confidence = Confidence(
        temperature=4.0, energy_temperature=8.0, threshold=float(scores.mean()), false_alarms=SHARE, data="two pictures"
    )
    written = ConfidenceFile(
        schema_version=SCHEMA_VERSION,
        model=spec.name,
        weights_sha256=spec.weights_sha256,
        preprocess=spec.preprocess,
        confidence=confidence,
        fitted_on=2,
        top1=SHARE,
        uncalibrated_ece=SHARE,
        ece=SHARE,
        unknown=(),
        quantized=(),
        command="",
        machine="",
        threads=1,
        tools={},
    )
    file.write_text(json.dumps(written.to_json()))
    return [pictures[index] for index in np.argsort(scores)]


def test_a_picture_below_the_threshold_is_called_unknown_and_another_is_not(tmp_path: Path, page: Page) -> None:
    file = tmp_path / "confidence.json"
    unknown, known = confidence_between([SAMPLES / "bag-30.png", sorted(SAMPLES.glob("*shirt*.png"))[0]], file)
    build_site(
        BuildRequest(
            models=(ModelRequest(model="fashion", confidence=file),),
            recipes=find_recipes("w8_dynamic"),
            engines=("vit",),
            artifacts=tmp_path / "artifacts",
            measurements=tmp_path / "none.json",
            out=tmp_path / "_site",
        )
    )
    with serving(tmp_path / "_site") as url:
        page.goto(f"{url}#variant=w8_dynamic-vit&backend=wasm")
        state = page.locator("#state")
        expect(state).to_contain_text("Ready")
        for path, says in ((unknown, f"{NONE} "), (known, "Most likely: "), (unknown, f"{NONE} ")):
            page.locator("#file").set_input_files(path)
            expect(state).to_contain_text(re.compile(rf"{re.escape(says)}.+, \d+\.\d\s%"))
            labels = page.get_by_role("list", name="most likely").get_by_role("listitem").locator(".label")
            assert len(set(labels.all_inner_texts())) == 5
        page.goto(f"{url}method.html")
        expect(page.get_by_text("softmax at temperature 4")).to_contain_text("5.0\u00a0%")
