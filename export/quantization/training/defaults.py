"""Facts as data: the options each model is trained with unless told otherwise, and where training writes."""

from pathlib import Path
from typing import Any

TRAINED, DATASETS = Path(".cache/train"), Path(".cache/datasets")
RESNET: dict[str, Any] = {
    "optimizer": "adamw",
    "phases": ((2, 0.0),),
    "batch_size": 128,
    "lr": 2e-3,
    "weight_decay": 0.05,
    "warmup_epochs": 0.2,
    "erase_prob": 0.0,
    "smoothing": 0.1,
    "ema_decay": 0.99,
    "seed": 0,
}
FLOAT: dict[str, dict[str, Any]] = {
    "fashion": {
        "optimizer": "nadamuon",
        "phases": ((8, 0.75), (8, 0.5), (2, 0.0)),
        "batch_size": 256,
        "lr": 4e-3,
        "weight_decay": 0.05,
        "warmup_epochs": 0.5,
        "erase_prob": 0.1,
        "smoothing": 0.1,
        "ema_decay": 0.998,
        "seed": 0,
    },
    "resnet18": RESNET,
    "resnet50": RESNET,
}
QAT: dict[str, Any] = {
    "epochs": 2.0,
    "batch_size": 128,
    "lr": 1e-4,
    "weight_decay": 0.01,
    "smoothing": 0.0,
    "distillation": 0.5,
    "seed": 0,
}


def default_text(name: str, on_pictures: object = None) -> str:
    """Return an option's default for a help text, such as `(default: 0.004 for fashion, 0.0001 for --qat)`."""
    values = {model: options[name] for model, options in FLOAT.items() if name in options}
    values |= {"--qat": QAT[name]} if name in QAT else {}
    values |= {} if on_pictures is None else {"pictures": on_pictures}
    owners: dict[Any, list[str]] = {}
    for owner, value in values.items():
        owners.setdefault(value, []).append(owner)
    if len(owners) == 1:
        return f"(default: {next(iter(owners))})"
    return "(default: " + ", ".join(f"{value} for {' and '.join(names)}" for value, names in owners.items()) + ")"
