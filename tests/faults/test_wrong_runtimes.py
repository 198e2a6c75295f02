"""Runtimes that compute something else, planted below the page: the self-test refuses each by name."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from faulting import Tally
from playwright.sync_api import Browser

from export.core.errors import MeasurementError, WrongAnswersError
from export.measuring.browser.page_client import page_client, read_site_data
from export.measuring.browser.server import TYPES, PagesHandler, serving

pytestmark = pytest.mark.browser
# What is made of the right outputs; `first` are those of the first run, and `range` is how far outputs lie apart.
PLANTS = {
    "NaN": "outputs.fill(NaN)",
    "one NaN": "(outputs[3] = NaN, outputs)",
    "infinite": "outputs.map((value) => value / 0)",
    "zeros": "outputs.fill(0)",
    "equal": "outputs.fill(1)",
    "reversed": "outputs.reverse()",
    "shifted by one": "Float32Array.from(outputs, (_, index) => outputs[(index + 1) % outputs.length])",
    "always the first": "first.slice()",
    "negated": "outputs.map((value) => -value)",
    "a quarter larger": "outputs.map((value) => 1.25 * value)",
    "of another layer": "outputs.map((value) => Math.tanh(value))",
    "one output off by a tenth of the range": "(outputs[7] += 0.1 * range, outputs)",
    "noise of a twentieth of the range": "outputs.map((value, index) => value + (index % 2 ? 1 : -1) * 0.05 * range)",
    "rounded to eighths of the range": "outputs.map((value) => Math.round((8 * value) / range) * (range / 8))",
}
HARMLESS = "outputs.map((value, index) => value + (index % 2 ? 1 : -1) * 0.001 * range)"
FEW = ("NaN", "zeros", "reversed", "one output off by a tenth of the range")
# An engine like the real one, but for the outputs of its sessions.
WRAPPER = """
import { engine as real } from './%(name)s?real';
let first;
const spoil = (outputs) => {
  const range = Math.max(...outputs) - Math.min(...outputs);
  first ??= outputs.slice();
  return %(plant)s;
};
const wrap = (session) => new Proxy(session, {
  get: (target, name) =>
    name === 'run' ? async (values) => spoil(await target.run(values))
    : typeof target[name] === 'function' ? target[name].bind(target) : target[name],
});
export const engine = { ...real, load: async (...given) => wrap(await real.load(...given)) };
"""


class PlantingHandler(PagesHandler):
    """Serves a wrapper in place of the script of an engine, and the script itself to the wrapper."""

    plant: ClassVar[str] = ""

    def answer_file(self, path: Path) -> None:
        engine, _, rest = path.name.partition(".")
        if engine not in ("vit", "tfjs") or not rest.endswith(".js") or self.path.endswith("?real"):
            return super().answer_file(path)
        script = WRAPPER % {"name": path.name, "plant": self.plant}
        self.send(200, script.encode(), {"Content-Type": TYPES[".js"]})


@pytest.fixture(scope="module")
def two_engines(build_page: Callable[..., Path]) -> Path:
    """The page with a variant for our engine and one for TensorFlow.js."""
    return build_page("w8_dynamic,u8")


@pytest.fixture
def handler() -> Iterator[type[PlantingHandler]]:
    yield type("Handler", (PlantingHandler,), {"plant": ""})


def load(chromium: Browser, site: Path, handler: type[PlantingHandler], plant: str, variant: int) -> None:
    handler.plant = plant
    data = read_site_data(site)
    model = data["models"][0]
    with serving(site, handler=handler) as url, page_client(chromium, url, data) as client:
        client.load(model, model["variants"][variant], "wasm", 1)


@pytest.mark.faults("runtimes")
def test_wrong_outputs_are_refused(
    chromium: Browser, two_engines: Path, handler: type[PlantingHandler], full: bool, tally: Tally
) -> None:
    variants = read_site_data(two_engines)["models"][0]["variants"]
    for name, plant in PLANTS.items():
        if not full and name not in FEW:
            continue
        for index, variant in enumerate(variants if full else variants[:1]):
            what = f"{variant['id']}: {name}"
            try:
                load(chromium, two_engines, handler, plant, index)
            except WrongAnswersError as error:
                tally.count("answered" if "“wasm”" in str(error) and error.hint else "unclear", f"{what}: {error}")
            except MeasurementError as error:
                tally.count("unclear", f"{what}: {error}")
            else:
                tally.count("wrong", what)


def test_the_plant_itself_does_no_harm(chromium: Browser, two_engines: Path, handler: type[PlantingHandler]) -> None:
    for index in range(2):
        load(chromium, two_engines, handler, HARMLESS, index)
