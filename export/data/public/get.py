"""A public data set from its address to a file that training and evaluation take with `--data`."""

from pathlib import Path

from export.core.console import say
from export.data.public.download import download
from export.data.public.sets import PublicSet


def get(dataset: PublicSet, out: Path, url: str | None = None) -> Path:
    """Download a data set into the folder `out` unless it is there; `url` is another address of the same file.

    Returns its file. Raises `ExportError` when it cannot be downloaded whole.
    """
    target, archive = out / dataset.file, out / dataset.archive
    say(f"{dataset.title}\nterms of use: {dataset.terms}")
    if target.is_file():
        say(f"{target} is there already")
        return target
    if not archive.is_file():
        download(url or dataset.url, archive, dataset.md5)
    if dataset.converted:
        from export.data.public.cifar import convert

        convert(archive, target)
        archive.unlink()
    say(f"{dataset.name} → {target}")
    return target
