"""EUC-JP and ISO-2022-JP as the WHATWG Encoding Standard has them.

Both write the rows of JIS X 0208 with the vendors' rows 13 and 89 to 92 (①, ㈱, 髙), which Python's codecs of
these names lack. Shift_JIS has the same rows, so a pair of bytes is read as Shift_JIS (Python's cp932).
"""

import re

import numpy as np

_EUC = re.compile(
    rb"[\x00-\x7f]+|(?:[\xa1-\xfe][\xa1-\xfe])+|(?:\x8e[\xa1-\xdf])+|\x8f[\xa1-\xfe][\xa1-\xfe]|.", re.DOTALL
)
_ESCAPE = re.compile(rb"\x1b(\([BJI]|\$@|\$B|\$\(D)")
_PAIRS = re.compile(rb"(?:[\x21-\x7e][\x21-\x7e])+|.", re.DOTALL)
_ROMAN = str.maketrans("\\~", "¥‾")
_BAD = "\ufffd"


def decode_euc_jp(payload: bytes) -> str:
    """EUC-JP as text; what cannot be read costs itself alone."""
    return "".join(map(_of_euc, _EUC.findall(payload)))


def _of_euc(run: bytes) -> str:
    if run[0] < 0x80:
        return run.decode("ascii")
    if run[0] == 0x8E and len(run) > 1:
        return run.replace(b"\x8e", b"").decode("cp932")  # katakana of half a width
    if run[0] == 0x8F and len(run) > 1:
        return run.decode("euc_jp", "replace")  # JIS X 0212
    return _of_pairs(run) if len(run) > 1 else _BAD


def decode_iso_2022_jp(payload: bytes) -> str:
    """ISO-2022-JP as text, with katakana of half a width and JIS X 0212."""
    pieces = _ESCAPE.split(payload)  # text, the sign of the set that follows, its text, ...
    signs = [b"(B", *pieces[1::2]]
    return "".join(_of_set(sign, text) for sign, text in zip(signs, pieces[::2], strict=True))


def _of_set(sign: bytes, text: bytes) -> str:
    if sign in (b"(B", b"(J"):
        plain = text.decode("ascii", "replace")
        return plain.translate(_ROMAN) if sign == b"(J" else plain
    if sign == b"(I":
        return bytes(byte | 0x80 if 0x21 <= byte <= 0x5F else byte for byte in text).decode(
            "cp932", "replace"
        )
    return "".join(_of_seven_bits(run, sign) for run in _PAIRS.findall(text))


def _of_seven_bits(run: bytes, sign: bytes) -> str:
    """Pairs of seven bits; a line's end among them is one, any other single byte is damage."""
    if len(run) == 1:
        return run.decode() if run in b"\r\n\t " else _BAD
    raised = bytes(byte | 0x80 for byte in run)
    if sign != b"$(D":
        return _of_pairs(raised)
    return "".join(
        (b"\x8f" + raised[at : at + 2]).decode("euc_jp", "replace") for at in range(0, len(run), 2)
    )


def _of_pairs(pairs: bytes) -> str:
    """Pairs of row and cell, each raised by 0xA0, as text."""
    row, cell = (np.frombuffer(pairs, np.uint8).reshape(-1, 2).astype(int) - 0xA1).T
    lead = row // 2 + np.where(row < 62, 0x81, 0xC1)
    trail = cell + np.where(row % 2, 0x9F, np.where(cell < 63, 0x40, 0x41))
    shifted = np.stack((lead, trail), axis=1).astype(np.uint8).tobytes()
    try:
        return shifted.decode("cp932")
    except UnicodeDecodeError:
        return "".join(_of_one(shifted[at : at + 2]) for at in range(0, len(shifted), 2))


def _of_one(pair: bytes) -> str:
    try:
        return pair.decode("cp932")
    except UnicodeDecodeError:
        return _BAD
