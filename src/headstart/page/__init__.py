"""HTML pages that open offline: markup, numbers and charts, and how they look."""
