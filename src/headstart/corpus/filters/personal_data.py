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
Span = tuple[int, int]

_EMAIL = re.compile(
    r"(?<![\w.+%-])[\w](?:[\w.+%'-]{0,62}[\w+-])?@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+[^\W\d_]{2,24}(?![\w-])"
)
# What may not stand before is said behind the first character, so that the search looks for that one alone.
_IPV4 = re.compile(r"\d(?<![\w.]\d)\d{0,2}(?:\.\d{1,3}){3}(?!\w|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:|:(?=:))[0-9A-Fa-f:]{2,38}(?![\w:])")
# What every address has in it, found much faster than that it begins where no other word does.
_DOTS, _COLONS = re.compile(r"\.\d{1,3}\.\d"), re.compile(r":[0-9A-Fa-f]{0,4}:")
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291
# What stands before a version or a part of a book; and before or behind an address.
_NUMBERED = re.compile(
    r"(?:\b(?:v|ver|versions?|release|build|firmware|sections?|chapter|clause|appendix|annex|article|table|figure"
    r"|fig|tab|eq|abschnitt|kapitel|tabelle|abbildung|oid|kernel|driver|linux)|§{1,2}|version\w*[(=]|[<>~!]=?|==|[^\W\d_][-_/])"
    r"[.:]?\s*[\"'(]{0,2}$",
    re.IGNORECASE,
)
_ADDRESSED = re.compile(
    r"(?:\b(?:ips?|ipv4|addr|address(?:es)?|adresse|hosts?|servers?|dns|nameservers?|resolvers?|ping|peer|client"
    r"|gateway|router|proxy|from|to|at|via|on|by|connect\w*|listen\w*|traceroute|ssh|curl|whois)\b[^\w\n]{0,4}"
    r"|//|@|\[)$",
    re.IGNORECASE,
)
_BEHIND_ADDRESS = re.compile(r":\d{2,5}(?!\d)|/\d{1,2}(?![\d.])|\]| - - ")
_LOW = 64  # numbers of versions are small; an address without one that is not is only told by its neighbours
_NUMBERED_BEFORE = 24  # characters before a number that may name what it counts
# Ends of names that are no domain: files, and attributes in programs.
_NO_DOMAINS = """
png jpg jpeg gif svg webp avif ico bmp tif tiff css html htm xml json yaml yml toml csv tsv txt pdf doc docx
xls xlsx ppt pptx mp3 mp4 wav avi mkv exe dll bin dat log tmp bak zip tar shape dtype mean sum dot size
transpose data value values item items append join inv reshape conj grad numpy length index
"""
# Set apart by signs of their own: numbers are set with spaces and hyphens at which no line may break.
_SAME = dict(
    zip(
        "\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
        "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d\uff0b\uff0e\uff20\uff08\uff09０１２３４５６７８９",
        " " * 15 + "-" * 7 + "+.@()0123456789",
        strict=True,
    )
)
_IBAN = re.compile(r"[A-Z](?<![A-Z0-9][A-Z])[A-Z]\d{2}(?:[ -]?[A-Z0-9]){11,28}")
_SPACES_OF_IBAN = re.compile("[ -]")
_CARD = re.compile(
    r"\d(?<![\w.,/-]\d)\d{3}(?:([ -])\d{4}\1\d{4}\1\d{4}(?:\1\d{3})?|([ -])\d{6}\2\d{4,5}|\d{9,15})"
    r"(?!\w|[.,/-]\d)"
)
# Words before a telephone number, where words are parted and where they are not.
_PARTED = r"""
tel telp tele(?:f|ph)on[eo]? telefonu telefonszám telefax telepon telefoon phone ph fax faks mobil[ei]? mob
mobiltelefon cell handy tlf tfn puh matkapuhelin tél téléphone teléfono celular móvil telemóvel komórka
hotline toll[\s-]free whatsapp sími điện\sthoại đt sđt (?:ruf|telefon|telefoon|fax|mobil|handy)nummer
тел телефон моб мобильный факс тлф τηλ τηλέφωνο κιν κινητό φαξ טלפון טל נייד פקס هاتف تلفن تليفون موبایل
موبايل جوال محمول فاكس فون نمبر ስልክ फोन फ़ोन मोबाइल दूरभाष ফোন মোবাইল தொலைபேசி ტელ მობ հեռ
"""
_UNPARTED = """
电话 電話 手机 手機 联系方式 传真 傳真 携帯 ファックス ＴＥＬ Ｔｅｌ ＦＡＸ 전화 휴대폰 핸드폰 연락처 팩스
โทร(?:ศัพท์)? มือถือ แฟกซ์ ទូរស័ព្ទ ໂທ(?:ລະສັບ)? ဖုန်း ☎ 📞
"""
_WORD = rf"(?:{'|'.join(_PARTED.split())})(?!\w)"
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
        rf"(?i:(?:(?<![\w./@-])(?:{_WORD}|(?:gsm|hp)(?= ?:))|{'|'.join(_UNPARTED.split())})"
        # and what may follow: «/Fax», «(office)», «-Nr.»
        rf"(?: ?[./&+]{{1,2}} ?{_WORD})?(?: ?\([^\d()\n]{{1,20}}\))?"
        r"(?:[ .-]{0,2}(?:\b(?:nr|no|num|number|nummer|numéro|número|kom|stac)\b|番号|号码|번호))?)"
        r"(?i: is| ist| est)?[ .:：–-]{0,4}"
        r"(?P<number>\(?\+?0?\d(?:(?: [/–-] |[ ./()-]{0,2})\d){5,13})(?!\w|[.,/-]\d)"
    ),
    # North America, with the 1 that is dialled first
    re.compile(
        r"1(?<![\w.,/+-]1)(?<!\d 1)([-. ])\(?[2-9]\d\d\)?[-. ]{1,2}[2-9]\d\d[-. ]\d{4}(?!\w|[.,/-]\d)"
    ),
)
_DIGITS = re.compile(r"\d(?:[ .()/–-]{0,3}\d){6}")  # what every card and phone number has somewhere
_NUMBER = re.compile(_DIGITS.pattern + r"(?:[ .()/–-]{0,3}\d)*")
# Characters of a telephone number, and of what it is told by, that may stand before and behind such a run.
_BEFORE, _BEHIND = 32, 4
# As of a place on a map; registries of names write +1.2125550123.
_DECIMAL = re.compile(r"\+\d{1,3}\.\d{4,7}|\+[17]\.(?!\d{10}$)\d+")
_SPACERS = re.compile(r"[ ./()-]")

