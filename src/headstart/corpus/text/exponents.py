"""Numbers and letters that a page sets above or below the line, as they are written in one.

`10<sup>6</sup>` is 10⁶ and not 106, but `19<sup>th</sup>` is 19th, and a note is no exponent.
"""

import re

LOWERED = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_RAISE = str.maketrans("0123456789+-−n", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻ⁿ")
_RAISED_DIGITS = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_FALL = str.maketrans(_RAISED_DIGITS, "0123456789")
_EXPONENT = re.compile(r"[+−-]?\d{1,4}|\d{1,2}[+−-]|n")
# Other exponents: a number with a point, a product or sum, a letter in brackets; none ends an ordinal number
# or a title, which have two letters beside each other.
_TERM = re.compile(r"(?=.*[\d+−*/(⁰¹²³⁴⁵⁶⁷⁸⁹-])(?=.*\w)(?!.*[^\W\d_⁰¹²³⁴⁵⁶⁷⁸⁹ⁿ]{2})[\w+−⁺⁻*/(). -]{2,12}")
_VARIABLES, _BASE = "ijknpqxyzT", re.compile(r"\d|[\])]|[^\w]?[^\W\d_]|\d[^\W\d_]|.\d", re.DOTALL)


def fraction(numerator: str, sign: str, denominator: str, before: str) -> str | None:
    """`3<sup>1</sup>/<sub>2</sub>` is 3 1/2; None where it is no fraction.

    Args:
        numerator: what is set above the line, as `raised` writes it.
        sign: what stands between.
        denominator: what is set below the line.
        before: what stands before.
    """
    if sign not in ("/", "⁄") or not denominator.isdecimal() or not numerator:
        return None
    if not all(digit in _RAISED_DIGITS for digit in numerator):
        return None
    return f"{' ' if before[-1:].isdecimal() else ''}{numerator.translate(_FALL)}/{denominator}"


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
