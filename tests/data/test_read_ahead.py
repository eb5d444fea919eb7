"""Images come in their order whatever is asked for, read once, and ahead of who asks."""

import threading
import time
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from advbench.data.read_ahead import ReadAhead
from advbench.errors import DatasetError


class Noted:
    """Images that know their index, and a note of who has read which."""

    def __init__(self, shape_of: Callable[[int], tuple[int, ...]] = lambda _: (1, 2, 2)) -> None:
        self.shape_of = shape_of
        self.seen: list[int] = []
        self.threads: set[str] = set()

    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        self.seen.append(index)
        self.threads.add(threading.current_thread().name)
        return torch.full(self.shape_of(index), index / 100), index


@pytest.mark.parametrize("counts", [[5] * 8, [1, 2, 4, 8, 16, 32], [7, 3, 12, 1, 40]])
def test_images_come_in_their_order_and_are_read_once(counts: list[int]) -> None:
    data, indices = Noted(), list(range(60, 23, -1))
    found: list[int] = []
    with ReadAhead(data, indices) as images:
        for count in counts:
            if images.left:
                batch = images.first(count)
                assert torch.equal(batch.x[:, 0, 0, 0], batch.indices / 100)
                assert batch.y.tolist() == batch.indices.tolist()
                found += batch.indices.tolist()
                images.drop(len(batch.indices))
    assert found == indices
    assert data.seen == indices
    assert data.threads == {"advbench-reader_0"}


def test_what_is_not_dropped_comes_again() -> None:
    with ReadAhead(Noted(), range(10)) as images:
        assert images.first(6).indices.tolist() == [0, 1, 2, 3, 4, 5]
        assert images.first(3).indices.tolist() == [0, 1, 2]
        images.drop(3)
        assert images.first(3).indices.tolist() == [3, 4, 5]


def test_the_next_images_are_read_meanwhile() -> None:
    data = Noted()
    with ReadAhead(data, range(50)) as images:
        images.first(4)
        began = time.monotonic()
        while len(data.seen) < 8 and time.monotonic() - began < 10.0:
            time.sleep(0.01)
        assert data.seen == list(range(8)), "as many again, and no more"


def test_images_of_two_shapes_are_refused_wherever_they_meet() -> None:
    data = Noted(lambda index: (1, 2, 2 + index // 6))
    with ReadAhead(data, range(20)) as images:
        images.first(6)
        with pytest.raises(DatasetError, match="differ in shape"):
            images.first(12)


def test_what_the_data_set_raises_is_raised_where_images_are_wanted() -> None:
    class Broken(Noted):
        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            if index == 7:
                raise OSError("gone")
            return super().__getitem__(index)

    with ReadAhead(Broken(), range(20)) as images:
        images.first(4)
        images.drop(4)
        with pytest.raises(OSError, match="gone"):
            images.first(4)


def test_where_there_is_a_cuda_device_memory_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[Tensor] = []

    def pin(tensor: Tensor) -> Tensor:
        pinned.append(tensor)
        return tensor

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    with ReadAhead(Noted(), range(4)) as images:
        images.first(4)
    assert not pinned
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with ReadAhead(Noted(), range(4)) as images:
        batch = images.first(4)
    assert [each.data_ptr() for each in pinned] == [each.data_ptr() for each in batch]