# Length by country, from the IBAN registry (ISO 13616).
_IBANS = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18
FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20
LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24
SI19 SK24 SM27 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20
"""
_IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBANS.split()}


def replace_personal_data(text: str, kinds: Iterable[Kind]) -> tuple[str, Counter[str]]:
    """A text with placeholders for the wanted kinds of personal data, and how many there were of each."""
    counts: Counter[str] = Counter()
    # Signs that are written otherwise are looked at as if they were plain, each in its place.
    plain = text
    if not text.isascii():
        for sign, same in _SAME.items():  # to look for each costs a tenth of `str.translate`
            plain = plain.replace(sign, same)
    for kind in ("email", "iban", "card", "ip", "phone"):
        if kind in kinds and (spans := _FINDERS[kind](plain)):
            counts[kind] += len(spans)
            unchanged = plain is text
            plain = _put(plain, spans, f"<{kind.upper()}>")
            text = plain if unchanged else _put(text, spans, f"<{kind.upper()}>")
    return text, counts


def _put(text: str, spans: list[Span], placeholder: str) -> str:
    """A text with a placeholder for each of some spans."""
    pieces, at = [], 0
    for start, end in spans:
        pieces += [text[at:start], placeholder]
        at = end
    return "".join([*pieces, text[at:]])


def _matches(pattern: re.Pattern[str], is_one: Callable[[re.Match[str]], bool], text: str) -> list[Span]:
    group = "number" if "number" in pattern.groupindex else 0
    return [match.span(group) for match in pattern.finditer(text) if is_one(match)]


def _apart(spans: list[Span]) -> list[Span]:
    """Spans in order, without those that lie in one before."""
    kept: list[Span] = []
    for start, end in sorted(spans):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


def _emails(text: str) -> list[Span]:
    return _matches(_EMAIL, _is_email, text) if "@" in text else []


def _is_email(match: re.Match[str]) -> bool:
    """Whether it is no file's name such as `icon@2x.png`, no product of two matrices, no user of git."""
    if match[0].startswith("git@") or match.string[max(match.start() - 2, 0) : match.start()] == "//":
        return False
    end = match[0].rpartition(".")[2].lower()
    return end not in _NO_DOMAINS.split() and match.string[match.end() : match.end() + 1] not in ("(", "[")


