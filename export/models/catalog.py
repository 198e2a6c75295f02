"""Facts as data: the models offered by name, each pinned to the timm tag of the published tables."""

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from export.core.errors import RequestError

APACHE, MIT = "Apache-2.0", "MIT"
AUGREG = "https://github.com/google-research/vision_transformer"
DEIT = "https://github.com/facebookresearch/deit"
SWIN = "https://github.com/microsoft/Swin-Transformer"
DINO = "https://github.com/facebookresearch/dino"
HUB = "https://huggingface.co"


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A model: its timm architecture and tag (`timm_name`), licence and source.

    `arguments` are those of `timm.create_model` besides the name; `embedded` models have their weights in this
    repository. An empty `licence` or `source` is filled in from timm's pretrained configuration on loading.
    """

    name: str
    title: str
    timm_name: str
    licence: str
    source: str
    arguments: MappingProxyType[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    embedded: bool = False


def _entry(
    name: str, title: str, timm_name: str, licence: str, source: str, **arguments: Any
) -> tuple[str, CatalogEntry]:
    return name, CatalogEntry(name, title, timm_name, licence, source, MappingProxyType(arguments))


MODELS: dict[str, CatalogEntry] = dict(
    [
        _entry("vit_t", "ViT-T/16", "vit_tiny_patch16_224.augreg_in21k_ft_in1k", APACHE, AUGREG),
        _entry("vit_s", "ViT-S/16", "vit_small_patch16_224.augreg_in21k_ft_in1k", APACHE, AUGREG),
        _entry("vit_s_32", "ViT-S/32", "vit_small_patch32_224.augreg_in21k_ft_in1k", APACHE, AUGREG),
        _entry("vit_b", "ViT-B/16", "vit_base_patch16_224.augreg_in21k_ft_in1k", APACHE, AUGREG),
        _entry("vit_b_384", "ViT-B/16-384", "vit_base_patch16_384.augreg_in21k_ft_in1k", APACHE, AUGREG),
        _entry("deit_t", "DeiT-T/16", "deit_tiny_patch16_224.fb_in1k", APACHE, DEIT),
        _entry("deit_s", "DeiT-S/16", "deit_small_patch16_224.fb_in1k", APACHE, DEIT),
        _entry("deit_b", "DeiT-B/16", "deit_base_patch16_224.fb_in1k", APACHE, DEIT),
        _entry("deit_b_384", "DeiT-B/16-384", "deit_base_patch16_384.fb_in1k", APACHE, DEIT),
        _entry("swin_t", "Swin-T", "swin_tiny_patch4_window7_224.ms_in1k", MIT, SWIN),
        _entry("swin_s", "Swin-S", "swin_small_patch4_window7_224.ms_in1k", MIT, SWIN),
        _entry("swin_b", "Swin-B", "swin_base_patch4_window7_224.ms_in22k_ft_in1k", MIT, SWIN),
        _entry("swin_b_384", "Swin-B-384", "swin_base_patch4_window12_384.ms_in22k_ft_in1k", MIT, SWIN),
        _entry("dino_s", "DINO ViT-S/16", "vit_small_patch16_224.dino", APACHE, DINO, num_classes=0),
        _entry("resnet18", "ResNet-18", "resnet18.tv_in1k", "BSD-3-Clause", "https://github.com/pytorch/vision"),
        _entry("resnet50", "ResNet-50", "resnet50.tv_in1k", "BSD-3-Clause", "https://github.com/pytorch/vision"),
    ]
)
MODELS["fashion"] = CatalogEntry(
    "fashion",
    "Fashion ViT",
    "vit_tiny_patch16_224",
    MIT,
    "https://github.com/zalandoresearch/fashion-mnist",
    MappingProxyType(
        {"img_size": 28, "patch_size": 4, "embed_dim": 192, "depth": 6, "num_heads": 3, "num_classes": 10}
    ),
    embedded=True,
)
MODELS["photos"] = CatalogEntry(
    "photos",
    "Photos ViT-S/8",
    "vit_small_patch14_dinov2",
    APACHE,
    "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    MappingProxyType({"img_size": 64, "patch_size": 8, "depth": 8, "num_classes": 200}),
    embedded=True,
)

DEFAULT_MODEL = "photos"

# Hugging Face names of checkpoints that timm has under a name of its own.
TIMM_EQUIVALENTS = {
    "google/vit-base-patch16-224": "vit_base_patch16_224.orig_in21k_ft_in1k",
    "facebook/deit-tiny-patch16-224": "deit_tiny_patch16_224.fb_in1k",
    "facebook/deit-small-patch16-224": "deit_small_patch16_224.fb_in1k",
    "facebook/deit-base-patch16-224": "deit_base_patch16_224.fb_in1k",
    "facebook/deit-base-patch16-384": "deit_base_patch16_384.fb_in1k",
    "microsoft/swin-tiny-patch4-window7-224": "swin_tiny_patch4_window7_224.ms_in1k",
    "microsoft/swin-small-patch4-window7-224": "swin_small_patch4_window7_224.ms_in1k",
}

MODELS_HINT = (
    f"catalog names: {', '.join(MODELS)}; any timm model: timm/NAME, listed by "
    "`python -c 'import timm; print(*timm.list_pretrained())'`; Hugging Face names with a timm equivalent: "
    f"{', '.join(TIMM_EQUIVALENTS)}; a folder that transformers or timm saved, by its path; a repository of such files "
    "on the hub: hf_hub:USER/REPO"
)


def find_model(requested: str) -> CatalogEntry:
    """Return the entry of a catalog name, of `timm/NAME[.TAG]`, or of a Hugging Face name with a timm equivalent.

    Its `name` is usable as a folder's. Whether timm has a NAME is checked on loading (timm is not imported here);
    raises `RequestError` for every other form, with the nearest names.
    """
    if requested in MODELS:
        return MODELS[requested]
    name = re.sub(r"^hf[-_]hub:", "", requested)
    if name in TIMM_EQUIVALENTS:
        return CatalogEntry(name.replace("/", "-"), name, TIMM_EQUIVALENTS[name], "", f"{HUB}/{name}")
    owner, _, architecture = name.partition("/")
    if owner == "timm" and re.fullmatch(r"[a-z0-9_]+(\.[a-zA-Z0-9_]+)?", architecture):
        return CatalogEntry(name.replace("/", "-"), architecture, architecture, "", "")
    if name and (name != requested or Path(requested).is_dir()):
        raise RequestError(
            f"--model {requested}: this command takes models of the catalog and of timm alone, no folder or repository",
            hint=MODELS_HINT,
        )
    of_timm = _names_of_timm(requested)
    raise RequestError(
        f"--model {requested!r}: there is no such model" + _nearest(requested, of_timm),
        hint=f"pass --model {of_timm[0]}, as timm has it" if of_timm else _other_sources(name),
    )


def _other_sources(name: str) -> str:
    """Return what can be passed instead of an unknown name, which may be a repository's."""
    repository = re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None
    return (f"for the repository of that name on the hub: --model hf_hub:{name}; " if repository else "") + MODELS_HINT


def _names_of_timm(requested: str) -> list[str]:
    """Return timm's models of a name without its `timm/`, however its words are separated."""
    import timm  # heavy, and needed for this message alone

    name, _, tag = requested.rpartition("/")[2].partition(".")
    name = re.sub(r"\W", "_", name.lower())
    if not name or not timm.is_model(name):
        return []
    tagged = f"{name}.{tag}"
    return [f"timm/{tagged}" if tag and tagged in timm.list_pretrained() else f"timm/{name}"]


def _nearest(requested: str, of_timm: list[str]) -> str:
    close = difflib.get_close_matches(requested.lower(), [*MODELS, *TIMM_EQUIVALENTS], n=3, cutoff=0.5)
    names = [*of_timm, *close]
    return f"; the nearest names are {', '.join(names)}" if names else ""
