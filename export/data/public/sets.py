"""Facts as data: public data sets of pictures, their addresses, checksums and terms."""

from dataclasses import dataclass

IMAGENET = "ImageNet's terms: research and education, not commercial (https://www.image-net.org/download)"
IMAGENETTE = "https://s3.amazonaws.com/fast-ai-imageclas"


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A data set: the `url` of its archive with the `md5`; `terms` of its use.

    It is kept under the name `file`, which for one that is `converted` is not that of the archive.
    """

    name: str
    title: str
    url: str
    md5: str
    terms: str
    file: str
    converted: bool = False

    @property
    def archive(self) -> str:
        """The archive's own name."""
        return self.url.rsplit("/", 1)[-1]


SETS = {
    one.name: one
    for one in (
        PublicSet(
            "tiny-imagenet",
            "Tiny ImageNet: 100,000 + 10,000 pictures of 64×64, 200 classes (248 MB)",
            "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
            "90528d7ca1a48142e341f4ef8d21d0de",
            IMAGENET,
            "tiny-imagenet-200.zip",
        ),
        PublicSet(
            "cifar10",
            "CIFAR-10: 50,000 + 10,000 pictures of 32×32, 10 classes (170 MB)",
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "c58f30108f718f92721af3b95e74349a",
            "no licence stated; its authors ask to cite Krizhevsky 2009 (https://www.cs.toronto.edu/~kriz/cifar.html)",
            "cifar10.zip",
            converted=True,
        ),
        PublicSet(
            "imagenette",
            "Imagenette: 9,469 + 3,925 photographs, 320 pixels high or wide, 10 classes (342 MB)",
            f"{IMAGENETTE}/imagenette2-320.tgz",
            "3df6f0d01a2c9592104656642f5e78a3",
            IMAGENET,
            "imagenette2-320.tgz",
        ),
        PublicSet(
            "imagenette-160",
            "the same at 160 pixels (99 MB)",
            f"{IMAGENETTE}/imagenette2-160.tgz",
            "e793b78cc4c9e9a4ccc0c1155377a412",
            IMAGENET,
            "imagenette2-160.tgz",
        ),
    )
}
