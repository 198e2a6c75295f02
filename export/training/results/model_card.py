"""A model card to read, in Markdown, of the one in JSON."""

import json
from collections.abc import Iterable

from export.training.results.card import Accuracy, Card, ClassResult, EpochResult

FEW = 10  # classes and confusions that are listed
EPOCHS = 12


def model_card(card: Card) -> str:
    """Return the model card: use, accuracy with its interval, data and licence, command, seed and options."""
    parts = [
        f"# {card.architecture}, trained on {card.data}",
        f"Classifies pictures into {len(card.classes)} classes. Weights are stored as {card.dtype}.",
        "```sh\n"
        f"python -m export.build --model timm/{card.architecture} --checkpoint model.safetensors --labels labels.txt\n"
        "```",
        "## Accuracy",
        _table(("held-out pictures", "top-1", "top-5"), [(_count(card), _percent(card.top1), _percent(card.top5))]),
        "In parentheses: 95 % confidence intervals (Wilson).",
        *_weakest(card),
        *_confused(card),
        "## Training",
        _facts(card),
        f"```sh\n{card.command}\n```",
        _table(
            ("epoch", "loss", "top-1", "top-5", "seconds"),
            [
                (
                    str(row.epoch),
                    f"{row.loss:.3f}",
                    f"{row.top1_percent:.2f} %",
                    f"{row.top5_percent:.2f} %",
                    f"{row.seconds:.0f}",
                )
                for row in _thinned(card)
            ],
        ),
        f"Options: `{json.dumps(card.options, ensure_ascii=False)}`",
        f"Environment: {', '.join(f'{name} {value}' for name, value in card.environment.items())}.",
    ]
    return "\n\n".join(parts) + "\n"


def weakest(card: Card) -> list[ClassResult]:
    """Return the classes with held-out pictures, the least accurate first."""
    return sorted((row for row in card.per_class if row.n), key=lambda row: row.correct / row.n)


def _count(card: Card) -> str:
    return f"{card.top1.n:,} ({card.held_out})"


def _percent(share: Accuracy) -> str:
    return f"{share.percent:.2f} % ({share.low:.2f} – {share.high:.2f} %)"


def _facts(card: Card) -> str:
    preprocess = card.preprocess
    return _table(
        ("", ""),
        [
            ("data", f"{card.data}, {card.training_pictures:,} pictures"),
            ("licence of the data", card.licence),
            ("first weights", card.first_weights),
            ("teacher", card.teacher),
            ("seed", str(card.options.get("seed", "not stated"))),
            ("arguments", f"`{json.dumps(card.arguments)}`"),
            (
                "input",
                f"{preprocess['size']}×{preprocess['size']}, crop_pct {preprocess['crop_pct']}, "
                f"{preprocess['interpolation']}, mean {preprocess['mean']}, std {preprocess['std']}",
            ),
        ],
    )


def _weakest(card: Card) -> list[str]:
    rows = [(_cell(row.label), f"{100 * row.correct / row.n:.0f} %", str(row.n)) for row in weakest(card)[:FEW]]
    return ["The least accurate classes:", _table(("class", "top-1", "n"), rows)] if rows else []


def _confused(card: Card) -> list[str]:
    rows = [(_cell(row.label), _cell(row.predicted), str(row.count)) for row in card.confusions[:FEW]]
    return ["The most frequent confusions:", _table(("class", "taken for", "n"), rows)] if rows else []


def _thinned(card: Card) -> list[EpochResult]:
    step = max(1, -(-len(card.curve) // EPOCHS))
    return [row for at, row in enumerate(card.curve) if at % step == 0 or at == len(card.curve) - 1]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
