"""Numbers as a page shows them: few digits, a unit, and a dash for what is not known."""

import math
from typing import TypeGuard

MISSING = "–"
TINY = 1e-5  # below, leading zeros would have to be counted
_PREFIXES = ((1e12, "T", "T"), (1e9, "B", "G"), (1e6, "M", "M"), (1e3, "k", "k"))
_LONG = ((31_557_600, "years"), (86_400, "days"))
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def known(value: object) -> TypeGuard[float]:
    """Whether `value` is a number that can be shown: None, NaN and infinity are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def exact(value: float | None) -> str:
    """A count in full: `12,345`."""
    return f"{value:,}".replace("-", "−") if known(value) else MISSING


def significant(value: float | None, digits: int = 3) -> str:
    """`value` with so many significant digits: `3.10`, `12,900`; with an exponent only below 0.00001."""
    if not known(value):
        return MISSING
    if value == 0:
        return "0"
    if abs(value) < TINY:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(power)}".replace("-", "−")
    decimals = digits - 1 - math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    return f"{round(value, decimals):,.{max(decimals, 0)}f}".replace("-", "−")


def short(value: float | None) -> str:
    """Three significant digits without trailing zeros, as for ticks: `3.1`."""
    text = significant(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def amount(value: float | None, unit: str = "") -> str:
    """Three significant digits with a prefix: a count as the field writes it (`1.23M`, `70.6B`, `1.00e+21`),
    a quantity with its unit as physics does (`1.23 GB`). Whole counts below 10,000 are exact."""
    if not known(value):
        return MISSING
    if not unit and value == int(value) and abs(value) < 10_000:
        return f"{int(value):,}".replace("-", "−")
    if not unit and abs(value) >= 1e15:
        return f"{value:.2e}".replace("-", "−")
    for scale, count, quantity in _PREFIXES:
        if abs(float(f"{value:.3g}")) >= scale:
            return f"{short(value / scale)} {quantity}{unit}" if unit else f"{short(value / scale)}{count}"
    return f"{short(value)} {unit}".rstrip()


def size(value: float | None) -> str:
    """Bytes: `12.3 MB`, with 1 MB = 1,000,000 bytes."""
    return amount(value, "B")


def percent(part: float, whole: float) -> str:
    """A share with two significant digits: `12 %`."""
    return f"{significant(100 * part / whole, 2)} %" if whole else MISSING


def power(value: float | None) -> str:
    """Three significant digits times a power of ten: `1.23 × 10¹⁵`, `10²⁴`."""
    if not known(value):
        return MISSING
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.2e}".split("e")
    raised = f"10{str(int(exponent)).translate(_SUPERSCRIPTS)}"
    digits = mantissa.rstrip("0").rstrip(".")
    return raised if digits == "1" else f"{digits} × {raised}".replace("-", "−")


def duration(seconds: float | None) -> str:
    """`0.42 s`, `9.2 s`, `4 min 12 s`, `1 h 3 min`, `54.2 days`, `2.1 years`."""
    if not known(seconds):
        return MISSING
    if seconds < 59.5:
        return f"{short(seconds)} s"
    for unit, name in _LONG:
        if seconds >= 2 * unit:
            return f"{short(seconds / unit)} {name}"
    large, small, units = *divmod(round(seconds), 60), ("min", "s")
    if large >= 60:
        large, small, units = *divmod(round(seconds / 60), 60), ("h", "min")
    return f"{large} {units[0]} {small} {units[1]}" if small else f"{large} {units[0]}"
