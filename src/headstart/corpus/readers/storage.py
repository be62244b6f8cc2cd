"""Where input lies: local files, and any address that fsspec knows (`s3://`, `hf://`, `https://`, `memory://`).

A remote file is read only because its address was given. Both kinds are opened the same way, and a part of a
large file costs no more than that part.
"""

import bz2
import codecs
import itertools
import lzma
import mmap
import os
import re
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote_to_bytes

import zstandard
from isal import isal_zlib  # unpacks more than twice as fast as zlib

from headstart.corpus.readers import zip_files
from headstart.corpus.readers.charsets import MARKS
from headstart.errors import HeadstartError

_CHUNK = 1 << 20
# So much unpacks to some 100 MB at the very most.
_PACKED_CHUNKS = {"gzip": 1 << 16, "zstd": 1 << 12, "bzip2": 1 << 12, "xz": 1 << 12}
_LARGEST_WINDOW = 1 << 31  # of `zstd --long=31`, as far as a worker's memory allows
_UNPACKERS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: isal_zlib.decompressobj(wbits=31),
    "zstd": lambda: zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj(),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
}
BrokenGzip = cast(type[Exception], isal_zlib.error)
_FAULTS = (BrokenGzip, zstandard.ZstdError, lzma.LZMAError, OSError, EOFError, ValueError)
PACKINGS = (".gz", ".zst", ".bz2", ".xz")
_MAGIC = re.compile(
    rb"(?P<gzip>\x1f\x8b\x08)|(?P<zstd>\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18)|(?P<bzip2>BZh[1-9](?:1AY&SY|\x17rE8P\x90))"
    rb"|(?P<xz>\xfd7zXZ\x00)"
)


def packing_of(beginning: bytes) -> str | None:
    """How a file is packed, by its first bytes, whatever its name: gzip, zstd, bzip2, xz; None: it is not."""
    match = _MAGIC.match(beginning)
    return match.lastgroup if match else None


def is_remote(address: str) -> bool:
    """Whether an address names something that is not in this machine's file system."""
    return "://" in address and not address.startswith("file://")


def absolute(address: str) -> str:
    """An address that means the same whatever folder a process starts in."""
    return address if "://" in address else str(Path(address).resolve())


