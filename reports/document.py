"""What every page is made of: a document that needs nothing else, its sections, and heads that sort."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Final

MOODS: Final = {
    "robust as measured": "robust",
    "not robust": "fallen",
    "masked": "masked",
    "unreliable": "unreliable",
}
"""The colours of verdicts; what has fallen as it was measured is neither praised nor an alarm."""


def document(
    title: str, body: Sequence[str], scripts: Sequence[str] = ("page.js",), *, broad: bool = False
) -> str:
    """A page in HTML.

    A policy inside it lets nothing run but its own script, and nothing be fetched at all.

    Args:
        title: of the page, as plain text.
        body: its sections in HTML; empty ones are left out.
        scripts: names of files in this package, which make one script.
        broad: whether it is as wide as the window, for a table of many columns.
    """
    home = files(__package__)
    css = home.joinpath("page.css").read_text(encoding="utf-8")
    js = "".join(home.joinpath(name).read_text(encoding="utf-8") for name in scripts)
    digest = base64.b64encode(hashlib.sha256(js.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )
    text = (
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{GENERATOR}"
        f"<style>{css}</style></head><body{' class=broad' if broad else ''}>\n<main>"
        + "\n".join(filter(None, body))
        + f'</main>\n<p id="said" class="dim" role="status" aria-live="polite"></p>\n<script>{js}</script>\n'
        "</body></html>\n"
    )
    return text.encode(errors="backslashreplace").decode()  # names of files need not be text


GENERATOR: Final = '<meta name="generator" content="advbench">'
"""What tells a page of ours from another file."""


def heading(title: str, caption: str) -> str:
    """What stands on top of a page."""
    return f"<header><h1>{escape(title)}</h1><p class=dim>{escape(caption)}</p></header>"


def column_head(name: str, *, number: bool = False) -> str:
    """The head of a column, whose button sorts by it."""
    kind = ' class="number"' if number else ""
    return f'<th scope="col"{kind}><button type="button">{escape(name)}</button></th>'


def section(title: str, body: str) -> str:
    """A section with its title, which is HTML."""
    return f"<section><h2>{title}</h2>{body}</section>"


def notes_list(notes: Sequence[str]) -> str:
    """Remarks below a table, in plain text; '' for none."""
    return f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>' if notes else ""
