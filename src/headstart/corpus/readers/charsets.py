"""Bytes as text, as browsers decode them: the labels and the order of the WHATWG Encoding Standard.

Order: a byte order mark; what the transport says; what the document says of itself; UTF-8 where the bytes are
that; a guess. One thing differs from browsers, for a crawl is full of servers with a wrong default header:
bytes that are valid UTF-8, or are so but for a few, are UTF-8 whatever is declared.
"""

import codecs
import re
from collections.abc import Mapping

from resiliparse.parse.encoding import detect_encoding

from headstart.corpus.readers.big5_charset import MORE, SIGNS
from headstart.corpus.readers.japanese_charsets import decode_euc_jp, decode_iso_2022_jp

MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")

# Python's codec, and the labels that mean it (https://encoding.spec.whatwg.org/#names-and-labels). A legacy
# label means the larger set of characters that is in use under it: latin1 is windows-1252, gb2312 is GB18030.
# The standard gives up hz and iso-2022-kr, with which scripts can be hidden; texts in them can be read.
_LABELS = """
utf-8: unicode-1-1-utf-8 unicode11utf8 unicode20utf8 utf-8 utf8 x-unicode20utf8
cp866: 866 cp866 csibm866 ibm866
iso8859_2: csisolatin2 iso-8859-2 iso-ir-101 iso8859-2 iso88592 iso_8859-2 iso_8859-2:1987 l2 latin2
iso8859_3: csisolatin3 iso-8859-3 iso-ir-109 iso8859-3 iso88593 iso_8859-3 iso_8859-3:1988 l3 latin3
iso8859_4: csisolatin4 iso-8859-4 iso-ir-110 iso8859-4 iso88594 iso_8859-4 iso_8859-4:1988 l4 latin4
iso8859_5: csisolatincyrillic cyrillic iso-8859-5 iso-ir-144 iso8859-5 iso88595 iso_8859-5 iso_8859-5:1988
iso8859_6: arabic asmo-708 csiso88596e csiso88596i csisolatinarabic ecma-114 iso-8859-6 iso-8859-6-e
 iso-8859-6-i iso-ir-127 iso8859-6 iso88596 iso_8859-6 iso_8859-6:1987
iso8859_7: csisolatingreek ecma-118 elot_928 greek greek8 iso-8859-7 iso-ir-126 iso8859-7 iso88597 iso_8859-7
 iso_8859-7:1987 sun_eu_greek
iso8859_8: csiso88598e csisolatinhebrew hebrew iso-8859-8 iso-8859-8-e iso-ir-138 iso8859-8 iso88598
 iso_8859-8 iso_8859-8:1988 visual csiso88598i iso-8859-8-i logical
iso8859_10: csisolatin6 iso-8859-10 iso-ir-157 iso8859-10 iso885910 l6 latin6
iso8859_13: iso-8859-13 iso8859-13 iso885913
iso8859_14: iso-8859-14 iso8859-14 iso885914
iso8859_15: csisolatin9 iso-8859-15 iso8859-15 iso885915 iso_8859-15 l9
iso8859_16: iso-8859-16
koi8_r: cskoi8r koi koi8 koi8-r koi8_r
koi8_u: koi8-ru koi8-u
mac_roman: csmacintosh mac macintosh x-mac-roman
cp874: dos-874 iso-8859-11 iso8859-11 iso885911 tis-620 windows-874
cp1250: cp1250 windows-1250 x-cp1250
cp1251: cp1251 windows-1251 x-cp1251
cp1252: ansi_x3.4-1968 ascii cp1252 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 iso88591
 iso_8859-1 iso_8859-1:1987 l1 latin1 us-ascii windows-1252 x-cp1252 x-user-defined
cp1253: cp1253 windows-1253 x-cp1253
cp1254: cp1254 csisolatin5 iso-8859-9 iso-ir-148 iso8859-9 iso88599 iso_8859-9 iso_8859-9:1989 l5 latin5
 windows-1254 x-cp1254
cp1255: cp1255 windows-1255 x-cp1255
cp1256: cp1256 windows-1256 x-cp1256
cp1257: cp1257 windows-1257 x-cp1257
cp1258: cp1258 windows-1258 x-cp1258
mac_cyrillic: x-mac-cyrillic x-mac-ukrainian
gb18030: chinese csgb2312 csiso58gb231280 gb2312 gb_2312 gb_2312-80 gbk iso-ir-58 x-gbk gb18030
big5hkscs: big5 big5-hkscs cn-big5 csbig5 x-x-big5
euc-jp: cseucpkdfmtjapanese euc-jp x-euc-jp
iso-2022-jp: csiso2022jp iso-2022-jp
cp932: csshiftjis ms932 ms_kanji shift-jis shift_jis sjis windows-31j x-sjis
cp949: cseuckr csksc56011987 euc-kr iso-ir-149 korean ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601
 windows-949
hz: hz-gb-2312
iso2022_kr: csiso2022kr iso-2022-kr
utf-16-be: unicodefffe utf-16be
utf-16-le: csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff utf-16 utf-16le
"""
CODECS = {
    label: codec
    for codec, labels in re.findall(r"^([\w-]+):((?: .*\n)+)", _LABELS, re.MULTILINE)
    for label in labels.split()
}

