"""The facts of the catalog, held against timm's own."""

import json
from typing import get_args

import pytest
import timm

from export.core.records import CropMode, Interpolation
from export.models.catalog import MODELS, TIMM_EQUIVALENTS, CatalogEntry, find_model

NAMES = [
    "vit_t",
    "vit_s",
    "vit_s_32",
    "vit_b",
    "vit_b_384",
    "deit_t",
    "deit_s",
    "deit_b",
    "deit_b_384",
    "swin_t",
    "swin_s",
    "swin_b",
    "swin_b_384",
    "dino_s",
    "resnet18",
    "resnet50",
    "fashion",
    "photos",
]


def test_the_catalog_holds_what_was_promised() -> None:
    assert list(MODELS) == NAMES
    assert all(find_model(name).name == name for name in NAMES)


@pytest.mark.parametrize("entry", MODELS.values(), ids=MODELS)
def test_every_entry_is_a_pinned_model_of_timm(entry: CatalogEntry) -> None:
    config = timm.get_pretrained_cfg(entry.timm_name)
    assert timm.is_model(entry.timm_name)
    json.dumps(dict(entry.arguments))
    if entry.embedded:
        return
    assert entry.timm_name == f"{config.architecture}.{config.tag}"
    assert entry.timm_name in timm.list_pretrained()
    assert config.hf_hub_id == f"timm/{entry.timm_name}"
    assert entry.licence.lower() == config.license
    assert config.crop_mode in get_args(CropMode) and config.interpolation in get_args(Interpolation)
    assert (dict(entry.arguments) == {"num_classes": 0}) == (config.num_classes == 0)
    assert ("384" in entry.name) == (config.input_size == (3, 384, 384))


@pytest.mark.parametrize("name", TIMM_EQUIVALENTS)
def test_every_twin_has_weights_of_the_size_its_name_says(name: str) -> None:
    config = timm.get_pretrained_cfg(TIMM_EQUIVALENTS[name])
    assert TIMM_EQUIVALENTS[name] in timm.list_pretrained()
    assert name.endswith(f"-{config.input_size[1]}")
    assert all(part in TIMM_EQUIVALENTS[name] for part in name.partition("/")[2].split("-"))
