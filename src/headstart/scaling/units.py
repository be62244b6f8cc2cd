"""Quantities as people write them: `1e21`, `15T`, `70B`, `30 days`, `64xH100`. `page.numbers` prints them."""

import re

from headstart.errors import HeadstartError

PREFIXES = {"": 1.0, "k": 1e3, "K": 1e3, "m": 1e6, "M": 1e6, "b": 1e9, "B": 1e9, "g": 1e9, "G": 1e9}
PREFIXES |= {"t": 1e12, "T": 1e12, "p": 1e15, "P": 1e15, "E": 1e18, "Z": 1e21, "Y": 1e24}
WORDS = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "bn": 1e9, "trillion": 1e12}
WORDS |= {"kilo": 1e3, "mega": 1e6, "giga": 1e9, "tera": 1e12, "peta": 1e15, "exa": 1e18, "zetta": 1e21}
NAMES = {
    "tokens": ("tokens", "token"),
    "parameters": ("parameters", "parameter", "params"),
    "bytes": ("bytes", "byte", "B"),
    "FLOPs": ("FLOPs", "FLOP"),
    "FLOP/s": ("FLOPs/s", "FLOP/s", "FLOPS", "FLOP", "F"),
    "nats a token": ("nats a token", "nats per token", "nats/token", "nats"),
}
"""How a unit is called behind its prefix."""
DAY = 86_400
SECONDS = {"s": 1, "sec": 1, "second": 1, "min": 60, "minute": 60, "h": 3600, "hr": 3600, "hour": 3600}
SECONDS |= {"d": DAY, "day": DAY, "w": 604_800, "week": 604_800, "month": 2_629_800, "year": 31_557_600}
PETAFLOP_DAY = 1e15 * DAY
WHOLE = ("tokens", "parameters")
"""Of these a part is a slip, as in 1.500 for 1,500."""

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

_NUMBER = r"[+-]?[\d.](?:[\d.,_'’\s]*[\d.])?(?:[eE][+-]?\d+)?"
_QUANTITY = re.compile(rf"({_NUMBER})\s*([A-Za-z/_ -]*)$")
_SPAN = re.compile(rf"({_NUMBER})\s*([A-Za-z]+)\s*(?:(?:,|and\b)\s*)?")
_PARTED = re.compile(
    r"([+-]?)(\d*|\d+(?:_\d+)*|\d{1,3}(?:([,'’\s])\d{3})(?:\3\d{3})*)((?:\.\d*)?(?:[eE][+-]?\d+)?)"
)
"""Sign, whole part, what parts its thousands, and the rest of a number."""
_DEVICES = re.compile(
    r"(?:(\d[\d_,'’\s]*?)\s*(?:[xX*×]\s*|\s))?([A-Za-z].*?)(?:(?:(?<=\d)\s*[x*×]|:)\s*(\d+))?"
)


def read_quantity(text: str | float, what: str) -> float:
    """A positive number with an optional prefix (`70B`, `15T tokens`, `7 billion`, `80GB`, `10 PF-days`).

    Args:
        what: one of `LIMITS`: what is counted, which says how large it may sensibly be.

    Raises:
        HeadstartError: no number, an unknown unit, or a size that nothing has.
    """
    written = str(text).strip()
    value, number, scale = _read(written, what)
    if what in WHOLE and scale == 1 and re.fullmatch(r"[^eE]*\.[^eE]*", number):
        raise HeadstartError(
            f"{written!r} has decimals, and {what} are whole; write 1,500 or 1500 for thousands, 1.5B for "
            "billions"
        )
    return _within(value, written, what)


def read_figure(text: str, what: str) -> float:
    """What stands in a cell of a table, of any size and with decimals: `70M`, `1,500`, `123456.7`.

    Raises:
        HeadstartError: no number, or an unknown unit.
    """
    return _read(text.strip(), what)[0]


def _read(written: str, what: str) -> tuple[float, str, float]:
    """The value, its number as written, and what its unit multiplies by."""
    match = _QUANTITY.match(written)
    scale = _scale(match[2].strip(), what) if match else 0.0
    if match is None or not scale:
        raise HeadstartError(f"{written!r} is no number of {what}; write it as in {EXAMPLES[what]}")
    return _number(match[1], written) * scale, match[1], scale


def _scale(unit: str, what: str) -> float:
    """What a unit multiplies by; 0 for one that makes no sense here."""
    rate = (
        re.fullmatch(r"(.*)F(?:LOPs?)?(?:/s)?[-_ ]?days?", unit, re.IGNORECASE) if what == "FLOPs" else None
    )
    if rate:  # 10 PF-days, 10 petaflop/s-days
        return _prefix(rate[1]) * DAY
    for name in NAMES.get(what, ()):
        if unit.lower().endswith(name.lower()):
            unit = unit[: -len(name)].strip()
            break
    if what == "bytes" and re.fullmatch("[kmgtpe]i", unit, re.IGNORECASE):  # 80GiB
        return 1024.0 ** ("kmgtpe".index(unit[0].lower()) + 1)
    return _prefix(unit)


def _prefix(text: str) -> float:
    """What stands before a unit, as a sign or as a word; 0 for neither."""
    return PREFIXES.get(text) or WORDS.get(text.lower(), 0.0)


def read_duration(text: str) -> float:
    """Seconds in `30 days`, `10 min`, `1h 30min`."""
    written = text.strip()
    total, place = 0.0, 0
    while place < len(written):
        match = _SPAN.match(written, place)
        unit = match[2].lower() if match else ""
        each = SECONDS.get(unit) or SECONDS.get(unit.removesuffix("s"))
        if match is None or each is None:
            doubt = ", with min for minutes and months for months" if unit == "m" else ""
            raise HeadstartError(
                f"{written!r} is no length of time; write it as in `30 days`, `12h` or `1h 30min`{doubt}"
            )
        total, place = total + _number(match[1], written) * each, match.end()
    return _within(total, written, "seconds")


def is_duration(text: str) -> bool:
    """Whether it is meant as a length of time: it ends in a unit of time."""
    match = re.search(r"([A-Za-z]+)\s*$", text)
    unit = match[1].lower() if match else ""
    return unit in SECONDS or unit.removesuffix("s") in SECONDS


def read_devices(text: str) -> tuple[int, str]:
    """How many of which kind: `64xH100` and `H100:64` are (64, "H100"), `H100` is (1, "H100")."""
    match = _DEVICES.fullmatch(text.strip())
    if match is None or (match[1] and match[3]):
        raise HeadstartError(f"{text!r} names no hardware; write it as in 64xH100 or 1xA100")
    count = _within(_number(match[1] or match[3] or "1", text), text, "devices")
    return int(count), match[2].strip()


def _number(text: str, written: str) -> float:
    """The number in a text, whose thousands may be parted: 1,500 or 1 500 or 1'500, as in all of it alike."""
    match = _PARTED.fullmatch(text)
    if match is None:
        raise HeadstartError(
            f"{written!r} has a comma, space or full stop that parts no thousands; write 1.5 with a full "
            "stop, and 1,500 or 1500"
        )
    sign, whole, _, rest = match.groups()
    return float(sign + re.sub(r"\D", "", whole) + rest)


def _within(value: float, written: str, what: str) -> float:
    low, high = LIMITS[what]
    if not low <= value <= high:
        side = "at least" if value < low else "at most"
        bound = low if value < low else high
        example = f"; write it as in {EXAMPLES[what]}" if what in EXAMPLES else ""
        raise HeadstartError(
            f"{written!r} is no possible number of {what}: it has to be {side} {bound:g}{example}"
        )
    return value