# What stands before a declaration that is none: comments, and the content of scripts and styles.
_NO_MARKUP = re.compile(
    rb"<!--(?:-?>|.*?-->)|<(script|style|noscript|textarea|title)\b[^>]*>.*?</\1\s*>",
    re.DOTALL | re.IGNORECASE,
)
_META = re.compile(rb"<meta[\s/]([^>]{0,500})>?", re.IGNORECASE)
_ATTRIBUTE = re.compile(rb"([^\s=\"'>/]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))", re.IGNORECASE)
_IN_CONTENT = re.compile(rb"charset\s*=\s*[\"']?\s*([^\s\"';,]+)", re.IGNORECASE)
_XML = re.compile(rb"\s*<\?xml\s[^>]{0,200}?encoding\s*=\s*[\"']([\w.:-]{1,40})[\"']", re.IGNORECASE)
_LOOKED_AT = 4096  # bytes in which a document says its charset; the standard's 1,024 are often too few
_ESCAPES = (b"\x1b$", b"\x1b(J", b"\x1b(I")  # of ISO-2022-JP
_KOREAN = b"\x1b$)C"
# Where Python's codecs differ from the standard's tables.
_AFTERWARDS: dict[str, Mapping[int, int | str]] = {
    "koi8_u": str.maketrans("╝╬", "ўЎ"),
    "big5hkscs": SIGNS,
    "cp932": dict.fromkeys(range(0xF8F0, 0xF8F4), "\ufffd"),
    "gb18030": str.maketrans(  # the edition of 2022
        "\ue5e5\ue78d\ue78e\ue78f\ue790\ue791\ue792\ue793\ue794\ue795\ue796\ue7c7\ue81e\ue826\ue82b\ue82c\ue832\ue843\ue854\ue864",
        "\u3000︐︒︑︓︔︕︖︗︘︙ḿ\u9fb4\u9fb5\u9fb6\u9fb7\u9fb8\u9fb9\u9fba\u9fbb",
    ),
}


def _decode_windows_1255(payload: bytes) -> str:
    return "\u05ba".join(part.decode("cp1255", _ONE_CHARACTER) for part in payload.split(b"\xca"))


_OWN = {"euc-jp": decode_euc_jp, "iso-2022-jp": decode_iso_2022_jp, "cp1255": _decode_windows_1255}
# Of bytes that are UTF-8 but for some: characters of several bytes for each place that is none.
_GOOD_FOR_EACH_BAD = 4
_SEVERAL_BYTES = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_GUESSED_FROM = 1 << 20
# Names of the detector that are no labels; and KOI8-U has more letters and all of KOI8-R's.
_GUESSES = {"cp949": "euc-kr", "euc_jp": "euc-jp", "mac-cyrillic": "x-mac-cyrillic", "koi8-r": "koi8-u"}
# Letters, dashes and quotation marks in Windows' sets; no signs in ISO's.
_C1 = [bytes([byte]) for byte in range(0x80, 0xA0)]
_CAPITALS = [bytes([byte]) for byte in range(0xC0, 0xE0)]  # of Russian in windows-1251
_WITH_C1 = {"iso8859_2": "cp1250", "iso8859_7": "cp1253"}


def codec_of(label: str | None) -> str | None:
    """Python's codec for a label as it stands in a header or a page, or None where nobody knows it."""
    return CODECS.get(label.strip().strip("\"'/;").lower()) if label else None


def decode(payload: bytes, transport: str | None = None) -> tuple[str, bool]:
    """Bytes as text, and whether they are valid UTF-8.

    Args:
        payload: the bytes.
        transport: the charset that a header gives.
    """
    for mark, codec in MARKS:
        if payload.startswith(mark):
            rest = payload[len(mark) :]
            return decode_as(rest, codec), codec == "utf-8" and _as_utf8(rest) is not None
    if not _of_seven_or_sixteen_bits(payload) and (text := _as_utf8(payload)) is not None:
        return text, True
    return decode_as(payload, codec_for(payload, transport)), False


def codec_for(payload: bytes, transport: str | None = None) -> str:
    """The codec of bytes without a mark that are not plainly UTF-8."""
    declared = codec_of(transport) or declared_codec(payload)
    if b"\0" in payload and (wide := _wide(payload, declared)):
        return wide
    if _has_escapes(payload):
        if declared in (None, "iso-2022-jp", "iso2022_kr"):
            return "iso2022_kr" if _KOREAN in payload else "iso-2022-jp"
    elif declared == "hz" and b"~{" in payload:
        return declared
    elif _nearly_utf8(payload):
        return "utf-8"
    if declared == "utf-8" and not _hardly_utf8(payload):
        return declared
    return declared if declared and declared != "utf-8" else _guessed(payload)


