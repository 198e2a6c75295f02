"""From `config.json` to the twin in timm: which architecture, with which arguments and head."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from export.core.console import several
from export.core.errors import RequestError
from export.models.folder.config import UNNAMED, Config
from export.models.transformers.families import FAMILIES, Family, Head
from export.models.transformers.fields import COMMON, REFUSED
from export.models.transformers.other_types import unsupported_type

CLASS_AND_MEAN = "vit_class_and_mean"
PROBLEMS = ("single_label_classification", "multi_label_classification")


@dataclass(frozen=True, slots=True)
class Twin:
    """timm's `timm_name` and `arguments` (but the number of classes) for a configuration of the `family`.

    `head` is the kind that the class in the configuration has; None where it names no class. `labels` are the names of
    the classes, by output; empty where nobody named them. `classes` is how many the configuration has.
    """

    family: Family
    timm_name: str
    arguments: dict[str, Any]
    head: Head | None
    labels: dict[str, str]
    classes: int

    def with_head(self, head: Head) -> "Twin":
        """Return the twin whose outputs are those of a head."""
        name, arguments = self.timm_name, dict(self.arguments)
        if head == "distilled":
            name = name.replace("_patch16_224", "_distilled_patch16_224")
            del arguments["reg_tokens"]
        if head == "class_and_mean":
            gated = "giant" in name
            name, arguments = CLASS_AND_MEAN, arguments | ({"gated": True} if gated else {})
        return Twin(self.family, name, arguments, head, self.labels, self.classes)


def find_twin(config: Config) -> Twin:
    """Return timm's twin of a model; raises `RequestError` naming the field that says otherwise."""
    family = FAMILIES.get(str(config.get("model_type")))
    if family is None:
        raise unsupported_type(config)
    for name, supported in REFUSED.items():
        config.only(name, supported)
    if config.get("quantization_config"):
        raise RequestError(
            f"{config.path}: quantization_config says that the weights are already quantized",
            hint="pass the folder of the float model that they were made from",
        )
    _check_problem(config)
    labels, classes = read_labels(config)
    return Twin(family, family.timm_name(config), family.arguments(config), _head(config, family), labels, classes)


def tell_unknown(config: Config, family: Family, tell: Callable[[str], None]) -> None:
    """Tell of the fields of a configuration that are not known."""
    unknown = [name for name in config.values if name not in COMMON | family.known | REFUSED.keys()]
    if unknown:
        tell(f"note: fields of {config.path.name} that are not known here and not used: {several(unknown, 8)}")


def _head(config: Config, family: Family) -> Head | None:
    named = config.get("architectures")
    if not named:
        return None
    if not isinstance(named, list):
        raise config.fault("architectures", f"a list of one of {', '.join(family.heads)}")
    found = next((family.heads[name] for name in named if name in family.heads), None)
    if found is None:
        custom = "; its code is its own (auto_map), and is not run" if config.get("auto_map") else ""
        raise RequestError(
            f"{config.path}: architectures is {', '.join(map(str, named))}, which is not supported{custom}",
            hint=f"save the model as one of {', '.join(family.heads)}",
        )
    return found


def _check_problem(config: Config) -> None:
    problem = config.get("problem_type")
    if problem is not None and problem not in PROBLEMS:
        raise config.fault("problem_type", ", ".join(PROBLEMS), hint="a page shows probabilities of classes")


def read_labels(config: Config) -> tuple[dict[str, str], int]:
    """Return the names of classes by output, empty where they are none, and how many classes there are."""
    named = config.get("id2label")
    if named is None:
        return {}, config.whole("num_labels", 2)
    if isinstance(named, list):
        named = {str(index): label for index, label in enumerate(named)}
    if not isinstance(named, dict) or not named or not all(isinstance(one, str | int) for one in named.values()):
        raise config.fault("id2label", "an object with a name for every output")
    named = {str(key): str(value) for key, value in named.items()}
    missing = [str(index) for index in range(len(named)) if str(index) not in named]
    if missing:
        raise RequestError(
            f"{config.path}: id2label names {len(named)} classes, but none of output {several(missing)}",
            hint=f"number them 0 to {len(named) - 1}; or pass --labels FILE",
        )
    if all(UNNAMED.fullmatch(value) for value in named.values()):
        return {}, len(named)
    return named, len(named)
