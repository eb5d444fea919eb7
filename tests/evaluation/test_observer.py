"""An observer made of functions: each may be left away, and what it keeps goes to its store."""

import pandas as pd
import pytest

from advbench import Hooks
from advbench.defended.counting import Shown
from advbench.evaluation.attack_batch import RungDone
from advbench.evaluation.observer import UNOBSERVED, Checked, Observer
from advbench.results.table import Cell

CHECKED = Checked(digests={}, work=0, batch_size=1, clean=pd.DataFrame(), shown=Shown())
DONE = RungDone(Cell("none", "", "clean"), pd.DataFrame(), None)


class Shelf:
    """A store in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.origin = {"model": "m"}

    def load(self, name: str) -> bytes | None:
        return self.kept.get(name)

    def save(self, name: str, contents: bytes) -> None:
        self.kept[name] = contents


def test_where_nobody_looks_on_nothing_is_known_and_nothing_kept() -> None:
    observer: Observer = UNOBSERVED
    assert observer.begin(CHECKED) is None
    observer.keep(DONE)
    observer.note("a sentence")
    observer.save("a", b"1")
    assert observer.load("a") is None
    assert (observer.names, observer.population, observer.origin) == (("model", "data"), None, {})


def test_what_is_kept_is_found_again_under_its_name_and_origin() -> None:
    shelf = Shelf()
    observer: Observer = Hooks(store=shelf)
    observer.save("a", b"1")
    assert (observer.load("a"), observer.load("b")) == (b"1", None)
    assert observer.origin == {"model": "m"}
    assert shelf.kept == {"a": b"1"}


def test_each_function_is_told_what_is_its_own() -> None:
    told: list[object] = []
    earlier = pd.DataFrame({"index": [3]})

    def begin(checked: Checked) -> pd.DataFrame:
        told.append(checked)
        return earlier

    observer: Observer = Hooks(begin=begin, keep=told.append, note=told.append, population=(1, 2))
    assert observer.begin(CHECKED) is earlier
    observer.keep(DONE)
    observer.note("said")
    assert told == [CHECKED, DONE, "said"]
    assert observer.population == (1, 2)


def test_an_observer_is_not_changed_afterwards() -> None:
    with pytest.raises(AttributeError):
        UNOBSERVED.names = ("a", "b")  # type: ignore[misc]  # on purpose
