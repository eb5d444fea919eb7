"""A caller's own images: every form gives the same images and labels, and what does not fit is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from advbench.errors import DatasetError
from advbench.jobs.own_images import images_of

X = torch.rand(5, 1, 4, 4, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0, 1, 1, 2])
BACKWARDS = [4, 3, 2, 1, 0]


class Own(Dataset[tuple[Tensor, int]]):
    """A data set of one's own, which may hold its labels, and counts how often an image is asked for."""

    def __init__(self, **held: Any) -> None:
        self.asked = 0
        vars(self).update(held)

    def __len__(self) -> int:
        return len(Y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.asked += 1
        return X[index], int(Y[index])


@pytest.mark.parametrize(
    "make",
    [
        lambda: (X, Y),
        lambda: [X.numpy(), Y.numpy()],
        lambda: (X, Y.tolist()),
        lambda: (X.flip(0).numpy()[::-1], Y.flip(0).numpy()[::-1]),
        lambda: (np.broadcast_to(X.numpy(), X.shape), Y),
        lambda: (X.clone().requires_grad_(), Y.to(torch.int16)),
        lambda: TensorDataset(X, Y),
        lambda: Subset(TensorDataset(X.flip(0), Y.flip(0)), BACKWARDS),
        lambda: Subset(Subset(TensorDataset(X, Y), BACKWARDS), BACKWARDS),
        lambda: list(zip(X, Y.tolist(), strict=True)),
        lambda: list(zip(X, Y, strict=True)),
        Own,
        lambda: Own(targets=Y.tolist()),
        lambda: images_of((X, Y)),
    ],
)
def test_every_form_gives_the_same_images_and_labels(make: Callable[[], Any]) -> None:
    images = images_of(make())
    assert len(images) == 5
    assert (images.labels.dtype, images.labels.tolist()) == (np.dtype(np.int64), Y.tolist())
    for index in range(5):
        x, label = images[index]
        assert torch.equal(torch.as_tensor(x).detach(), X[index])
        assert int(label) == Y[index]
    assert not images.classes


def test_two_images_with_their_labels_are_a_data_set_and_no_pair() -> None:
    images = images_of([(X[0], 2), (X[1], torch.tensor(0))])
    assert images.labels.tolist() == [2, 0]
    assert torch.equal(images[1][0], X[1])
    pair = images_of(([X[0].tolist(), X[1].tolist()], [2, 0]))
    assert pair.labels.tolist() == [2, 0]
    assert torch.equal(pair[1][0], X[1])


def test_labels_are_read_from_the_images_only_where_the_data_set_does_not_hold_them_as_they_come() -> None:
    held, others, changed = (
        Own(targets=Y.tolist()),
        Own(targets=[0, 1]),
        Own(targets=[9] * 5, target_transform=int),
    )
    for dataset, asked in ((held, 0), (others, 5), (changed, 5)):
        assert images_of(dataset).labels.tolist() == Y.tolist()
        assert dataset.asked == asked


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (iter([]), "data must be a name, a pair (x, y) of tensors, or a data set with a length"),
        (DataLoader(TensorDataset(X, Y)), "got DataLoader. Give the loader's dataset."),
        ([], "the data set holds no images."),
        ((X[0], Y), "got shapes (1, 4, 4) and (5,)."),
        ((X, Y[:3]), "got shapes (5, 1, 4, 4) and (3,)."),
        ((X[:0], Y[:0]), "got shapes (0, 1, 4, 4) and (0,)."),
        ((X, Y.float()), "labels must be whole numbers, got torch.float32."),
        ((X, Y > 0), "labels must be whole numbers, got torch.bool."),
        (("mnist", "test"), "the images cannot be made a tensor: "),
        ((X, [0, [1]]), "the labels cannot be made a tensor: "),
        ((np.array([None]), Y), "the images cannot be made a tensor: "),
        (TensorDataset(X, Y.float()), "labels must be whole numbers (n,), got float32 of shape (5,)."),
        (TensorDataset(X, Y[:, None]), "labels must be whole numbers (n,), got int64 of shape (5, 1)."),
        ([X[0], X[1], X[2]], "list does not give (image, label) by the index 0, 1, 2, ...:"),
        ({"a": (X[0], 1)}, "dict does not give (image, label) by the index 0, 1, 2, ...: 0"),
    ],
)
def test_what_are_no_images_with_labels_is_refused(given: Any, said: str) -> None:
    with pytest.raises(DatasetError) as refused:
        images_of(given)
    assert said in str(refused.value)
