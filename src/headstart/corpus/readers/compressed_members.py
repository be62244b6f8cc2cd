"""Packed members in a file: gzip members and zstd frames, each with a record or several, found and unpacked.

A member that is damaged costs itself alone: the next one is looked for behind it.
"""

from collections.abc import Iterator
from typing import Any

import zstandard
from isal import isal_zlib

from headstart.corpus.readers.records import MAX_TEXT
from headstart.corpus.readers.storage import BrokenGzip, Content

GZIP, ZSTD = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"
# A frame with the dictionary of all the others (https://iipc.github.io/warc-specifications, "Zstandard").
_DICTIONARY = b"\x5d\x2a\x4d\x18"
_GZIP_CHUNK = 1 << 16
_ZSTD_CHUNK = 1 << 12  # unpacks to 128 MB at the very most
_ZSTD_BLOCK = 1 << 18  # nothing comes out before the first block is whole


class Broken(Exception):
    """A record that cannot be used, and why."""


class Members:
    """The members of one file.

    Args:
        data: the file.
        begins: what the content of a member may begin with.
    """

    def __init__(self, data: Content, begins: tuple[bytes, ...]) -> None:
        self.data, self.begins = data, begins
        self.magic = ZSTD if data[:4] in (ZSTD, _DICTIONARY) else GZIP
        self.name = "zstd" if self.magic == ZSTD else "gzip"
        self._dictionary = _dictionary(data) if data[:4] == _DICTIONARY else None

    def between(self, first: int, last: int) -> Iterator[tuple[int, bytes | Broken]]:
        """Offset and content of the members that start in [first, last)."""
        at = self._next(first) if first or self.data[: len(self.magic)] != self.magic else 0
        while 0 <= at < last:
            try:
                content, end = self._unpack(at)
            except (BrokenGzip, zstandard.ZstdError, Broken) as error:
                yield at, error if isinstance(error, Broken) else Broken(f"broken {self.name}")
                at = self._next(at + 1)
                continue
            yield at, content
            at = end if self.data[end : end + len(self.magic)] == self.magic else self._next(end)

    def _start(self) -> Any:
        if self.magic == GZIP:
            return isal_zlib.decompressobj(wbits=31)
        return zstandard.ZstdDecompressor(dict_data=self._dictionary).decompressobj()

    def _unpack(self, at: int) -> tuple[bytes, int]:
        """One member's content, and where the next member starts."""
        unpacker = self._start()
        step = _GZIP_CHUNK if self.magic == GZIP else _ZSTD_CHUNK
        chunks: list[bytes] = []
        total = 0
        while not unpacker.eof:
            packed = self.data[at : at + step]
            at += len(packed)
            if not packed:
                raise Broken(f"truncated {self.name}")
            chunks.append(unpacker.decompress(packed))
            total += len(chunks[-1])
            if total > MAX_TEXT:
                raise Broken("record too large")
        return b"".join(chunks), at - len(unpacker.unused_data)

    def _next(self, at: int) -> int:
        """The next place where a member starts whose content begins as it should, or -1."""
        while (at := self.data.find(self.magic, at)) >= 0:
            if self._beginning(at).startswith(self.begins):
                return at
            at += 1
        return -1

    def _beginning(self, at: int) -> bytes:
        """The first bytes of the member at `at`; none where there is no member."""
        unpacker = self._start()
        try:
            for place in range(at, at + _ZSTD_BLOCK, _ZSTD_CHUNK):
                if content := unpacker.decompress(self.data[place : place + _ZSTD_CHUNK]):
                    return content[:16]
        except (BrokenGzip, zstandard.ZstdError):
            pass
        return b""


def _dictionary(data: Content) -> zstandard.ZstdCompressionDict | None:
    size = int.from_bytes(data[4:8], "little")
    content = data[8 : 8 + size]
    try:
        if content[:4] == ZSTD:
            content = zstandard.ZstdDecompressor().decompress(content, MAX_TEXT)
        return zstandard.ZstdCompressionDict(content)
    except zstandard.ZstdError:
        return None
