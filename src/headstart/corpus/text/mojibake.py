"""Text that was decoded by the wrong charset, `cafÃ©` for `café`, repaired by ftfy (Speer 2019)."""

from functools import cache
from typing import Any


@cache
def _settings() -> Any:
    from ftfy import TextFixerConfig

    # The charset alone: quotation marks, ligatures and entities are as their author wrote them.
    return TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        normalization=None,
        explain=False,
    )


def repair(text: str) -> tuple[str, bool]:
    """A text with its letters as they were meant, and whether that changed any; line by line."""
    if text.isascii():
        return text, False
    from ftfy import fix_text

    repaired: str = fix_text(text, _settings())
    return repaired, repaired != text
