"""HTML pages that open offline: markup, numbers and charts, and how they look."""

from pathlib import Path

STYLE = Path(__file__).with_name("page.css")
