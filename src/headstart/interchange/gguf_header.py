"""The header of a GGUF file, checked against the file's size before anything is read by it.

A few bytes of a header can announce an array of 2^63 elements, over which a reader would loop. Here every
length is held against the bytes that are left, so that the time is bounded by the size of the file.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import mmap
import struct
from pathlib import Path

from headstart.errors import HeadstartError

_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value, by its type."""
_STRING, _ARRAY = 8, 9
_DEEPEST, _DIMENSIONS = 4, 4


def check_header(path: Path) -> None:
    """Go through the header once, without keeping anything.

    Raises:
        HeadstartError: no GGUF file, an unknown version or type, or a length beyond the end of the file.
    """
    if path.stat().st_size < 24:
        raise HeadstartError(f"{path} is no GGUF file: it has {path.stat().st_size} bytes; get it again")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        try:
            _Header(content).check()
        except (ValueError, struct.error) as error:
            raise HeadstartError(
                f"{path} is no GGUF file, or a damaged one ({error}); get it again"
            ) from None


class _Header:
    """A place in the file that only moves on."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content, self.place, self.order = content, 0, "<"

    def check(self) -> None:
        if self._bytes(4) != b"GGUF":
            raise ValueError("it does not begin with GGUF")
        version = self._bytes(4)
        self.order = next((order for order in "<>" if struct.unpack(f"{order}I", version)[0] in (2, 3)), "")
        if not self.order:
            raise ValueError("its version is not 2 or 3")
        tensors, pairs = self._number("Q"), self._number("Q")
        self._expect(pairs, 13)
        for _ in range(pairs):
            self._string()
            self._value(self._number("I"), 0)
        self._expect(tensors, 24)
        for _ in range(tensors):
            self._string()
            dimensions = self._number("I")
            if not 1 <= dimensions <= _DIMENSIONS:
                raise ValueError(f"a tensor has {dimensions} dimensions")
            self._bytes(8 * dimensions + 12)

    def _value(self, kind: int, depth: int) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            inner, count = self._number("I"), self._number("Q")
            if depth == _DEEPEST:
                raise ValueError("arrays are nested too deeply")
            if inner in _WIDTHS:
                self._bytes(count * _WIDTHS[inner])
                return
            self._expect(count, 8)
            for _ in range(count):
                self._value(inner, depth + 1)
        elif kind in _WIDTHS:
            self._bytes(_WIDTHS[kind])
        else:
            raise ValueError(f"a value has the type {kind}, which there is not")

    def _string(self) -> None:
        self._bytes(self._number("Q"))

    def _number(self, form: str) -> int:
        form = self.order + form
        (number,) = struct.unpack(form, self._bytes(struct.calcsize(form)))
        return int(number)

    def _bytes(self, count: int) -> bytes:
        """The next bytes; of many, only whether they are there."""
        self._expect(count, 1)
        found = self.content[self.place : self.place + min(count, 8)]
        self.place += count
        return found

    def _expect(self, count: int, width: int) -> None:
        """Whether so many things of at least that width may still come."""
        left = len(self.content) - self.place
        if count * width > left:
            raise ValueError(
                f"it announces {count:,} values of {width} bytes or more, and {left:,} bytes are left"
            )
