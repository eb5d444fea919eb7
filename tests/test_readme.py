"""The README: short, and its links lead somewhere."""

import re

import pytest

from tests.pages import ROOT, page

README = page("README.md")


def test_the_readme_is_short() -> None:
    assert README.text.count("\n") <= 200


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", README.text))))
def test_a_link_of_the_readme_leads_to_a_file(target: str) -> None:
    if not target.startswith("https://"):
        assert (ROOT / target).is_file()
