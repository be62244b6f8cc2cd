"""Personal data in texts, replaced by placeholders such as <EMAIL>.

What has a checksum or a registry is checked against it; phone numbers are taken only where their form or the
word before them says so. A number that could as well be a version, a date or a book's number stays.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Literal

Kind = Literal["email", "ip", "phone", "iban", "card"]

_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w](?:[\w.+%'-]{0,62}[\w+-])?@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,24}(?![\w-])"
)
# What may not stand before is said behind the first character, so that the search looks for that one alone.
_IPV4 = re.compile(r"\d(?<![\w.]\d)\d{0,2}(?:\.\d{1,3}){3}(?!\w|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:|:(?=:))[0-9A-Fa-f:]{2,38}(?![\w:])")
# What every address has in it, found much faster than that it begins where no other word does.
_DOTS, _COLONS = re.compile(r"\.\d{1,3}\.\d"), re.compile(r":[0-9A-Fa-f]{0,4}:")
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291
_NUMBERED = re.compile(
    r"\b(?:v|ver|version|release|build|firmware|section|chapter|clause|oid|§)[.:]?\s*$", re.IGNORECASE
)
_NUMBERED_BEFORE = 16  # characters before a number that may name what it counts
_IBAN = re.compile(r"[A-Z](?<![A-Z0-9][A-Z])[A-Z]\d{2}(?: ?[A-Z0-9]){11,28}")
_CARD = re.compile(
    r"\d(?<![\w.,/-]\d)\d{3}(?:([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|([ -])\d{6}\2\d{4,5}|\d{9,15})"
    r"(?!\w|[.,/-]\d)"
)
_PHONES = (
    # with a country's code
    re.compile(
        r"[+0](?<![\w+/][+0])(?<!\d [+0])(?:(?<=\+)|0(?=[1-9]\d{0,2}[ ./(-]))[1-9](?:[ ./()-]{0,3}\d){6,13}"
        r"(?!\w|[.,/-]\d)"
    ),
    # North America
    re.compile(
        r"[(2-9](?<![\w.,/+-][(2-9])(?<!\d [(2-9])(?:(?<=\()[2-9]\d\d\) ?|(?<!\()\d\d([-. ]))[2-9]\d\d"
        r"(?(1)\1|[-. ])\d{4}"
        r"(?!\w|[.,/-]\d)"
    ),
    # after a word that says so
    re.compile(
        r"(?i:\b(?:tel|telefon|telephone|phone|fax|telefax|mobile?|handy|tlf|tél|teléfono)\b[.:]{0,2} ?)"
        r"(?P<number>\(?0?\d(?:[ ./()-]{0,2}\d){5,13})(?!\w|[.,/-]\d)"
    ),
)
_DIGITS = re.compile(r"\d(?:[ .()/-]{0,3}\d){6}")  # what every card and phone number has somewhere
_NUMBER = re.compile(_DIGITS.pattern + r"(?:[ .()/-]{0,3}\d)*")
# Characters of a telephone number, and of what it is told by, that may stand before and behind such a run.
_BEFORE, _BEHIND = 16, 4
_SPACERS = re.compile(r"[ ./()-]")

# Length by country, from the IBAN registry (ISO 13616).
_IBANS = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18
FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20
LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24
SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20
"""
_IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBANS.split()}


def replace(text: str, kinds: Iterable[Kind]) -> tuple[str, Counter[str]]:
    """A text with placeholders for the wanted kinds of personal data, and how many there were of each."""
    counts: Counter[str] = Counter()
    for kind in ("email", "iban", "card", "ip", "phone"):
        if kind in kinds:
            text, count = _REPLACERS[kind](text)
            if count:
                counts[kind] += count
    return text, counts


def _substitute(
    pattern: re.Pattern[str], placeholder: str, is_one: Callable[[re.Match[str]], bool], text: str
) -> tuple[str, int]:
    count = 0

    def put(match: re.Match[str]) -> str:
        nonlocal count
        if not is_one(match):
            return match[0]
        count += 1
        if "number" in match.groupdict():
            return match[0][: match.start("number") - match.start()] + placeholder
        return placeholder

    return pattern.sub(put, text), count


