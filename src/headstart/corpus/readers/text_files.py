"""Files that are one document each: HTML, text and Markdown."""

from collections.abc import Iterator

from headstart.corpus.readers.charsets import decode
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
    if failure is None and is_binary(bytes(content[:4096])):
        failure = "binary file"
    if failure is None and not content.strip():
        failure = "empty file"
    if failure:
        yield Skip(source.label, failure)
    else:
        html = source.format == "html"
        yield Raw(decode(bytes(content))[0], source.label, html=html, page=html)


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