def _ips(text: str) -> list[Span]:
    found = _matches(_IPV4, _is_public, text) if _DOTS.search(text) else []
    if _COLONS.search(text):
        found += _matches(_IPV6, _is_public, text)
    return _apart(found)


def _is_public(match: re.Match[str]) -> bool:
    """Whether it is an address of the public net and not a version's number."""
    try:
        address: IPv4Address | IPv6Address = ip_address(match[0])
    except ValueError:
        return False
    if not address.is_global or address.is_multicast:
        return False
    before = match.string[max(match.start() - _NUMBERED_BEFORE, 0) : match.start()]
    if _NUMBERED.search(before):
        return False
    if address.version == 6:
        return address in _GLOBAL_UNICAST
    if max(address.packed) >= _LOW:
        return True
    return bool(_ADDRESSED.search(before) or _BEHIND_ADDRESS.match(match.string, match.end()))


def _ibans(text: str) -> list[Span]:
    spans = []
    for match in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(match[0][:2])
        if length is None or len(_SPACES_OF_IBAN.sub("", match[0])) < length:
            continue
        end = match.start()
        for _ in range(length):
            end = next(place for place in range(end, match.end()) if text[place] not in " -") + 1
        whole = _SPACES_OF_IBAN.sub("", text[match.start() : end])
        if (end == len(text) or not text[end].isalnum()) and is_iban(whole):
            spans.append((match.start(), end))
    return spans


def is_iban(text: str) -> bool:
    """Whether the check digits of an IBAN without spaces are right (ISO 7064, mod 97-10)."""
    digits = "".join(str(int(sign, 36)) for sign in text[4:] + text[:4])
    return int(digits) % 97 == 1


def _cards(text: str) -> list[Span]:
    if not _DIGITS.search(text):
        return []
    return _matches(_CARD, lambda match: is_card(re.sub("[ -]", "", match[0])), text)


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


def _phones(text: str) -> list[Span]:
    """Looked for around long numbers alone, which is several times faster than in the whole text."""
    places: list[list[int]] = []
    for number in _NUMBER.finditer(text):
        start, end = max(number.start() - _BEFORE, 0), number.end() + _BEHIND
        if places and start <= places[-1][1]:
            places[-1][1] = end
        else:
            places.append([start, end])
    spans = [
        (start + first, start + last)
        for start, end in places
        for pattern in _PHONES
        for first, last in _matches(pattern, _is_phone, text[start:end])
    ]
    return _apart(spans)


def _is_phone(match: re.Match[str]) -> bool:
    """Whether there are as many digits as a number has, and it is no round amount (+20000000), no decimal."""
    digits = re.sub(r"\D", "", match["number"] if "number" in match.groupdict() else match[0])
    if _DECIMAL.fullmatch(match[0]):
        return False
    spaced = bool(_SPACERS.search(match[0]))
    return 7 <= len(digits) <= 15 and (spaced or len(digits) >= 10) and "00000" not in digits


_FINDERS: dict[str, Callable[[str], list[Span]]] = {
    "email": _emails,
    "iban": _ibans,
    "card": _cards,
    "ip": _ips,
    "phone": _phones,
}
