"""Accuracy of embeddings: what a split leaves for testing, and images of which there are too few."""

import pytest
import torch

from export.core.errors import RequestError
from export.quantization.evaluation.probe import linear_probe, nearest_neighbours, split, split_to_test


def test_every_class_is_split_in_two() -> None:
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    train, test = split(labels)
    assert train.tolist() == [0, 2, 3, 5] and test.tolist() == [1, 4]


def test_one_image_of_each_class_leaves_nothing_to_test_on() -> None:
    with pytest.raises(RequestError, match="one of each of 7 classes") as caught:
        split_to_test(torch.arange(7))
    assert "--limit 28" in caught.value.hint


@pytest.mark.parametrize("each", [2, 8])
def test_clusters_are_told_apart_also_by_two_images_of_each(each: int) -> None:
    labels = torch.arange(3).repeat(each)
    centres = 10 * torch.eye(3, 5)
    embeddings = centres[labels] + 0.1 * torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(0))
    train, test = split_to_test(labels)
    for predict in (nearest_neighbours, linear_probe):
        assert predict(embeddings[train], labels[train], embeddings[test]).tolist() == labels[test].tolist()
