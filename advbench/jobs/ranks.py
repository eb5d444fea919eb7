"""The processes that share a run, when `torchrun` has started more than one.

They exchange a few bytes, never tensors: which images were seen, which folder to write to, and at the end
their records. PyTorch's store does that alone, without a process group: a wait for another process is a
loop here, which a signal can end and which no timeout can, whereas a collective operation of gloo or NCCL
hears no SIGTERM before it is over.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from advbench.errors import RunError, first_line

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

_RESTARTS = "TORCHELASTIC_RESTART_COUNT"
_VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_PATIENCE = 0.1  # seconds between two looks
_CHUNK = 1 << 20  # bytes; stores limit the size of a value

Item = TypeVar("Item")


@dataclass(frozen=True)
class Ranks:
    """One process, and how it reaches the others.

    Args:
        rank: its number.
        count: how many there are.
        local_rank: its number on its host.
        store: where they leave words for each other; None for a single process.
        counts: the numbers that a single process adds to.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    store: "Store | None" = None
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes the tables and speaks."""
        return self.rank == 0

    @property
    def restarted(self) -> bool:
        """Whether torchrun has started this run before, and it was killed."""
        return int_variable(_RESTARTS, 0) > 0

    def may_overwrite(self, asked: bool, path: Path | None, manifest: Mapping[str, Any]) -> bool:
        """Whether a folder's files may be replaced; where torchrun starts a run again, never the run's own.

        Args:
            asked: whether the user says so.
            path: the folder; None for a new one.
            manifest: what is run.
        """
        from advbench.runs.earlier_start import holds_start_of  # noqa: PLC0415  # --help needs none of it

        begun = self.restarted and path is not None and holds_start_of(path, manifest)
        return asked and not begun

    def share(self, items: Sequence[Item]) -> list[Item]:
        """The part of a list that is this process's work."""
        return list(items[self.rank :: self.count])

    def post(self, name: str, contents: bytes) -> None:
        """Leave something for the others; once a name."""
        if self.store is None:
            return
        chunks = range(0, len(contents), _CHUNK)
        with _in_reach():
            for number, start in enumerate(chunks):
                chunk: Any = contents[start : start + _CHUNK]  # declared as str, kept as bytes
                self.store.set(f"{name}/{number}", chunk)
            self.store.set(name, str(len(chunks)))

    def await_post(self, name: str, idle: Callable[[], None]) -> bytes:
        """What another process leaves under a name; `idle` is called while there is nothing."""
        while not self.has(name):
            idle()
            time.sleep(_PATIENCE)
        assert self.store is not None
        with _in_reach():
            count = int(self.store.get(name))
            return b"".join(self.store.get(f"{name}/{number}") for number in range(count))

    def has(self, name: str) -> bool:
        """Whether anything was left under a name."""
        if self.store is None:
            return False
        with _in_reach():
            return bool(self.store.check([name]))

    def add(self, name: str, amount: int) -> int:
        """Add to a number that all processes share, and return what it is now."""
        if self.store is None:
            self.counts[name] += amount
            return self.counts[name]
        with _in_reach():
            return self.store.add(name, amount)


@contextmanager
def _in_reach() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # every error of torch.distributed
        raise RunError(f"the other processes are out of reach: {first_line(error)}") from error


def join_ranks() -> Ranks:
    """This process among those that the environment speaks of, as `torchrun` sets it.

    Raises:
        RunError: the others cannot be reached.
    """
    if int_variable("WORLD_SIZE", 1) == 1 or not all(name in os.environ for name in _VARIABLES):
        return Ranks()
    from torch._C._distributed_c10d import PrefixStore  # noqa: PLC0415  # imports much, for few runs
    from torch.distributed.rendezvous import rendezvous  # noqa: PLC0415

    try:
        store, rank, count = next(rendezvous("env://"))
    except (RuntimeError, ValueError) as error:
        raise RunError(f"the other processes cannot be reached: {first_line(error)}") from error
    # torchrun's store outlives a restart: what an earlier attempt has left is not for this one.
    attempt = PrefixStore(f"attempt-{int_variable(_RESTARTS, 0)}", store)
    return Ranks(rank, count, int_variable("LOCAL_RANK", rank), attempt)


def follows() -> bool:
    """Whether this process is one of several, and not the one that speaks for all."""
    return int_variable("WORLD_SIZE", 1) > 1 and int_variable("RANK", 0) > 0


def int_variable(name: str, default: int) -> int:
    """A number from the environment; the default where there is none."""
    text = os.environ.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() else default
