"""The values of a JSON text one after another, however large it is: the elements of a list, or values that
follow each other without one. A damaged value costs itself alone if its brackets tell where it ends."""

import re
from collections.abc import Iterable, Iterator

# A string, whole or up to the end of what is there; a bracket; what parts values; a run of anything else.
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+(")?|[{\[]|[}\]]|[\s,\x1e]++|[^"{}\[\]\s,\x1e]++', re.DOTALL)
_OPEN, _CLOSE, _QUOTE = b"{[", b"}]", 0x22
_APART = b" \t\r\n,\x1e"  # also the sign that RFC 7464 puts before each value
_MARK = b"\xef\xbb\xbf"


def values_in(chunks: Iterable[bytes | str], longest: int) -> Iterator[bytes | str]:
    """The bytes of each value; a string in place of one names what is wrong there.

    Args:
        chunks: the text in UTF-8; a string in place of a chunk names a fault, behind which there is nothing.
        longest: bytes that a value may have.
    """
    cutter = _Cutter(longest)
    fault: str | None = None
    for chunk in chunks:
        if isinstance(chunk, str):
            fault = chunk
            break
        yield from cutter.take(chunk)
    yield from cutter.rest()
    if fault:
        yield fault


class _Cutter:
    """Cuts a text into values as it comes.

    A list that opens the text is no value but what holds them, so its own signs are passed over.
    """

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._held = b""  # what is not looked at yet, or belongs to an open value
        self._at = 0  # up to where it was looked at
        self._depth = 0
        self._begun = False
        self._in_list = False  # whether the list that opens the text has no end so far
        self._too_long = False

    def take(self, chunk: bytes) -> Iterator[bytes | str]:
        self._held += chunk
        if not self._begun:
            start = self._held.removeprefix(_MARK).lstrip(_APART)
            self._begun = bool(start)
            self._in_list = start.startswith(b"[")
            self._held = start[1:] if self._in_list else start
        yield from self._cut(last=False)
        if len(self._held) > self._longest:
            # Of a value that is too long only its brackets are followed.
            self._too_long = True
            self._held, self._at = self._held[self._at :], 0
            if len(self._held) > self._longest:  # all of it within one string
                self._held = b'"'

    def rest(self) -> Iterator[bytes | str]:
        """What is left where the text ends."""
        yield from self._cut(last=True)
        if self._too_long or self._held.strip(_APART):
            yield "value too long" if self._too_long else self._held
        elif self._in_list:
            yield "truncated: the list has no end"

    def _cut(self, last: bool) -> Iterator[bytes | str]:
        held, start, at = self._held, 0, self._at
        for match in _TOKEN.finditer(held, at):
            sign, end = held[match.start()], match.end()
            if not last and not self._is_whole(match):
                break  # the rest of it is still to come
            at = end
            if sign in _OPEN:
                self._depth += 1
            elif sign in _CLOSE and self._depth:
                self._depth -= 1
            elif not self._depth and (sign in _APART or sign in _CLOSE):
                start = end  # between values, or the end of the list
                self._in_list = self._in_list and sign not in _CLOSE
                continue
            if not self._depth:
                yield "value too long" if self._too_long else held[start:end]
                self._too_long, start = False, end
        self._held, self._at = held[start:], at - start

    def _is_whole(self, token: re.Match[bytes]) -> bool:
        sign = token.string[token.start()]
        if sign == _QUOTE:
            return token[1] is not None
        return token.end() < len(token.string) or sign in _OPEN + _CLOSE + _APART
