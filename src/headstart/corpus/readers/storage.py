"""Where input lies: local files, and any address that fsspec knows (`s3://`, `hf://`, `https://`, `memory://`).

A remote file is read only because its address was given. Both kinds are opened the same way, and a part of a
large file costs no more than that part.
"""

import bz2
import mmap
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import zstandard
from isal import isal_zlib  # unpacks more than twice as fast as zlib

from headstart.errors import HeadstartError

_CHUNK = 1 << 20
_PACKED_CHUNK = 1 << 16  # gzip unpacks this to 64 MB at the very most
_ZSTD_CHUNK = 1 << 20
BrokenGzip = cast(type[Exception], isal_zlib.error)
PACKINGS = (".gz", ".zst", ".bz2")


def is_remote(address: str) -> bool:
    """Whether an address names something that is not in this machine's file system."""
    return "://" in address


def local_path(address: str) -> str:
    """`file:///a` as the path that it is; every other address as it was given."""
    return address[7:] if address.startswith("file://") else address


def filesystem(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path in it.

    Raises:
        HeadstartError: fsspec, or what it needs for this kind of address, is not installed.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise HeadstartError(f"{address} needs fsspec; install headstart[remote]") from None
    try:
        found: tuple[Any, str] = url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise HeadstartError(f"cannot open {address} ({error}); check the address") from None
    return found


def open_file(address: str) -> BinaryIO:
    """An input file, opened for reading and seeking."""
    if is_remote(address):
        system, path = filesystem(address)
        return cast(BinaryIO, system.open(path, "rb"))
    return Path(address).open("rb")


class Blocks:
    """A seekable file as if it were bytes, of which the blocks last used are kept."""

    def __init__(self, file: BinaryIO, block: int = 1 << 20, keep: int = 8) -> None:
        self._file, self._block, self._keep = file, block, keep
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._size = file.seek(0, 2)

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, where: slice) -> bytes:
        start, stop, _ = where.indices(self._size)
        if start >= stop:
            return b""
        first, last = start // self._block, (stop - 1) // self._block
        content = b"".join(map(self._read, range(first, last + 1)))
        return content[start - first * self._block : stop - first * self._block]

    def find(self, wanted: bytes, start: int = 0, stop: int | None = None) -> int:
        """Like `bytes.find`."""
        stop = self._size if stop is None else min(stop, self._size)
        while start < stop:
            behind = min(stop, (start // self._block + 1) * self._block + len(wanted) - 1)
            if (at := self[start:behind].find(wanted)) >= 0:
                return start + at
            start = behind - len(wanted) + 1 if behind < stop else stop
        return -1

    def _read(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
        else:
            self._file.seek(number * self._block)
            self._blocks[number] = self._file.read(self._block)
            if len(self._blocks) > self._keep:
                self._blocks.popitem(last=False)
        return self._blocks[number]


Content = bytes | mmap.mmap | Blocks


@contextmanager
def mapped(address: str) -> Iterator[Content]:
    """A file that is not empty as bytes of which only what is looked at is read."""
    with open_file(address) as file:
        if is_remote(address):
            yield Blocks(file)
        else:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                yield content


def unpacked(address: str) -> Iterator[bytes | str]:
    """The content of a plain, gzip, zstd or bzip2 file in chunks; after a fault, one string that names it."""
    name = address.lower()
    with open_file(address) as file:
        if name.endswith(".zst"):
            try:
                with zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
                    while chunk := stream.read(_ZSTD_CHUNK):
                        yield chunk
            except zstandard.ZstdError:
                yield "broken zstd"
        elif name.endswith(".gz"):
            yield from _gunzipped(iter(lambda: file.read(_PACKED_CHUNK), b""))
        elif name.endswith(".bz2"):
            try:
                with bz2.open(file) as stream:
                    while chunk := stream.read(_CHUNK):
                        yield chunk
            except (OSError, EOFError):
                yield "broken bzip2"
        else:
            yield from iter(lambda: file.read(_CHUNK), b"")


def _gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes | str]:
    """All members of a gzip stream; `gzip` would lose what precedes a fault."""
    unpacker = isal_zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            packed = chunk
            while packed:
                yield unpacker.decompress(packed)
                if not (unpacker.eof and (packed := unpacker.unused_data.lstrip(b"\0"))):
                    break
                unpacker = isal_zlib.decompressobj(wbits=31)
    except BrokenGzip:
        yield "broken gzip"
        return
    if not unpacker.eof:
        yield "truncated gzip"


def numbered_lines(address: str, longest: int) -> Iterator[tuple[int, bytes | str]]:
    """Numbered lines of a file; a string in place of a line names what is wrong there."""
    number, rest = 0, bytearray()
    too_long = False
    for chunk in unpacked(address):
        if isinstance(chunk, str):
            if rest and not too_long:
                yield number + 1, bytes(rest)
            yield number + 1, chunk
            return
        *complete, last = chunk.split(b"\n")
        for line in complete:
            number += 1
            yield number, "line too long" if too_long else bytes(rest) + line if rest else line
            rest, too_long = bytearray(), False
        rest += last
        if len(rest) > longest:
            rest, too_long = bytearray(), True
    if rest or too_long:
        yield number + 1, "line too long" if too_long else bytes(rest)
