"""Every family goes through the whole chain, and what arrives computes what torch computes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from families import FAMILIES, Chain, carry
from torch import nn

from export.conversion.converter_process import ConverterProcess
from export.conversion.tfjs.export import run_tfjs
from export.core.figures.fidelity import accept, sqnr_db
from export.pipeline.formats import FORMATS

pytestmark = pytest.mark.conversion
GetChain = Callable[[str], Chain]
BOUNDS_DB = {**FORMATS["onnx"].bounds_db, **FORMATS["tf"].bounds_db, **FORMATS["tfjs"].bounds_db}


@pytest.mark.parametrize("family", FAMILIES)
def test_every_edge_is_verified_within_its_bound(family: str, chain: GetChain) -> None:
    found = chain(family).comparisons
    assert {edge: one.parent for edge, one in found.items()} == {
        "onnx": "torch",
        "tf": "onnx",
        "f32": "tf",
        "f16": "tf",
        "u8": "tf",
    }
    for edge, one in found.items():
        assert one.n == len(chain(family).inputs)
        assert one.edge == edge
        accept(one, BOUNDS_DB[edge])
        assert one.max_abs_diff < 1e-4 or edge in ("f16", "u8")
    assert found["u8"].sqnr_db < found["f16"].sqnr_db < found["f32"].sqnr_db, "fewer bits, more noise"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_child_agrees_with_torch_itself(
    family: str, chain: GetChain, tools: ConverterProcess, tmp_path: Path
) -> None:
    """One edge after the other may hide a drift; and images in reverse order must give outputs in reverse order."""
    made = chain(family)
    outputs = run_tfjs(made.folder / "u8", made.inputs[::-1], tmp_path, tools.log)
    ratio = sqnr_db(made.outputs[::-1], outputs)
    assert ratio is not None and 15 < ratio < 60, "float weights would be closer, a broken graph further"


@pytest.mark.parametrize("family", FAMILIES)
def test_the_weights_chosen_are_those_of_the_linear_and_convolution_layers(family: str, chain: GetChain) -> None:
    made = chain(family)
    layers = [layer for layer in made.module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert len(made.stored["u8"].names) == len(layers)
    assert made.stored["u8"].bytes == sum(layer.weight.numel() for layer in layers)


def test_onnx_is_a_fixed_batch_of_one_with_plain_names(chain: GetChain) -> None:
    graph = onnx.load(str(chain("vit").folder / "onnx" / "model.onnx")).graph
    ends = [
        (end.name, [size.dim_value for size in end.type.tensor_type.shape.dim]) for end in (*graph.input, *graph.output)
    ]
    assert ends == [("pixels", [1, 3, 28, 28]), ("logits", [1, 10])]


def test_attention_is_fused_again_after_the_export(chain: GetChain) -> None:
    flags = [layer.fused_attn for layer in chain("vit").module.modules() if hasattr(layer, "fused_attn")]
    assert flags and all(flags)


def test_only_what_serves_is_kept(chain: GetChain) -> None:
    made = chain("vit").folder
    kept = {path.relative_to(made).as_posix() for path in (made / "tf").rglob("*") if path.is_file()}
    root = "tf/saved_model"
    assert kept == {
        f"{root}/saved_model.pb",
        f"{root}/variables/variables.index",
        f"{root}/variables/variables.data-00000-of-00001",
    }
    assert [path.name for path in sorted((made / "u8").iterdir())] == ["group1-shard1of1.bin", "model.json"]


@pytest.mark.parametrize("kind", ["onnx", "f32", "f16", "u8"])
def test_the_same_model_gives_the_same_bytes_whatever_came_before(kind: str, chain: GetChain, again: Chain) -> None:
    first, second = chain("deit").folder / kind, again.folder / kind
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir())
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@pytest.fixture(scope="module")
def again(chain: GetChain, tools: ConverterProcess, tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The same model once more, in a process that has converted others since."""
    chain("deit")
    chain("resnet")
    return carry("deit", tools, tmp_path_factory.mktemp("again"))


def test_outputs_of_different_images_differ(chain: GetChain) -> None:
    """Else agreement would prove nothing."""
    for family in FAMILIES:
        outputs = chain(family).outputs
        assert np.abs(outputs[0] - outputs[1]).max() > 0.05
