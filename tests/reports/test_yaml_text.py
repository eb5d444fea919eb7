"""YAML: what is written is what a reader reads."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advbench.errors import printable
from advbench.reports.yaml_text import yaml_text

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(0, 1, allow_subnormal=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner), max_leaves=8
)


def read_back(value: Any) -> Any:
    """What the text is to a reader: control characters are spelt out."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [read_back(item) for item in value]
    return (
        {printable(key): read_back(item) for key, item in value.items()} if isinstance(value, dict) else value
    )


@given(st.dictionaries(st.text(min_size=1), VALUES, min_size=1) | st.lists(VALUES, min_size=1))
def test_a_reader_gives_it_back(value: Any) -> None:
    assert yaml.safe_load(yaml_text(value)) == read_back(value)


def test_words_that_look_like_other_things_stay_texts() -> None:
    words = ["no", "1e3", "2026-01-01", "~", "- a", "a: b", "# c"]
    assert yaml.safe_load(yaml_text({"words": words})) == {"words": words}


def test_it_is_written_in_blocks() -> None:
    assert (
        yaml_text([{"dataset": {"id": "a/b"}, "value": 40.0}]) == '- dataset:\n    id: "a/b"\n  value: 40.0\n'
    )
