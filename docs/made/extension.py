"""What Sphinx is told of the pages that are made: marks in a page, Markdown beside the HTML, `llms.txt`."""

from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from docs.made.docstrings import with_formulas
from docs.made.listing import with_all_pages
from docs.made.marks import filled
from docs.made.plain_pages import write_plain_pages


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect to what Sphinx tells while it builds."""
    app.connect("source-read", _fill)
    app.connect("html-page-context", _point_to_markdown)
    app.connect("autodoc-process-docstring", _mark_formulas, priority=100)  # before napoleon
    app.connect("build-finished", _write_plain)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _fill(app: Sphinx, docname: str, source: list[str]) -> None:
    home = Path(app.srcdir)
    source[0] = filled(with_all_pages(source[0], (home / docname).parent), home, for_sphinx=True)
    if "<!-- made:" in source[0]:
        raise ValueError(f"{docname} has a mark that nothing fills")


def _mark_formulas(  # Sphinx tells all that it knows
    _app: Sphinx, _kind: str, _name: str, _named: object, _options: object, lines: list[str]
) -> None:
    lines[:] = with_formulas(lines)


def _point_to_markdown(
    _app: Sphinx, docname: str, _template: str, context: dict[str, Any], doctree: object
) -> None:
    """Let programs find a page's Markdown."""
    if doctree is not None:
        name = docname.rpartition("/")[2]
        link = f'<link rel="alternate" type="text/markdown" href="{name}.md" />'
        context["metatags"] = context.get("metatags", "") + link


def _write_plain(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        pages = {name: Path(app.env.doc2path(name)) for name in sorted(app.env.found_docs)}
        write_plain_pages(Path(app.srcdir), pages, Path(app.outdir))
