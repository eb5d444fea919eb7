"""The site is built without a warning, works from a folder, and has every page as Markdown too."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import advbench
from advbench.attacks import ATTACKS
from advbench.defenses import DEFENSES
from docs.made.commands import command_names
from docs.made.marks import MARK
from tests.pages import DOCS, ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it: a warning is an error."""
    if any(find_spec(name) is None for name in ("sphinx", "myst_parser", "furo", "sphinx_copybutton")):
        pytest.skip("Sphinx with MyST and furo is not installed: pip install 'advbench[docs]'")
    out = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "-b", "html"]
    kept = ["-d", str(tmp_path_factory.mktemp("doctrees")), str(DOCS), str(out)]
    done = subprocess.run([*build, *kept], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_has_its_markdown_beside_it(site: Path) -> None:
    for path in DOCS.rglob("*.md"):
        name = path.relative_to(DOCS)
        assert (site / name).is_file(), f"{name} as Markdown"
        assert (site / name.with_suffix(".html")).is_file(), name


def test_the_list_for_programs_names_every_page_once(site: Path) -> None:
    told = re.findall(r"\]\(([^)]+\.md)\)", (site / "llms.txt").read_text(encoding="utf-8"))
    assert sorted(told) == sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))


def test_no_mark_stays_unfilled(site: Path) -> None:
    for path in (*site.rglob("*.md"), *site.rglob("*.html")):
        assert not MARK.search(path.read_text(encoding="utf-8")), path


def test_the_markdown_has_no_directive_of_sphinx(site: Path) -> None:
    for path in site.rglob("*.md"):
        assert "```{" not in path.read_text(encoding="utf-8"), path


def test_links_of_the_markdown_lead_to_files_of_the_site(site: Path) -> None:
    for path in site.rglob("*.md"):
        for target in re.findall(r"\]\(([\w./-]+\.md)[)#]", path.read_text(encoding="utf-8")):
            if "project" not in str(path.parent.name):
                assert (path.parent / target).is_file(), f"{path.relative_to(site)} links to {target}"


@pytest.mark.parametrize("ending", [".html", ".md"])
def test_the_reference_has_everything_that_can_be_named(site: Path, ending: str) -> None:
    def text(name: str) -> str:
        told = (site / f"reference/{name}{ending}").read_text(encoding="utf-8")
        return re.sub(r"<[^>]+>", "", told) if ending == ".html" else told  # '<' in Markdown is a sign

    assert not [name for name in DEFENSES if name not in text("defenses")]
    assert not [name for name in ATTACKS if name not in text("attacks")]
    assert not [name for name in command_names() if f"advbench {name}" not in text("commands")]
    assert not [name for name in advbench.__all__ if f"advbench.{name}" not in text("python")]


def test_a_page_leads_to_its_markdown(site: Path) -> None:
    text = (site / "howto/sweeps.html").read_text(encoding="utf-8")
    assert '<a class="muted-link" href="sweeps.md"' in text
    assert '<link rel="alternate" type="text/markdown" href="sweeps.md" />' in text


def test_a_page_fetches_nothing(site: Path) -> None:
    """No page needs the network: the site works from a folder."""
    for path in site.rglob("*.html"):
        sources = re.findall(
            r"<(?:script|img|link)[^>]*?(?:src|href)=\"([^\"]+)\"", path.read_text(encoding="utf-8")
        )
        assert not [source for source in sources if source.startswith(("http:", "https:", "//"))], path


def test_the_search_index_is_a_script_that_knows_the_pages(site: Path) -> None:
    """A script is loaded from `file://` too, where a page may fetch nothing."""
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    assert index.startswith("Search.setIndex(")
    assert "explanation/verdict" in index
