"""Facts as data: the public projects whose capabilities and figures are listed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Project:
    """A public project: its `name`, and the `source` of it."""

    name: str
    source: str


PROJECTS = {
    "R0": Project("COMS_6998_Practical_DL_proj", "https://github.com/Xiangyi-Zeng/COMS_6998_Practical_DL_proj"),
    "R1": Project("PTQ4ViT", "https://github.com/hahnyuan/PTQ4ViT"),
    "R2": Project(
        "dynamic quantization of DINO ViT-S/16, a published answer to the first part of the ML-Engineer-Challenge",
        "https://github.com/himanshushukla12/ML-Engineer-Challenge",
    ),
    "R3": Project("pytorch-quantization", "https://github.com/rluthfan/pytorch-quantization"),
    "R4": Project("TinyNeuralNetwork, mixed-precision ViT", "https://github.com/alibaba/TinyNeuralNetwork"),
}
