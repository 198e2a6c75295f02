"""What a person says of a page and its models: texts, licences, sample pictures; every part may be left out."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from export.core.records import ModelSpec
from export.core.schema import PositiveInt, Record


class PageTexts(Record, frozen=True, kw_only=True):
    """Texts of the page: its `title`, the `lead` below it, and what it is `about`, in paragraphs between empty lines.

    An empty text stands for the page's own.
    """

    title: str = ""
    lead: str = ""
    about: str = ""

    @property
    def paragraphs(self) -> tuple[str, ...]:
        """The paragraphs of `about`."""
        return tuple(" ".join(part.split()) for part in self.about.split("\n\n") if part.strip())


class Sample(Record, frozen=True, kw_only=True):
    """A picture that comes with the page; `file` is its path below `samples/`, sizes are in pixels.

    `source` is empty for a picture that is published nowhere else.
    """

    file: str
    title: str
    attribution: str
    licence: str
    source: str
    width: PositiveInt
    height: PositiveInt


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleSet:
    """Sample pictures, and the folder in which their files lie."""

    folder: Path
    samples: tuple[Sample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPage:
    """How one model is published, where that is not as the whole page or the model's own records have it.

    `recipes` are names, `variants` the ids of those to publish; None for those of the page. Empty texts leave the
    model's own.
    """

    recipes: tuple[str, ...] | None = None
    variants: Collection[str] | None = None
    title: str = ""
    licence: str = ""
    source: str = ""
    samples: SampleSet | None = None

    def applied_to(self, spec: ModelSpec) -> ModelSpec:
        """Return a model's spec with these texts."""
        given = {name: text for name in ("title", "licence", "source") if (text := getattr(self, name))}
        return replace(spec, **given)


AS_IT_IS = ModelPage()
OWN_TEXTS = PageTexts()
