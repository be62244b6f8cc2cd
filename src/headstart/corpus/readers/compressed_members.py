"""Packed members in a file: gzip members and zstd frames, each with a record or several, found and unpacked.

A member that is damaged costs itself alone: the next one is looked for behind it. A member of any size is
unpacked piece by piece.
"""

import re
from collections.abc import Iterator
from typing import Any

import zstandard
from isal import isal_zlib

from headstart.corpus.readers.records import MAX_TEXT
from headstart.corpus.readers.storage import BrokenGzip, Content, Stream

GZIP, ZSTD = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"
# A frame with the dictionary of all the others (https://iipc.github.io/warc-specifications, "Zstandard").
_DICTIONARY = b"\x5d\x2a\x4d\x18"
# A frame that means nothing to who does not know it, with its size (RFC 8878, section 3.1.2).
_SKIPPED = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18....", re.DOTALL)
_GZIP_CHUNK = 1 << 16
_ZSTD_CHUNK = 1 << 12  # unpacks to 128 MB at the very most
_LOOKED_AT = 1 << 16  # bytes between members
_ZSTD_BLOCK = 1 << 18  # nothing comes out before the first block is whole


class Broken(Exception):
    """A record that cannot be used, and why."""


class _Member:
    """One member that is being unpacked: how much came out of it, and where it ends once that is known."""

    def __init__(self, members: "Members", at: int) -> None:
        self._members, self._at = members, at
        self.size = self.end = 0

    def chunks(self) -> Iterator[bytes | str]:
        data, at = self._members.data, self._at
        unpacker = self._members.start()
        step = _GZIP_CHUNK if self._members.magic == GZIP else _ZSTD_CHUNK
        while not unpacker.eof:
            packed = data[at : at + step]
            at += len(packed)
            if not packed:
                yield f"truncated {self._members.name}"
                return
            try:
                content = unpacker.decompress(packed)
            except (BrokenGzip, zstandard.ZstdError):
                yield f"broken {self._members.name}"
                return
            self.size += len(content)
            yield content
        self.end = at - len(unpacker.unused_data)


class Members:
    """The members of one file.

    Args:
        data: the file.
        begins: what the content of a member may begin with.
    """

    def __init__(self, data: Content, begins: tuple[bytes, ...]) -> None:
        self.data, self.begins = data, begins
        self.magic = ZSTD if data[:4] == ZSTD or _SKIPPED.match(data[:8]) else GZIP
        self.name = "zstd" if self.magic == ZSTD else "gzip"
        self._dictionary, self._first = None, 0
        if data[:4] == _DICTIONARY:
            self._dictionary, self._first = _dictionary(data), 8 + int.from_bytes(data[4:8], "little")

    def between(self, first: int, last: int) -> Iterator[tuple[int, bytes | Stream | Broken]]:
        """Offset and content of the members that start in [first, last), large or damaged ones as a stream.

        What lies between members and is none is a fault, except zeros.
        """
        at = self._next(first) if first else self._first
        while 0 <= at < last:
            if _SKIPPED.match(self.data[at : at + 8]):
                at += 8 + int.from_bytes(self.data[at + 4 : at + 8], "little")
                continue
            if self.data[at : at + len(self.magic)] != self.magic:
                behind = self._next(at)
                gap = self.data[at : at + _LOOKED_AT if behind < 0 else min(behind, at + _LOOKED_AT)]
                if gap.strip(b"\0\r\n"):
                    yield at, Broken(f"not a {self.name} member")
                at = behind
                continue
            member = _Member(self, at)
            stream = Stream(member.chunks())
            if stream.holds(MAX_TEXT) or stream.fault:
                yield at, stream
                while stream.holds(member.size + 1):  # what nobody asked for
                    stream.forget(member.size)
            else:
                yield at, stream[0 : member.size]
            at = self._next(at + 1) if stream.fault else member.end

    def cut(self, most: int) -> bytes | None:
        """What the first member holds if the second one goes on in it, as bgzip and pzstd cut a file.

        Args:
            most: bytes of a first member that is looked at; what cuts a file so makes smaller ones.
        """
        member, content = _Member(self, self._first), bytearray()
        for chunk in member.chunks():
            if isinstance(chunk, str) or len(content) > most:
                return None
            content += chunk
        begins = self._beginning(member.end)
        return None if not begins or begins.startswith(self.begins) else bytes(content)

    def start(self) -> Any:
        """What unpacks a member."""
        if self.magic == GZIP:
            return isal_zlib.decompressobj(wbits=31)
        return zstandard.ZstdDecompressor(dict_data=self._dictionary).decompressobj()

    def _next(self, at: int) -> int:
        """The next place where a member starts whose content begins as it should, or -1."""
        while (at := self.data.find(self.magic, at)) >= 0:
            if self._beginning(at).startswith(self.begins):
                return at
            at += 1
        return -1

    def _beginning(self, at: int) -> bytes:
        """The first bytes of the member at `at`; none where there is no member."""
        unpacker = self.start()
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
