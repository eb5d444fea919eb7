"""The words for how an adapting model is judged."""

import pytest

from advbench.errors import SpecError
from advbench.names.adaptation import adaptation_word, adapts, declared, declared_batch
from advbench.names.grammar import parse_spec


def test_words_become_an_element() -> None:
    assert adaptation_word("episodic", "64") == "episodic:batch=64"
    assert adaptation_word("stream", "batch=8,attacked=one") == "stream:batch=8,attacked=one"
    assert declared(parse_spec("stream:batch=8,attacked=one")) == (8, "one")
    assert adapts(["none", "stream:batch=8"])
    assert not adapts(["none", "jpeg", "+"])
    assert (declared_batch("episodic:batch=5"), declared_batch("jpeg")) == (5, 0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("0", "needs the number of images in a batch"),
        ("many", "got 'many'"),
        ("batch=4,attacked=two", "attacked must be batch or one"),
        ("batch=4,size=3", "has no parameter 'size'"),
        ("attacked=one", "got ''"),
    ],
)
def test_other_words_are_refused(text: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        adaptation_word("episodic", text)
    with pytest.raises(SpecError, match="has no place"):
        declared(parse_spec("episodic:batch=4@layer2"))
