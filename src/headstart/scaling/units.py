"""Quantities as people write them: `1e21`, `15T`, `70B`, `30 days`, `64xH100`. `page.numbers` prints them."""

import re

from headstart.errors import HeadstartError

PREFIXES = {"": 1.0, "k": 1e3, "K": 1e3, "m": 1e6, "M": 1e6, "b": 1e9, "B": 1e9, "g": 1e9, "G": 1e9}
PREFIXES |= {"t": 1e12, "T": 1e12, "p": 1e15, "P": 1e15, "E": 1e18, "Z": 1e21}
SECONDS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hr": 3600, "hour": 3600}
SECONDS |= {"d": 86_400, "day": 86_400, "w": 604_800, "week": 604_800, "month": 2_629_800, "year": 31_557_600}
PETAFLOP_DAY = 1e15 * 86_400

# Beyond these a number is a slip of the pen: no model, corpus or machine comes near.
LIMITS = {
    "parameters": (1.0, 1e16),
    "tokens": (1.0, 1e18),
    "FLOPs": (1.0, 1e33),
    "FLOP/s": (1e6, 1e21),
    "bytes": (1e3, 1e18),
    "devices": (1.0, 1e7),
    "seconds": (0.1, 1e11),
    "nats a token": (1e-3, 25.0),
}
EXAMPLES = {
    "parameters": "70B or 1.1e9",
    "tokens": "15T or 2e12",
    "FLOPs": "1e21 or 3.8e25",
    "FLOP/s": "989T or 2e11",
    "bytes": "80GB",
    "devices": "64",
    "nats a token": "2.1",
}

_NUMBER = r"[+-]?(?:\d[\d_,]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_QUANTITY = re.compile(rf"({_NUMBER})\s*([A-Za-z/_ -]*)$")
_SPAN = re.compile(rf"({_NUMBER})\s*([A-Za-z]+)\s*")


def read_quantity(text: str | float, what: str) -> float:
    """A positive number with an optional prefix (`70B`, `15T tokens`, `80GB`, `10 PF-days`).

    Args:
        what: one of `LIMITS`: what is counted, which says how large it may sensibly be.

    Raises:
        HeadstartError: no number, an unknown unit, or a size that nothing has.
    """
    written = str(text).strip()
    match = _QUANTITY.match(written)
    scale = _scale(match[2].strip(), what) if match else 0.0
    if match is None or not scale:
        raise HeadstartError(f"{written!r} is no number of {what}; write it as in {EXAMPLES[what]}")
    return _within(_number(match[1], written) * scale, written, what)


def _scale(unit: str, what: str) -> float:
    """What a unit multiplies by; 0 for one that makes no sense here."""
    if what == "FLOPs" and re.fullmatch(r"PF[-_]?days?", unit, re.IGNORECASE):
        return PETAFLOP_DAY
    suffixes = {"bytes": ("B", "bytes"), "FLOPs": ("FLOP", "FLOPs", "FLOPS"), "FLOP/s": ("FLOP/s", "FLOPS")}
    for suffix in (*suffixes.get(what, ()), what, what.removesuffix("s")):
        if unit not in PREFIXES and unit.lower().endswith(suffix.lower()):
            unit = unit[: -len(suffix)].strip()
            break
    if what == "bytes" and unit.endswith("i"):  # 80GiB
        return 1024.0 ** ("kmgtpe".find(unit[0].lower()) + 1)
    if what == "bytes" and unit == "B":
        return 1.0
    return PREFIXES.get(unit, 0.0)


def read_duration(text: str) -> float:
    """Seconds in `30 days`, `10 min`, `1h 30min`."""
    written = text.strip()
    total, place = 0.0, 0
    while place < len(written):
        match = _SPAN.match(written, place)
        unit = match[2].lower() if match else ""
        each = SECONDS.get(unit) or SECONDS.get(unit.removesuffix("s"))
        if match is None or each is None:
            raise HeadstartError(
                f"{written!r} is no length of time; write it as in `30 days`, `12h` or `1h 30min`"
            )
        total, place = total + _number(match[1], written) * each, match.end()
    return _within(total, written, "seconds")


def is_duration(text: str) -> bool:
    """Whether it is meant as a length of time: it ends in a unit of time."""
    match = re.search(r"([A-Za-z]+)\s*$", text)
    unit = match[1].lower() if match else ""
    return unit in SECONDS or unit.removesuffix("s") in SECONDS


def read_devices(text: str) -> tuple[int, str]:
    """How many of which kind: `64xH100` is (64, "H100"), `H100` is (1, "H100")."""
    match = re.fullmatch(r"(?:([\d_,]+)\s*(?:[xX*×]\s*|\s))?([A-Za-z].*)", text.strip())
    if match is None:
        raise HeadstartError(f"{text!r} names no hardware; write it as in 64xH100 or 1xA100")
    count = _within(_number(match[1] or "1", text), text, "devices")
    return int(count), match[2].strip()


def _number(text: str, written: str) -> float:
    """The number in a text; a comma stands before three digits, as in 1,500, and nowhere else."""
    whole = re.split(r"[.eE]", text, maxsplit=1)[0].lstrip("+-")
    if "," in text and not re.fullmatch(r"\d{1,3}(?:,\d{3})+", whole):
        raise HeadstartError(
            f"{written!r} has a comma that parts no thousands; write 1.5 with a full stop, and 1,500 or 1500"
        )
    return float(text.replace("_", "").replace(",", ""))


def _within(value: float, written: str, what: str) -> float:
    low, high = LIMITS[what]
    if not low <= value <= high:
        side = "at least" if value < low else "at most"
        bound = low if value < low else high
        raise HeadstartError(f"{written!r} is no possible number of {what}: it has to be {side} {bound:g}")
    return value
