"""How `make docs` builds the site: Markdown pages, functions from their docstrings, no network."""

from typing import Any

from headstart import __version__

project, author, release = "headstart", "The headstart team", __version__
copyright = "the headstart team, Apache 2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["pictures"]
nitpicky = False  # types of other packages have no pages here

html_theme = "furo"
html_title = f"headstart {release}"
html_show_sourcelink = False
html_copy_source = False

myst_heading_anchors = 4  # as on the pages that a forge renders
suppress_warnings = ["misc.highlighting_failure"]  # outputs of commands are no language

default_role = "literal"  # docstrings write `code` as Markdown does
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_use_rtype = False

OUTSIDE = {
    "../CONTRIBUTING.md": "contributing.md",
    "../CHANGELOG.md": "changelog.md",
    "../examples/README.md": "examples.md",
}
"""Files that lie outside of `docs`, and the pages of the site that include them."""


def setup(app: Any) -> None:
    """Let links to files outside lead to their pages."""

    def redirect(app: Any, name: str, source: list[str]) -> None:
        for file, page in OUTSIDE.items():
            source[0] = source[0].replace(f"]({file}", f"]({page}")

    app.connect("source-read", redirect)
