"""The plot of size, accuracy and latency: marks lie within it, and only what nothing beats is marked as such."""

import json
import re
from pathlib import Path

import pytest
from rendering import Tags, make_site

from export.page.scatter import BOTTOM, LEFT, RIGHT, TOP
from export.pipeline.store import Store


def with_second_variant(measurements: Path, store: Store, latency_ms: float, top1: float) -> Path:
    """Add figures of the float variant to a file of measurements."""
    values = json.loads(measurements.read_text())
    other = store.read("plain", "f32", "tfjs")
    assert other
    for figure in [one for one in values["measurements"] if one["variant"] == "u8-tfjs"]:
        if figure["metric"] in ("latency_ms", "top1") and figure["model"] == "plain":
            value = latency_ms if figure["metric"] == "latency_ms" else top1
            changed = {"value": value, "variant": "f32-tfjs", "artifact_sha256": other.sha256, "p10": None, "p90": None}
            values["measurements"].append(figure | changed)
    measurements.write_text(json.dumps(values))
    return measurements


@pytest.mark.parametrize(
    ("latency_ms", "top1", "front"),
    [(5.0, 0.95, {"u8-tfjs", "f32-tfjs"}), (50.0, 0.90, {"u8-tfjs"}), (12.34, 0.93, {"u8-tfjs", "f32-tfjs"})],
)
def test_variants_that_nothing_beats_are_marked(
    store: Store, bundle: Path, out: Path, measurements: Path, latency_ms: float, top1: float, front: set[str]
) -> None:
    make_site(store, bundle, out, with_second_variant(measurements, store, latency_ms, top1))
    for page in ("index.html", "results.html"):
        html = (out / page).read_text()
        circles = [attributes for tag, attributes in Tags(html).found if tag == "circle"]
        assert {one["data-variant"] for one in circles} == {"u8-tfjs", "f32-tfjs"}
        assert {one["data-variant"] for one in circles if one["class"] == "front"} == front
        for circle in circles:
            assert LEFT <= float(circle["cx"] or "nan") <= RIGHT and TOP <= float(circle["cy"] or "nan") <= BOTTOM
        listed = re.sub(r"\s+", " ", html[html.index('class="scatter"') :].replace("\u00a0", " "))
        assert f"{100 * top1:.1f} %" in listed and "91.7 %" in listed and "12.3 ms" in listed
        assert listed.count("not beaten</strong>") == len(front)


def test_one_variant_alone_makes_no_plot(store: Store, bundle: Path, out: Path, measurements: Path) -> None:
    make_site(store, bundle, out, measurements)
    assert not [tag for tag, _ in Tags((out / "results.html").read_text()).found if tag == "circle"]
