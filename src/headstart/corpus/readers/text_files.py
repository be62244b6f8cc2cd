"""Files that are one document each: HTML, text and Markdown."""

from collections.abc import Iterator

from headstart.corpus.readers.charsets import decode
from headstart.corpus.readers.content_kinds import is_garbled, kind_beside_pages, signed_kind
from headstart.corpus.readers.records import MAX_TEXT, Raw, Skip, is_binary
from headstart.corpus.readers.sources import Source
from headstart.corpus.readers.storage import unpacked
from headstart.errors import HeadstartError


def read_file(source: Source) -> Iterator[Raw | Skip]:
    """The one record of a file."""
    content, failure = bytearray(), None
    for chunk in unpacked(source.address):
        if isinstance(chunk, str):
            failure = chunk
            break
        content += chunk
        if len(content) > MAX_TEXT:
            failure = "file too large for one text"
            break
    whole, html = bytes(content), source.format == "html"
    if failure is None:
        failure = signed_kind(whole) or (kind_beside_pages(whole) if html else None)
    if failure is None and is_binary(whole[:4096]):
        failure = "binary file"
    if failure is None and not whole.strip():
        failure = "empty file"
    text = "" if failure else decode(whole)[0]
    if failure is None and is_garbled(text):
        failure = "binary file"
    yield Skip(source.label, failure) if failure else Raw(text, source.label, html=html, page=html)


def unpacked_text(address: str) -> str:
    """The whole of a plain or packed file as text.

    Raises:
        HeadstartError: it cannot be read or unpacked.
    """
    content = bytearray()
    try:
        for chunk in unpacked(address):
            if isinstance(chunk, str):
                raise HeadstartError(f"{address}: {chunk}; mend it or leave it out")
            content += chunk
    except OSError as error:
        raise HeadstartError(f"cannot read {address} ({error.strerror or error}); check the path") from None
    return decode(bytes(content))[0]
