"""Our engine in wasmtime, as an installed package verifies with it: the bits that Node gives, the same refusals."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_models import all_builds, quantized
from safetensors import safe_open
from safetensors.numpy import save_file

from export.conversion.engine.run import run_vit
from export.conversion.engine.wasm import run_wasm
from export.core.errors import ArtifactError, ConversionError

pytestmark = pytest.mark.conversion

MODELS: dict[str, tuple[str, dict[str, Any], str]] = {
    "plain": ("vit_tiny_patch16_224", {}, "w8_dynamic"),
    "packed": ("vit_tiny_patch16_224", {"global_pool": "avg"}, "w4a8_minmax"),
    "distilled": ("deit_tiny_distilled_patch16_224", {}, "w8a8_gptq"),
    "no_head": ("vit_tiny_patch16_224", {"num_classes": 0}, "w3_dynamic"),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_gives_the_bits_that_node_gives(name: str, tmp_path: Path) -> None:
    made = quantized(*MODELS[name], tmp_path)
    images = made.images.numpy()
    found = run_wasm(made.file, images, all_builds())
    assert np.array_equal(found, run_vit(made.file, images, all_builds(), tmp_path, tmp_path / "log"))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"schema_version": "0"}, ArtifactError, "version 0"),
        ({"sizes": {"dim": 50}}, ConversionError, "a width is not a multiple of 8"),
        ({"sizes": {"depth": 1}}, ConversionError, "the vit engine expects"),
        ({"sizes": {"classes": 11}}, ConversionError, "a tensor does not fit"),
    ],
)
def test_it_refuses_what_the_engine_refuses(
    changes: dict[str, Any], error: type[Exception], words: str, tmp_path: Path
) -> None:
    made = quantized(*MODELS["plain"], tmp_path)
    with safe_open(made.file, "numpy") as opened:
        metadata = opened.metadata()
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    plan = json.loads(metadata["plan"])
    plan["sizes"] |= changes.pop("sizes", {})
    save_file(tensors, tmp_path / "changed.vit", {**metadata, **changes, "plan": json.dumps(plan)})
    with pytest.raises(error, match=words):
        run_wasm(tmp_path / "changed.vit", made.images.numpy(), all_builds())
