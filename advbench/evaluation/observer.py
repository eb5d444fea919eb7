"""Who is told what an evaluation finds, and may hand it what an earlier start has found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, final

import pandas as pd

from advbench.defended.counting import Shown
from advbench.evaluation.attack_batch import RungDone
from advbench.evaluation.search_substitutes import Store


@dataclass(frozen=True)
class Checked:
    """Every clean image went through every defended model and nothing was wrong; the attacks begin.

    Args:
        digests: a digest of each image with its label, by its index.
        work: how many (image, rung) pairs are to come.
        batch_size: how many images are computed at a time.
        clean: the records of the clean images on the undefended model.
        shown: how many images the model was shown so far; it goes on counting.
    """

    digests: Mapping[int, bytes]
    work: int
    batch_size: int
    clean: pd.DataFrame
    shown: Shown


class Observer(Store, Protocol):
    """The run that an evaluation belongs to; what one of its methods raises ends the evaluation.

    As a `Store` it keeps what a search for substitutes has found and fitted.
    """

    @property
    def names(self) -> tuple[str, str]:
        """The model's and the data set's name in the table."""
        ...

    @property
    def population(self) -> Sequence[int] | None:
        """The indices of all images of the run, where the evaluation is one process's share of them."""
        ...

    def begin(self, checked: Checked) -> pd.DataFrame | None:
        """Learn that the input is usable; the records of an earlier start are not made again."""
        ...

    def keep(self, done: RungDone) -> None:
        """Take the records of a batch under a rung as soon as they are made."""
        ...

    def note(self, text: str) -> None:
        """Take a sentence: memory ran out, what a search has found, why the model cannot be copied."""
        ...


@final
@dataclass(frozen=True, kw_only=True)
class Hooks:
    """An observer made of functions, each of which may be left away.

    Args:
        names: the model's and the data set's name in the table.
        population: all images of the run, where the evaluation is one process's share of them.
        begin: learns that the input is usable, and may return the records of an earlier start.
        keep: takes the records of a batch under a rung as soon as they are made.
        note: takes a sentence.
        store: keeps what a search for substitutes has found; None where the search is done anew.
    """

    names: tuple[str, str] = ("model", "data")
    population: Sequence[int] | None = None
    begin: Callable[[Checked], pd.DataFrame | None] = lambda _: None
    keep: Callable[[RungDone], None] = lambda _: None
    note: Callable[[str], None] = lambda _: None
    store: Store | None = None

    @property
    def origin(self) -> Mapping[str, str]:
        """Where what is kept comes from."""
        return {} if self.store is None else self.store.origin

    def load(self, name: str) -> bytes | None:
        """What an earlier search has kept under a name."""
        return None if self.store is None else self.store.load(name)

    def save(self, name: str, contents: bytes) -> None:
        """Keep what a search has found."""
        if self.store is not None:
            self.store.save(name, contents)


UNOBSERVED: Final = Hooks()
"""Nobody looks on: the evaluation begins anew, and what it returns is all that it tells."""
