"""Accuracy of embeddings, for models without a head: k nearest neighbours and a linear probe, on a labelled split."""

import torch
import torch.nn.functional as F
from torch import Tensor

from export.core.errors import RequestError

NEIGHBOURS, TEMPERATURE = 20, 0.07  # of the weighted vote of DINO (Caron et al. 2021, section 4.1)
DECAYS = (1e-4, 1e-2, 1.0)  # weight decays of the probe, of which a validation half of the training part chooses
DECAY = 1e-2  # where there is nothing to choose by


def split(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return indices for training and for testing: of every class the images at even and at odd places.

    Classes with one image have none for testing.
    """
    ranks = torch.empty_like(labels)
    for label in set(labels.tolist()):
        of_class = labels == label
        ranks[of_class] = torch.arange(int(of_class.sum()))
    return (ranks % 2 == 0).nonzero().flatten(), (ranks % 2 == 1).nonzero().flatten()


def split_to_test(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the `split`; raises `RequestError` when there is nothing to test on."""
    train, test = split(labels)
    if len(test) == 0:
        classes = len(set(labels.tolist()))
        raise RequestError(
            f"the {len(labels)} images are one of each of {classes} classes; the accuracy of embeddings needs several",
            hint=f"use more images of each class: --limit {4 * classes} or more, or images without labels",
        )
    return train, test


def nearest_neighbours(train: Tensor, labels: Tensor, test: Tensor) -> Tensor:
    """Return the class `[m]` of test embeddings `[m, d]` by the vote of their 20 nearest in `train [n, d]`.

    Votes are weighted by exp(cosine / 0.07).
    """
    count = min(NEIGHBOURS, len(train))
    similarity = F.normalize(test, dim=1) @ F.normalize(train, dim=1).T
    nearest, indices = similarity.topk(count, dim=1)
    votes = torch.zeros(len(test), int(labels.max()) + 1)
    votes.scatter_add_(1, labels[indices], (nearest / TEMPERATURE).exp())
    return votes.argmax(1)


def linear_probe(train: Tensor, labels: Tensor, test: Tensor) -> Tensor:
    """Return the class `[m]` of test embeddings by multinomial logistic regression on standardised `train [n, d]`."""
    mean, deviation = train.mean(0), train.std(0).clamp_min(1e-6)
    train_rows, test_rows = (train - mean) / deviation, (test - mean) / deviation
    fit, validation = split(labels)
    classes = int(labels.max()) + 1
    scores = {DECAY: 0.0}
    for decay in DECAYS if len(validation) else ():
        predicted = _predict(_fit(train_rows[fit], labels[fit], classes, decay), train_rows[validation])
        scores[decay] = float((predicted == labels[validation]).float().mean())
    return _predict(_fit(train_rows, labels, classes, max(scores, key=lambda decay: scores[decay])), test_rows)


def _fit(rows: Tensor, labels: Tensor, classes: int, decay: float) -> tuple[Tensor, Tensor]:
    weight = torch.zeros(classes, rows.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(rows @ weight.T + bias, labels) + decay / len(rows) * weight.square().sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call, arg-type]
    return weight.detach(), bias.detach()


def _predict(fitted: tuple[Tensor, Tensor], rows: Tensor) -> Tensor:
    weight, bias = fitted
    return (rows @ weight.T + bias).argmax(1)
