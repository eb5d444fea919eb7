"""How many images a run shows to its model, and what for: what somebody who serves the model would count."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from advbench.errors import ran_out_of_memory
from advbench.results.shown import PURPOSES, Purpose, added_up


@dataclass
class Shown:
    """How many images a model was shown so far.

    Args:
        images: for each purpose; one image in one forward pass counts once.
        purpose: of what is shown now.
    """

    images: dict[Purpose, int] = field(default_factory=lambda: dict.fromkeys(PURPOSES, 0))
    purpose: Purpose = "probe"

    def __deepcopy__(self, _memo: dict[int, Any]) -> "Shown":
        """The same: what a copy of the model is shown counts like what the model itself is shown."""
        return self

    @contextmanager
    def counted_as(self, purpose: Purpose) -> Iterator[None]:
        """What is shown meanwhile has this purpose."""
        before, self.purpose = self.purpose, purpose
        try:
            yield
        finally:
            self.purpose = before

    def move(self, count: int, source: Purpose, target: Purpose) -> None:
        """Count some of the images of one purpose under another."""
        count = max(0, min(count, self.images[source]))
        self.images[source] -= count
        self.images[target] += count

    @contextmanager
    def filled_up(self, spare: int, size: int) -> Iterator[None]:
        """The last `spare` of each batch of `size` images that is shown meanwhile are padding."""
        before = self.images[self.purpose]
        yield
        self.move((self.images[self.purpose] - before) * spare // size, self.purpose, "padding")

    @contextmanager
    def attacking(self) -> Iterator[list[int]]:
        """An attack runs; the list takes the queries that it tells, the rest of what it showed is padding.

        Attacks count a query of an image until it has fallen. Up to seven that have fallen stay in a batch.
        """
        query_counts: list[int] = []
        before = self.images["attack"]
        with self.counted_as("attack"):
            yield query_counts
        self.move(self.images["attack"] - before - sum(query_counts), "attack", "padding")

    @contextmanager
    def done_again_without_memory(self) -> Iterator[None]:
        """Where memory runs out meanwhile, what was shown since the start counts as repeated."""
        before = dict(self.images)
        try:
            yield
        except Exception as error:
            if ran_out_of_memory(error):
                for purpose, count in before.items():
                    self.move(self.images[purpose] - count, purpose, "repeated")
            raise


class CountedModel(nn.Module):
    """A model that counts the images it is shown.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
        shown: takes the counts.
    """

    def __init__(self, model: nn.Module, shown: Shown) -> None:
        super().__init__()
        self.model = model
        self.shown = shown

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`."""
        self.shown.images[self.shown.purpose] += len(x)
        logits: Tensor = self.model(x)
        return logits


def count_also(model: nn.Module, x: Tensor) -> None:
    """Count images `(n, ...)` that are given to the network inside a counted model, past the model itself."""
    if isinstance(model, CountedModel):
        model.shown.images[model.shown.purpose] += len(x)


@contextmanager
def looks_counted(model: nn.Module, shown: Shown) -> Iterator[None]:
    """Meanwhile, count what a model is shown that does not count by itself: looks before an evaluation."""

    def count(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        shown.images[shown.purpose] += len(inputs[0])

    handle = model.register_forward_pre_hook(count)
    try:
        yield
    finally:
        handle.remove()


@dataclass
class Tally:
    """What a run has shown to its model, in this start and in earlier ones.

    Args:
        shown: in this start, by this process.
        earlier: in earlier starts.
        reported: how much of `shown` the run's parts tell already; below 0 for what earlier starts have left
            untold.
    """

    shown: Shown = field(default_factory=Shown)
    earlier: dict[str, int] = field(default_factory=lambda: added_up([]))
    reported: dict[str, int] = field(default_factory=lambda: added_up([]))

    def go_on(self, earlier: dict[str, int], in_parts: dict[str, int]) -> None:
        """Begin where earlier starts have ended: what none of their parts tells goes into the next one."""
        self.earlier = earlier
        self.reported = {purpose: in_parts[purpose] - count for purpose, count in earlier.items()}

    def untold(self) -> dict[str, int]:
        """What the parts do not tell yet; they are to tell it now."""
        now = added_up([self.shown.images])
        new = {purpose: count - self.reported[purpose] for purpose, count in now.items()}
        self.reported = now
        return new
