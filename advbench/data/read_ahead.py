"""Images are read while the ones before them are worked on."""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import torch

from advbench.data.batches import Batch, Images, check_shapes, read_batch


class ReadAhead:
    """The images of a data set in order, as many at a time as are asked for; the next ones are being read.

    One thread reads, so that a data set never serves two readers. At most three times as many images as
    were last asked for are in memory. Where there is a CUDA device they lie in pinned memory, from which they
    are copied to it while it computes.

    Args:
        dataset: where the images are.
        indices: which ones, in their order.
    """

    def __init__(self, dataset: Images, indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.unread = list(indices)
        self.read: Batch | None = None
        self.coming: Future[Batch] | None = None
        self.pool = ThreadPoolExecutor(1, thread_name_prefix="advbench-reader")

    def __enter__(self) -> "ReadAhead":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.shutdown(cancel_futures=True)

    @property
    def left(self) -> bool:
        """Whether there are images that have not been dropped."""
        return self.read is not None or self.coming is not None or bool(self.unread)

    def first(self, count: int) -> Batch:
        """The first images that have not been dropped, at most `count`; those after them are being read.

        Raises:
            DatasetError: as `read_batch`.
        """
        while (self.read is None or len(self.read.indices) < count) and (self.coming or self.unread):
            if self.coming is None:
                self._begin(count - (0 if self.read is None else len(self.read.indices)))
            assert self.coming is not None
            new, self.coming = self.coming.result(), None
            if self.read is not None:
                check_shapes([self.read, new], self.dataset)
                new = Batch(*(torch.cat(pair) for pair in zip(self.read, new, strict=True)))
            self.read = new
        assert self.read is not None
        if self.coming is None and self.unread:
            self._begin(count)
        return Batch(*(tensor[:count] for tensor in self.read))

    def drop(self, count: int) -> None:
        """Forget the first images; they are done."""
        assert self.read is not None
        rest = Batch(*(tensor[count:] for tensor in self.read))
        self.read = rest if len(rest.indices) else None

    def _begin(self, count: int) -> None:
        wanted, self.unread = self.unread[:count], self.unread[count:]
        self.coming = self.pool.submit(self._read, wanted)

    def _read(self, wanted: list[int]) -> Batch:
        batch = read_batch(self.dataset, wanted)
        return Batch(*(tensor.pin_memory() for tensor in batch)) if torch.cuda.is_available() else batch
