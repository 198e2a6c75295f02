"""Temperature and threshold are those of known cases, and a file of confidence belongs to one model only."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.core.errors import ArtifactError, RequestError
from export.core.records import Confidence, Estimate
from export.data.embedded import embedded_model
from export.evaluate import main
from export.models.choice.request import ModelRequest, PreprocessOptions, describe
from export.models.confidence import ConfidenceFile
from export.models.load import load
from export.quantization.evaluation.confidence import (
    FALSE_ALARMS,
    Labels,
    Logits,
    calibration_error,
    energies,
    fit_confidence,
    fit_temperature,
    largest_probabilities,
)


def drawn(n: int, scale: float) -> tuple[Logits, Labels]:
    """Logits of five classes, with labels drawn from their softmax, and then multiplied by `scale`."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (n, 5))
    labels = np.argmax(logits + random.gumbel(size=(n, 5)), 1)
    return logits * scale, labels


def test_two_classes_right_nine_times_in_ten_have_the_temperature_of_their_log_odds() -> None:
    logits = np.tile([1.0, 0.0], (1000, 1))
    labels = (np.arange(1000) % 10 == 0).astype(np.int64)
    assert fit_temperature(logits, labels, "made") == pytest.approx(1 / np.log(9), rel=1e-6)


@pytest.mark.parametrize("scale", [0.25, 1.0, 4.0])
def test_the_temperature_undoes_a_scale_and_the_largest_probability_is_right_as_often_as_it_says(scale: float) -> None:
    logits, labels = drawn(20_000, scale)
    temperature = fit_temperature(logits, labels, "made")
    assert temperature == pytest.approx(scale, rel=0.05)
    right = logits.argmax(1) == labels
    assert calibration_error(largest_probabilities(logits, temperature), right).value < 0.02
    if scale != 1:
        assert calibration_error(largest_probabilities(logits, 1.0), right).value > 0.1


def test_the_calibration_error_of_a_closed_case() -> None:
    probabilities = np.concatenate([np.full(100, 0.9), np.full(100, 0.5)])
    right = np.concatenate([np.arange(100) < 70, np.arange(100) < 50])
    error = calibration_error(probabilities, right)
    assert error.value == pytest.approx(0.1) and error.n == 200
    assert 0 <= error.low <= error.value <= error.high <= 1


def test_the_energy_of_equal_logits_is_theirs_plus_the_logarithm_of_their_number() -> None:
    for logit in (0.0, -3.0, 1000.0):
        assert energies(np.full((1, 4), logit), 2.0)[0] == pytest.approx(logit + 2 * np.log(4))


def test_the_threshold_causes_the_allowed_false_alarms_on_images_that_it_was_not_fitted_on() -> None:
    fit = fit_confidence(*drawn(8000, 3.0), "made")
    alarms = fit.confidence.false_alarms
    assert alarms.n == 4000 == fit.fitted_on == int(fit.held_out.sum())
    assert alarms.low < FALSE_ALARMS < alarms.high
    assert fit.ece.value < fit.uncalibrated_ece.value
    faint = energies(np.full((1, 5), -20.0), fit.confidence.energy_temperature)
    assert faint[0] < fit.confidence.threshold


@pytest.mark.parametrize(("n", "words"), [(59, "59 images are too few"), (100, "all classified as labelled")])
def test_images_that_decide_no_temperature_are_refused(n: int, words: str) -> None:
    labels = np.arange(n) % 5
    with pytest.raises(RequestError, match=words):
        fit_confidence(np.eye(5)[labels], labels, "made")


def test_a_model_that_is_worse_than_chance_is_refused() -> None:
    labels = np.arange(100) % 5
    with pytest.raises(RequestError, match="no better than chance"):
        fit_temperature(-np.eye(5)[labels], labels, "made")


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", 0), ("energy_temperature", -1), ("threshold", None), ("false_alarms", 0.05)]
)
def test_values_out_of_range_are_refused(name: str, value: object) -> None:
    share = Estimate(value=0.05, n=100, low=0.02, high=0.1)
    confidence = Confidence(temperature=1, energy_temperature=2, threshold=-0.5, false_alarms=share, data="made")
    values = json.loads(json.dumps(confidence.to_json()))
    assert Confidence.from_json(values) == confidence
    with pytest.raises(ArtifactError, match=name):
        Confidence.from_json({**values, name: value})


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the command writes for the small embedded model."""
    folder = tmp_path_factory.mktemp("confidence")
    (folder / "noise").mkdir()
    (folder / "plain").mkdir()
    random = np.random.default_rng(0)
    for index in range(20):
        pixels = random.integers(0, 256, (28, 28, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"noise/{index}.png")
        Image.fromarray(np.full_like(pixels, index * 12)).save(folder / f"plain/{index}.png")
    words = ["--confidence", "--model", "fashion", "--limit", "400", "--unknown", f"{folder}/noise,{folder}/plain"]
    main([*words, "--artifacts", ".cache/tests/artifacts", "--out", str(folder)])
    return folder / "confidence-fashion.json"


@pytest.mark.slow
def test_the_command_writes_figures_with_their_number_and_interval(fitted: Path) -> None:
    file = ConfidenceFile.read(fitted)
    assert (file.model, file.fitted_on, file.top1.n, file.confidence.false_alarms.n) == ("fashion", 200, 200, 200)
    assert [(one.data, one.rejected.n) for one in file.unknown] == [("noise", 20), ("plain", 20)]
    assert file.command.startswith("python -m export.evaluate --confidence --model fashion")
    assert file.top1.value > 0.8 and file.confidence.energy_temperature == 2 * file.confidence.temperature


def test_a_model_takes_the_confidence_fitted_on_it_and_is_another_one_with_it(fitted: Path) -> None:
    request = ModelRequest(model="fashion", confidence=fitted)
    spec, _ = load(request)
    assert spec.confidence == ConfidenceFile.read(fitted).confidence
    assert describe(request) != describe(ModelRequest(model="fashion"))


@pytest.mark.parametrize(
    ("request_options", "words"),
    [({"weights": "random"}, "was fitted on other weights"), ({"multi_label": True}, "choose one of several classes")],
)
def test_a_confidence_of_another_model_is_refused(fitted: Path, request_options: dict[str, object], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        load(ModelRequest(model="fashion", confidence=fitted, **request_options))  # type: ignore[arg-type]


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no such file"):
        ModelRequest(model="fashion", confidence=tmp_path / "none.json")


def test_the_embedded_photos_have_a_confidence_of_their_own_weights() -> None:
    own = embedded_model("photos")
    assert own is not None and own.confidence is not None
    spec, _ = load(ModelRequest(model="photos"))
    assert spec.confidence == ConfidenceFile.read(own.confidence).confidence
    assert spec.confidence.false_alarms.value < 0.1
    assert set(describe(ModelRequest(model="photos"))["embedded"]) == {"labels.txt", "confidence.json"}


def test_an_embedded_confidence_is_not_used_with_another_preprocessing() -> None:
    said: list[str] = []
    request = ModelRequest(model="photos", preprocess=PreprocessOptions(crop_pct=0.9))
    assert load(request, said.append)[0].confidence is None
    assert any("was fitted with another preprocessing" in line and "is not used" in line for line in said)


def test_unknown_sets_without_confidence_are_refused() -> None:
    with pytest.raises(RequestError, match="are for --confidence"):
        main(["--unknown", "noise"])