def _emails(text: str) -> tuple[str, int]:
    return _substitute(_EMAIL, "<EMAIL>", lambda match: True, text) if "@" in text else (text, 0)


def _ips(text: str) -> tuple[str, int]:
    count = 0
    if _DOTS.search(text):
        text, count = _substitute(_IPV4, "<IP>", _is_public, text)
    if _COLONS.search(text):
        text, more = _substitute(_IPV6, "<IP>", _is_public, text)
        count += more
    return text, count


def _is_public(match: re.Match[str]) -> bool:
    """Whether it is an address of the public net and not a version's number."""
    try:
        address: IPv4Address | IPv6Address = ip_address(match[0])
    except ValueError:
        return False
    before = match.string[max(match.start() - _NUMBERED_BEFORE, 0) : match.start()]
    public = address.is_global and not address.is_multicast
    return public and (address.version == 4 or address in _GLOBAL_UNICAST) and not _NUMBERED.search(before)


def _ibans(text: str) -> tuple[str, int]:
    pieces, at, count = [], 0, 0
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2])
        if length is None or len(match[0].replace(" ", "")) < length:
            continue
        end = match.start()
        for _ in range(length):
            end = next(place for place in range(end, match.end()) if text[place] != " ") + 1
        whole = text[match.start() : end].replace(" ", "")
        if (end == len(text) or not text[end].isalnum()) and is_iban(whole):
            pieces += [text[at : match.start()], "<IBAN>"]
            at, count = end, count + 1
    return "".join([*pieces, text[at:]]) if count else text, count


def is_iban(text: str) -> bool:
    """Whether the check digits of an IBAN without spaces are right (ISO 7064, mod 97-10)."""
    digits = "".join(str(int(sign, 36)) for sign in text[4:] + text[:4])
    return int(digits) % 97 == 1


def _cards(text: str) -> tuple[str, int]:
    if not _DIGITS.search(text):
        return text, 0
    return _substitute(_CARD, "<CARD>", lambda match: is_card(re.sub("[ -]", "", match[0])), text)


def is_card(digits: str) -> bool:
    """Whether digits are a number that a card's issuer gives out, with the right check digit (Luhn 1960)."""
    first = int(digits[:4])
    known = {
        13: digits[0] == "4",
        14: digits[:2] in ("36", "38") or 3000 <= first <= 3059,
        15: digits[:2] in ("34", "37"),
        16: digits[0] == "4"
        or 51 <= first // 100 <= 55
        or 2221 <= first <= 2720
        or first == 6011
        or 6440 <= first <= 6599
        or first // 100 == 62
        or 3528 <= first <= 3589,
        19: digits[0] == "4" or digits[:2] == "62",
    }
    return known.get(len(digits), False) and luhn(digits)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of those before it."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


def _phones(text: str) -> tuple[str, int]:
    """Looked for around long numbers alone, which is several times faster than in the whole text."""
    places: list[list[int]] = []
    for number in _NUMBER.finditer(text):
        start, end = max(number.start() - _BEFORE, 0), number.end() + _BEHIND
        if places and start <= places[-1][1]:
            places[-1][1] = end
        else:
            places.append([start, end])
    pieces, at, count = [], 0, 0
    for start, end in places:
        piece = text[start:end]
        for pattern in _PHONES:
            piece, more = _substitute(pattern, "<PHONE>", _is_phone, piece)
            count += more
        pieces += [text[at:start], piece]
        at = end
    return "".join([*pieces, text[at:]]) if count else text, count


def _is_phone(match: re.Match[str]) -> bool:
    """Whether there are as many digits as a number has, and it is no round amount such as +20000000."""
    digits = re.sub(r"\D", "", match["number"] if "number" in match.groupdict() else match[0])
    spaced = bool(_SPACERS.search(match[0]))
    return 7 <= len(digits) <= 15 and (spaced or len(digits) >= 10) and "00000" not in digits


_REPLACERS: dict[str, Callable[[str], tuple[str, int]]] = {
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "ip": _ips,
    "phone": _phones,
}
