"""The BibTeX of a table: every method that has a paper is cited, each once, in entries that are whole."""

import re
from dataclasses import replace

import pytest

from advbench.attacks.registry import ATTACKS
from advbench.defenses.registry import DEFENSES
from advbench.reports.bibliography import bibtex
from advbench.results.records import Row
from tests.reports.records import HOSTILE, NONE, RANDOM, ROUND, ROWS

OURS = ("webp", "strongest", "auto")  # what has no paper of its own
SOURCES = {name: entry.source for name, entry in {**ATTACKS, **DEFENSES}.items() if name not in OURS}
ENTRY = re.compile(r"@(\w+)\{(\w+),\n((?:  \w+ = \{.*\},\n)+)\}\n")


def entries_of(text: str) -> dict[str, dict[str, str]]:
    """The fields of each entry by its key; a text that is not entries alone has none of them."""
    assert ENTRY.sub("", text).strip() == ""
    return {
        key: {"kind": kind, **dict(re.findall(r"  (\w+) = \{(.*)\},\n", body))}
        for kind, key, body in ENTRY.findall(text)
    }


def plain(text: str) -> str:
    return re.sub(r"[{}\\']", "", text)


@pytest.mark.parametrize("name", SOURCES)
def test_the_entry_of_a_method_is_the_paper_that_the_registry_names(name: str) -> None:
    """By surname of the first author, and the year."""
    word = name.replace(":NAME", ":Some")
    row = replace(NONE, attack=word) if name in ATTACKS else replace(NONE, attack="x", defense=word)
    entries = entries_of(bibtex([row]))
    wanted = re.findall(r"^(\w+).*? (\d{4})", SOURCES[name])[0]
    found = [(plain(each["author"]).partition(",")[0], each["year"]) for each in entries.values()]
    assert wanted in found
    assert len(found) == 2, "the paper, and Wilson's interval"


def test_every_entry_says_what_its_kind_needs() -> None:
    rows = [replace(NONE, attack=name.replace(":NAME", ":Some")) for name in ATTACKS]
    rows += [replace(NONE, defense=name) for name in DEFENSES]
    rows += [replace(ROUND, norm="l1", attack="apgd")]
    entries = entries_of(bibtex(rows, paired=True))
    assert len(entries) > 20
    for key, each in entries.items():
        home = {"article": "journal", "inproceedings": "booktitle"}[each["kind"]]
        assert set(each) >= {"author", "title", home, "year"}, key
        assert ("volume" in each) == (home == "journal" and not each["journal"].startswith("arXiv")), key
        assert key.startswith(plain(each["author"]).partition(",")[0].lower())
        assert each["year"] in key
        for text in each.values():
            assert text.count("{") == text.count("}")
            assert text.isascii()


def test_what_a_table_tells_is_cited_and_nothing_else() -> None:
    def keys(*rows: Row, paired: bool = False) -> set[str]:
        return set(entries_of(bibtex(rows, paired=paired)))

    assert keys(NONE) == {"madry2018", "wilson1927"}
    assert keys(ROUND) == {"madry2018", "athalye2018", "wilson1927", "tango1998"}
    assert keys(NONE, paired=True) == {"madry2018", "wilson1927", "mcnemar1947", "tango1998"}
    assert keys(RANDOM) >= {"xie2018"}
    assert keys(replace(NONE, norm="l1", attack="apgd")) == {"croce2020autoattack", "croce2021", "wilson1927"}
    assert keys(replace(NONE, defense=HOSTILE, attack="")) == {"wilson1927"}
    assert len(ENTRY.findall(bibtex([*ROWS, *ROWS]))) == len(keys(*ROWS))
