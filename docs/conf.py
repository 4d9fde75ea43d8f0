"""The site: the pages beside this file, and those that `generate.py` writes from docstrings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))

project = "Reactive"
author = "the Reactive developers"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nitpicky = True
html_theme = "furo"
html_title = "Reactive"
html_static_path = ["_static"]
html_css_files = ["marbles.css"]
html_copy_source = False
html_show_copyright = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


def _generate(app: Any) -> None:
    from generate import generate

    generate(DOCS / "generated")


def setup(app: Any) -> None:
    """Have the reference written before Sphinx looks for pages."""
    app.connect("builder-inited", _generate)
