"""Tables in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any


def score_text(value: float) -> str:
    """A score with three decimals, a large figure with thousands separated, a huge one with an exponent."""
    if abs(value) >= 1e6:
        return f"{value:.3g}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3f}"


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A Markdown table whose columns are the keys of all rows."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(_cell(row.get(name, "")) for name in names) + " |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return score_text(value)
    return str(value).replace("|", "\\|").replace("\n", " ")
