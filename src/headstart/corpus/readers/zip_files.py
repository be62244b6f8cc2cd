"""Files in a .zip: what an archive holds, and one member's content from its beginning.

`books.zip!/de/faust.txt` is the address of a member. Members are read as a stream.
"""

import bz2
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, BinaryIO

import zstandard

_MARK = ".zip!/"
_CHUNK = 1 << 16
_HEADER, _ENCRYPTED, _ZSTD = 30, 1, 93
_FAULTS = (zipfile.BadZipFile, zlib.error, zstandard.ZstdError, struct.error, EOFError, OSError, ValueError)


def is_zip(path: str) -> bool:
    """Whether a file is an archive, by its name."""
    return path.lower().endswith(".zip")


def member_address(archive: str, member: str) -> str:
    """The address of a member of an archive."""
    return f"{archive}!/{member}"


def split_address(address: str) -> tuple[str, str] | None:
    """The archive and the member that an address names; None where it names no member."""
    at = address.lower().find(_MARK)
    return (address[: at + 4], address[at + len(_MARK) :]) if at >= 0 else None


def members(file: BinaryIO) -> Iterator[tuple[str, int, int]]:
    """Name, unpacked size and CRC-32 of each file in an archive but hidden ones.

    Raises:
        ValueError: it is no archive, or a damaged one.
    """
    try:
        infos = zipfile.ZipFile(file).infolist()
    except _FAULTS as error:
        raise ValueError(f"broken zip: {error}") from None
    for info in infos:
        parts = info.filename.split("/")  # of which `.` and `..` hide nothing
        hidden = any(part.startswith((".", "__MACOSX")) and part.strip(".") for part in parts)
        if not info.is_dir() and not hidden:
            yield info.filename, info.file_size, info.CRC


def chunks(
    archive: str, version: int, member: str, opened: Callable[[str], BinaryIO]
) -> Iterator[bytes | str]:
    """The content of a member in chunks; after a fault, one string that names it.

    Args:
        archive: the address of the archive.
        version: changes with its content.
        member: the name in it.
        opened: opens an address.
    """
    try:
        zipped = _archive(archive, version, opened)
        info = zipped.getinfo(member)
        if info.flag_bits & _ENCRYPTED:
            yield "encrypted"
            return
        if info.compress_type not in _UNPACKERS:
            yield f"zip method {info.compress_type}, which is not read"
            return
        unpacker = _UNPACKERS[info.compress_type]()
        checksum = 0
        for chunk in map(unpacker.decompress, _packed(zipped, info)):
            checksum = zlib.crc32(chunk, checksum)
            if chunk:  # the first one says how the member itself is packed
                yield chunk
        if checksum != info.CRC:
            yield "broken zip: wrong checksum"
    except KeyError:
        yield "missing in the zip"
    except _FAULTS as error:
        yield f"broken zip: {error}"[:200]


def _packed(zipped: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The bytes of a member as they stand in the archive, behind its own header (APPNOTE.TXT, 4.3.7)."""
    file = zipped.fp
    assert file is not None
    file.seek(info.header_offset)
    header = file.read(_HEADER)
    if header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("no header where a member begins")
    name, extra = struct.unpack("<HH", header[26:30])
    at = info.header_offset + _HEADER + name + extra
    end = at + info.compress_size
    while at < end:
        file.seek(at)  # whoever else reads of this archive
        packed = file.read(min(_CHUNK, end - at))
        if not packed:
            raise EOFError("truncated")
        at += len(packed)
        yield packed


@lru_cache(maxsize=2)
def _archive(archive: str, version: int, opened: Callable[[str], BinaryIO]) -> zipfile.ZipFile:
    """An archive whose list of members is read once, however many of them follow."""
    return zipfile.ZipFile(opened(archive))


class _Stored:
    @staticmethod
    def decompress(chunk: bytes) -> bytes:
        return chunk


_UNPACKERS: dict[int, Callable[[], Any]] = {
    zipfile.ZIP_STORED: _Stored,
    zipfile.ZIP_DEFLATED: lambda: zlib.decompressobj(wbits=-15),
    zipfile.ZIP_BZIP2: bz2.BZ2Decompressor,
    _ZSTD: lambda: zstandard.ZstdDecompressor().decompressobj(),
}
