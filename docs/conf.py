"""How Sphinx builds the site: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from advbench.version import VERSION

project = "advbench"
copyright = "the authors of advbench"  # noqa: A001  # Sphinx's name for it
release = version = VERSION

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "docs.made.extension",
]
exclude_patterns = ["made"]

myst_heading_anchors = 3

# Docstrings write `code` in single backticks, as Markdown does.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Keywords", "params_style")]

# Other projects' names are no pages here, and nothing is fetched to find theirs.
nitpick_ignore_regex = [("py:.*", r"(?!advbench\.[A-Za-z]+$).*")]

# Two hyphens are an option, not a dash.
smartquotes = False

html_theme = "furo"
html_title = f"advbench {VERSION}"
html_theme_options = {"top_of_page_buttons": ["view"]}
templates_path = ["_templates"]
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
# The search shows words of each page, for which it would fetch the page: a browser refuses that under file://.
html_show_search_summary = False

copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