def printable(name: str) -> str:
    """A name as it can be written, with bytes that are no UTF-8 escaped: `caf\\xe9`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def local_path(address: str) -> str:
    """`file:///a%20b` as the path that it is, `/a b`; every other address as it was given."""
    if not address.startswith("file://"):
        return address
    # A path that was written as an address by hand may hold a percent sign of its own.
    path = address.removeprefix("file://").removeprefix("localhost")
    return path if os.path.lexists(path) else os.fsdecode(unquote_to_bytes(path))


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


def pinned(address: str) -> str:
    """An address on the Hugging Face hub with the commit that its branch stands for now, so that all parts
    of a long run read the same; every other address as it is.

    Raises:
        HeadstartError: there is no such repository or revision, or huggingface_hub is not installed.
    """
    if not address.startswith("hf://"):
        return address
    try:
        from huggingface_hub import HfApi, HfFileSystem

        found: Any = HfFileSystem().resolve_path(address)
        facts = HfApi().repo_info(found.repo_id, repo_type=found.repo_type, revision=found.revision)
    except ImportError:
        raise HeadstartError(f"{address} needs huggingface_hub; install headstart[hub,remote]") from None
    except (OSError, ValueError) as error:
        raise HeadstartError(f"cannot open {address} ({error}); check the address") from None
    place = "datasets/" if found.repo_type == "dataset" else ""
    return f"hf://{place}{found.repo_id}@{facts.sha}/{found.path_in_repo}".rstrip("/")


def open_file(address: str) -> BinaryIO:
    """An input file, opened for reading and seeking.

    Raises:
        OSError: it cannot be read, or is a damaged member of an archive.
    """
    if zip_files.split_address(address):
        return unpacked_file(address)
    if is_remote(address):
        system, path = filesystem(address)
        return cast(BinaryIO, system.open(path, "rb"))
    return Path(local_path(address)).open("rb")


def unpacked_file(address: str) -> BinaryIO:
    """The content of a packed file, or of a member of an archive, as a file that can be sought in.

    Raises:
        OSError: it cannot be read, or is damaged.
    """
    return _copied(unpacked(address))


def stored_member(address: str) -> BinaryIO | None:
    """A member of an archive that is packed itself by gzip or zstd, as it is stored, as a file that can be
    sought in; None where it is not so packed, or the archive is damaged there.
    """
    chunks = _chunks_of_member(*(zip_files.split_address(address) or ("", "")))
    first = next(chunks, b"")
    if not isinstance(first, bytes) or packing_of(first[:16]) not in ("gzip", "zstd"):
        return None
    try:
        return _copied(itertools.chain([first], chunks))
    except OSError:
        return None


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


class Stream:
    """Bytes that come one chunk after another, as if all were there; those long behind are forgotten.

    Args:
        chunks: the content; a string in place of a chunk names a fault, behind which there is nothing.
    """

    def __init__(self, chunks: Iterator[bytes | str]) -> None:
        self._chunks = chunks
        self._held, self._start = bytearray(), 0
        self._whole = False
        self.fault: str | None = None

    def _read_to(self, stop: int) -> None:
        while not self._whole and self._start + len(self._held) < stop:
            chunk = next(self._chunks, None)
            if isinstance(chunk, bytes):
                self._held += chunk
            else:
                self._whole, self.fault = True, chunk

    def holds(self, size: int) -> bool:
        """Whether there are so many bytes."""
        self._read_to(size)
        return self._start + len(self._held) >= size

    def forget(self, before: int) -> None:
        """Nothing before this place will be asked for again."""
        before = min(before, self._start + len(self._held))
        if before - self._start > _CHUNK:
            del self._held[: before - self._start]
            self._start = before

    def __getitem__(self, where: slice) -> bytes:
        self._read_to(where.stop)
        start = where.start - self._start
        with memoryview(self._held) as held:  # a slice of the array itself would be copied twice
            return bytes(held[start : max(where.stop - self._start, start)])

    def find(self, wanted: bytes, start: int, stop: int | None = None) -> int:
        """Like `bytes.find`."""
        while stop is None or start < stop:
            end = min(start + _CHUNK, stop or start + _CHUNK)
            self._read_to(end)
            at = self._held.find(wanted, start - self._start, end - self._start)
            if at >= 0:
                return at + self._start
            if not self.holds(end):
                return -1
            start = max(end - len(wanted) + 1, start + 1)
        return -1


Content = bytes | mmap.mmap | Blocks


def holds(data: Content | Stream, size: int) -> bool:
    """Whether there are so many bytes."""
    return data.holds(size) if isinstance(data, Stream) else len(data) >= size


@contextmanager
def mapped(address: str, opened: BinaryIO | None = None) -> Iterator[Content]:
    """A file that is not empty as bytes of which only what is looked at is read.

    Args:
        address: where it lies.
        opened: a local copy of it.
    """
    with opened or open_file(address) as file:
        if is_remote(address) and not opened:
            yield Blocks(file)
        else:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                yield content


def unpacked(address: str) -> Iterator[bytes | str]:
    """The content of a file, packed or not, in chunks; after a fault, one string that names it."""
    within = zip_files.split_address(address)
    if within:
        yield from _unpacked_member(*within)
        return
    with open_file(address) as file:
        packing = packing_of(file.read(16))
        file.seek(0)
        if packing is None:
            yield from iter(lambda: file.read(_CHUNK), b"")
        else:
            yield from _unpacked(packing, iter(lambda: file.read(_PACKED_CHUNKS[packing]), b""))


def _chunks_of_member(archive: str, member: str) -> Iterator[bytes | str]:
    version = 0 if is_remote(archive) else Path(local_path(archive)).stat().st_mtime_ns
    return zip_files.chunks(archive, version, member, open_file)


def _unpacked_member(archive: str, member: str) -> Iterator[bytes | str]:
    chunks = _chunks_of_member(archive, member)
    first = next(chunks, b"")
    packing = packing_of(first[:16]) if isinstance(first, bytes) else None
    whole = itertools.chain([first], chunks)
    yield from whole if packing is None else _unpacked(packing, _cut_up(whole, _PACKED_CHUNKS[packing]))


def _cut_up(chunks: Iterator[bytes | str], size: int) -> Iterator[bytes | str]:
    for chunk in chunks:
        if isinstance(chunk, str):
            yield chunk
        else:
            yield from (chunk[at : at + size] for at in range(0, len(chunk), size))


def _copied(chunks: Iterator[bytes | str]) -> BinaryIO:
    """A stream as a file that can be sought in, on the disk until it is closed."""
    file = tempfile.TemporaryFile()  # noqa: SIM115
    for chunk in chunks:
        if isinstance(chunk, str):
            file.close()
            raise OSError(chunk)
        file.write(chunk)
    file.seek(0)
    return cast(BinaryIO, file)


def _unpacked(packing: str, chunks: Iterator[bytes] | Iterator[bytes | str]) -> Iterator[bytes | str]:
    """All members of a packed stream; the usual readers would lose what precedes a fault, or follows it."""
    unpacker, fresh = _UNPACKERS[packing](), True
    for chunk in chunks:
        if isinstance(chunk, str):
            yield chunk
            return
        packed = chunk
        while packed:
            try:
                content = unpacker.decompress(packed)
            except _FAULTS as error:
                yield _fault(packing, str(error))
                return
            yield content
            fresh = False
            if not unpacker.eof:
                break
            # Archives on tape are filled up with zeros.
            packed = unpacker.unused_data.lstrip(b"\0")
            unpacker, fresh = _UNPACKERS[packing](), True
    if not fresh:
        yield f"truncated {packing}"


def _fault(packing: str, said: str) -> str:
    """What is wrong with a packed file, by what its unpacker said."""
    if "memory" in said or "Allocation" in said:
        return f"{packing} with a window that is too large for a worker's memory: pack it without --long"
    if "Dictionary" in said:
        return f"{packing} with a dictionary that is not in the file"
    return f"broken {packing}"


def numbered_lines(address: str, longest: int, end: bytes = b"\n") -> Iterator[tuple[int, bytes | str]]:
    """Numbered lines of a file; a string in place of a line names what is wrong there."""
    number, rest = 0, bytearray()
    too_long = False
    for chunk in without_mark(unpacked(address)):
        if isinstance(chunk, str):
            if rest and not too_long:
                yield number + 1, bytes(rest)
            yield number + 1, chunk
            return
        *complete, last = chunk.split(end)
        for line in complete:
            number += 1
            yield number, "line too long" if too_long else bytes(rest) + line if rest else line
            rest, too_long = bytearray(), False
        rest += last
        if len(rest) > longest:
            rest, too_long = bytearray(), True
    if rest or too_long:
        yield number + 1, "line too long" if too_long else bytes(rest)


def without_mark(chunks: Iterator[bytes | str]) -> Iterator[bytes | str]:
    """The same content as UTF-8 where a mark says that it is UTF-8 or UTF-16, else as it is."""
    beginning = b""
    fault: str | None = None
    for chunk in chunks:
        if isinstance(chunk, str):
            fault = chunk
            break
        beginning += chunk
        if len(beginning) >= len(MARKS[0][0]):
            break
    mark, codec = next((one for one in MARKS if beginning.startswith(one[0])), (b"", "utf-8"))
    rest = itertools.chain([beginning[len(mark) :]], [] if fault is None else [fault], chunks)
    if codec == "utf-8":
        yield from rest
        return
    decoder = codecs.getincrementaldecoder(codec)("replace")
    for chunk in rest:
        yield chunk if isinstance(chunk, str) else decoder.decode(chunk).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")
