"""A few rules for what people read: short sentences, no filler, no word twice, a first sentence for lists."""

import re

import pytest

from docs.made.listing import page_of
from tests.pages import Page, pages
from tests.prose import sentences, words

WRITTEN = [known for known in pages() if "/project/" not in known.name]
"""Pages that are no other file's words."""
LONGEST = 40
FILLER = re.compile(
    r"\b(simply|just|easily|obviously|basically|of course|in order to|utili[sz]e)\b", re.IGNORECASE
)


@pytest.mark.parametrize("known", WRITTEN, ids=[known.name for known in WRITTEN])
def test_the_sentences_of_a_page_are_short_and_plain(known: Page) -> None:
    for sentence in sentences(known.text):
        plain = re.sub(r"`[^`]+`", "", sentence)
        assert len(words(sentence)) <= LONGEST, f"too long: {sentence}"
        assert plain.count("so that") <= 1, f"a chain of 'so that': {sentence}"
        assert not FILLER.search(plain), f"a word that says nothing: {sentence}"
        assert not re.search(r"\b(\w+) \1\b", plain), f"a word twice: {sentence}"


@pytest.mark.parametrize("known", WRITTEN, ids=[known.name for known in WRITTEN])
def test_a_page_begins_with_what_lists_say_of_it(known: Page) -> None:
    if known.text.startswith("```{include}"):
        pytest.skip("another file's words")
    page = page_of(known.text)
    assert page.title
    assert page.first_sentence


def test_sentences_are_those_of_prose_alone() -> None:
    prose = "# A title\n\nOne of `a. B`, et al. 2018. Two\ngo on.\n\n- three\n- four\n\n"
    text = f"{prose}| a. | B |\n\n```text\nFive.\n```\n"
    assert list(sentences(text)) == ["One of `a. B`, et al 2018.", "Two go on.", "three", "four"]


def test_code_and_hyphens_are_one_word_each() -> None:
    assert words("The `a b c` of well-known ends") == ["The", "code", "of", "well-known", "ends"]
