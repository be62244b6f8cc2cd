"""Numbers and letters that a page sets above or below the line, as they are written in one.

`10<sup>6</sup>` is 10⁶ and not 106, but `19<sup>th</sup>` is 19th, and a note is no exponent.
"""

import re

LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_RAISE = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")
_EXPONENT = re.compile(r"[+−-]?\d{1,4}|\d{1,2}[+−-]|n")
# Other exponents: a number with a point, a product or sum, a letter in brackets; none ends an ordinal number
# or a title, which have two letters beside each other.
_TERM = re.compile(r"(?=.*[\d+−*/(⁰¹²³⁴⁵⁶⁷⁸⁹-])(?=.*\w)(?!.*[^\W\d_⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ]{2})[\w+−⁺⁻*/(). -]{2,12}")
_VARIABLES, _BASE = "ijknpqxyzT", re.compile(r"\d|[\])]|[^\w]?[^\W\d_]|\d[^\W\d_]|.\d", re.DOTALL)


def raised(exponent: str, base: str) -> str | None:
    """What is set above the line, if it is an exponent of what stands before; None: a note, an ending.

    Args:
        exponent: what is set there.
        base: the two signs before it.
    """
    if _EXPONENT.fullmatch(exponent):
        return exponent.translate(_RAISE)
    if not (_BASE.fullmatch(base) or base[-1:] in (")", "]")):
        return None
    if exponent and exponent in _VARIABLES:
        return f"^{exponent}"
    if not _TERM.fullmatch(exponent):
        return None
    return f"^{exponent}" if exponent[0] == "(" and exponent[-1] == ")" else f"^({exponent})"
