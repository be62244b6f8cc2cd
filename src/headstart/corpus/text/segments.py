"""Words of scripts without spaces, by ICU's dictionaries: Chinese, Japanese, Thai, Lao, Khmer and Burmese.

Where ICU is not installed every sign counts as a word: see `words.signs_of_word`.
"""

from importlib.util import find_spec
from typing import Literal

import numpy as np

LANGUAGES = ("ja", "zh", "th", "lo", "my", "km", "yue", "wuu", "lzh", "bo", "dz")
"""That are written without spaces between words."""
Segmenter = Literal["auto", "icu", "signs"]


def installed() -> bool:
    """Whether ICU is there, which comes with headstart[segmenter]."""
    return find_spec("icu4py") is not None


def word_borders(text: str, points: np.ndarray, language: str) -> np.ndarray:
    """Whether a word begins at each character of a text, `[N]`.

    Args:
        text: as it is.
        points: its code points, of half a surrogate pair any.
        language: a code of two letters.
    """
    from icu4py.breakers import WordBreaker

    # ICU counts in units of UTF-16, of which a character beyond the basic plane has two.
    places = np.cumsum(np.append(0, 1 + (points > 0xFFFF)))  # [N + 1]
    borders = np.zeros(places[-1] + 1, bool)
    readable = text if text.isascii() else text.encode("utf-16-le", "replace").decode("utf-16-le", "replace")
    borders[[start for start, _ in WordBreaker(readable, language or "en").segments()]] = True
    return borders[places[:-1]]