def declared_codec(payload: bytes) -> str | None:
    """What a document says of itself: in a meta tag, or in an XML declaration."""
    head = payload[:_LOOKED_AT]
    if (match := _XML.match(head)) and (found := codec_of(match[1].decode("latin-1"))):
        return "utf-8" if found.startswith("utf-16") else found
    head = _NO_MARKUP.sub(b"", head)
    for meta in _META.finditer(head):
        attributes = {
            name.lower(): double or single or bare
            for name, double, single, bare in _ATTRIBUTE.findall(meta[1])
        }
        label = attributes.get(b"charset")
        about = attributes.get(b"http-equiv", b"").strip().lower()
        if label is None and about == b"content-type":
            content = _IN_CONTENT.search(attributes.get(b"content", b""))
            label = content[1] if content else None
        if label and (codec := codec_of(label.decode("latin-1"))):
            # A tag that could be read is in no charset of two bytes a letter.
            return "utf-8" if codec.startswith("utf-16") else codec
    return None


def _of_seven_or_sixteen_bits(payload: bytes) -> bool:
    """Whether bytes may be valid UTF-8 and yet mean something else."""
    return b"\0" in payload or b"~{" in payload or _has_escapes(payload)


def _wide(payload: bytes, declared: str | None) -> str | None:
    """The codec of UTF-16 without a mark: the zero bytes of its ASCII signs stand at every second place."""
    sample = payload[:_LOOKED_AT]
    first, second = sample[::2].count(0), sample[1::2].count(0)
    often = max(1, len(sample) // (64 if declared in ("utf-16-le", "utf-16-be") else 4))
    if max(first, second) <= max(often, 16 * min(first, second)):
        return None
    return "utf-16-le" if first < second else "utf-16-be"


def _has_escapes(payload: bytes) -> bool:
    return b"\x1b" in payload and any(escape in payload for escape in _ESCAPES)


def _as_utf8(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def _nearly_utf8(payload: bytes) -> bool:
    """Whether bytes are UTF-8 but for a few places, as where a crawler cut a page inside a character."""
    good, bad = _good_and_bad(payload)
    return good >= _GOOD_FOR_EACH_BAD * bad


def _hardly_utf8(payload: bytes) -> bool:
    """Whether most of what is no ASCII is not UTF-8."""
    good, bad = _good_and_bad(payload)
    return good < bad


def _good_and_bad(payload: bytes) -> tuple[int, int]:
    """How many characters of several bytes there are as UTF-8, and how many places that are none."""
    bad = payload.decode("utf-8", "replace").count("\ufffd") - payload.count(b"\xef\xbf\xbd")
    return len(_SEVERAL_BYTES.findall(payload)), bad


def _guessed(payload: bytes) -> str:
    """What bytes look like. Those below 128 say nothing, so the sample is of lines with others."""
    if len(payload) > _GUESSED_FROM:
        lines = [line for line in payload[: 8 * _GUESSED_FROM].split(b"\n") if not line.isascii()]
        payload = b"\n".join(lines)[:_GUESSED_FROM]
    label = detect_encoding(payload, html5_compatible=False) or ""
    codec = codec_of(_GUESSES.get(label, label))
    first, second = (sum(map(payload.count, signs)) for signs in (_C1, _CAPITALS))
    if codec == "mac_cyrillic" and second >= first:  # the small letters of both are the same
        return "cp1251"
    if first and codec in _WITH_C1:
        return _WITH_C1[codec]
    return codec if codec and not codec.startswith("utf-") else "cp1252"


def decode_as(payload: bytes, codec: str) -> str:
    """Bytes of a known charset as text; what cannot be read costs itself alone."""
    if codec in _OWN:
        return _OWN[codec](payload)
    text = payload.decode(codec, _ONE_CHARACTER)
    return text.translate(_AFTERWARDS[codec]) if codec in _AFTERWARDS else text


def _one_character(error: UnicodeError) -> tuple[str, int]:
    """Replace what cannot be read, and that alone: a byte of ASCII behind it is a letter of its own.

    Bytes that a charset of one byte a letter leaves open are control characters in the standard.
    """
    assert isinstance(error, UnicodeDecodeError)
    data, start, end = error.object, error.start, error.end
    if error.encoding == "gb18030" and data[start] == 0x80:
        return "€", start + 1  # as GBK has it
    if error.encoding == "big5hkscs" and (character := MORE.get(data[start : start + 2])):
        return character, start + 2
    if error.encoding.startswith(("utf", "gb", "euc", "big5", "cp9", "iso2022", "shift", "hz")):
        ascii_behind = next((at for at in range(start + 1, end) if data[at] < 0x80), end)
        return "\ufffd", max(ascii_behind, start + 1)
    return "".join(chr(byte) if byte < 0xA0 else "\ufffd" for byte in data[start:end]), end


_ONE_CHARACTER = "headstart.one_character"
codecs.register_error(_ONE_CHARACTER, _one_character)
