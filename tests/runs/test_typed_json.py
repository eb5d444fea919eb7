"""JSON as objects: what fits is read, and everything else is refused with its place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advbench.errors import RunFolderError
from advbench.runs.typed_json import Count, Index, Where, read_as

WHERE = Where("run.json")


@dataclass(frozen=True, kw_only=True)
class Inner:
    name: str
    seed: Index = 0

    def __post_init__(self) -> None:
        if self.name == "evil":
            raise ValueError("no such name")


@dataclass(frozen=True, kw_only=True)
class Outer:
    text: str
    flag: bool
    n: Count
    share: float
    maybe: int | None = None
    norm: Literal["linf", "l2"] = "linf"
    texts: tuple[str, ...] = ()
    inners: tuple[Inner, ...] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    anything: Any = None


SOUND: dict[str, Any] = {"text": "a", "flag": True, "n": 3, "share": 1}
FULL: dict[str, Any] = {
    **SOUND,
    "maybe": 4,
    "norm": "l2",
    "texts": ["b", "c"],
    "inners": [{"name": "d"}, {"name": "e", "seed": 5}],
    "digests": {"f": "g"},
    "anything": [{}],
}


def test_what_fits_is_read() -> None:
    assert read_as(Outer, SOUND, WHERE) == Outer(text="a", flag=True, n=3, share=1)
    assert read_as(Outer, FULL, WHERE) == Outer(
        text="a",
        flag=True,
        n=3,
        share=1,
        maybe=4,
        norm="l2",
        texts=("b", "c"),
        inners=(Inner(name="d"), Inner(name="e", seed=5)),
        digests={"f": "g"},
        anything=[{}],
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": 3}, "text must be a text, got 3."),
        ({"flag": 1}, "flag must be true or false, got 1."),
        ({"n": True}, "n must be a whole number, got True."),
        ({"n": 2.0}, "n must be a whole number, got 2.0."),
        ({"n": 0}, "n must be at least 1, got 0."),
        ({"n": 1 << 70}, "n must be a whole number, got 1180591620717411303424."),
        ({"share": "1"}, "share must be a number, got '1'."),
        ({"share": 10**400}, "share must be a number, got 1000"),
        ({"maybe": "4"}, "maybe must be a whole number, got '4'."),
        ({"norm": "l3"}, "norm must be one of linf, l2, got 'l3'."),
        ({"norm": ["l2"]}, "norm must be one of linf, l2, got ['l2']."),
        ({"texts": "b"}, "texts must be a list, got 'b'."),
        ({"texts": ["b", None]}, "texts.1 must be a text, got None."),
        ({"inners": [{}]}, "inners.0.name is missing."),
        ({"inners": [3]}, "inners.0 must be a group of entries, got 3."),
        ({"inners": [{"name": "d", "seed": -1}]}, "inners.0.seed must be at least 0, got -1."),
        ({"inners": [{"name": "evil"}]}, "inners.0: no such name"),
        ({"digests": []}, "digests must be a group of entries, got []."),
        ({"digests": {"f": 1}}, "digests.f must be a text, got 1."),
        ({"more": 1}, "the whole has an entry 'more', which nothing of ours writes."),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RunFolderError) as refused:
        read_as(Outer, {**FULL, **change}, WHERE)
    assert str(refused.value).startswith(f"run.json: {message}")


@pytest.mark.parametrize("name", SOUND)
def test_what_has_no_default_must_be_there(name: str) -> None:
    with pytest.raises(RunFolderError, match=f"run.json: {name} is missing"):
        read_as(Outer, {other: value for other, value in SOUND.items() if other != name}, WHERE)


def test_entries_of_others_are_passed_over_where_that_is_allowed() -> None:
    assert read_as(Inner, {"name": "d", "later": 1}, WHERE, whole=False) == Inner(name="d")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(sorted(FULL)), value=JSON)
def test_whatever_an_entry_is_it_is_read_as_its_type_or_refused(name: str, value: Any) -> None:
    try:
        read = read_as(Outer, {**FULL, name: value}, WHERE)
    except RunFolderError:
        return
    kinds = {
        "text": str,
        "flag": bool,
        "n": int,
        "share": int | float,
        "maybe": int | None,
        "norm": str,
        "texts": tuple,
        "inners": tuple,
        "digests": dict,
        "anything": object,
    }
    assert isinstance(getattr(read, name), kinds[name])
