"""The fields of a form with a file (RFC 7578), as clients of OpenAI's API send files."""

from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser

from headstart.serving.request_error import RequestError

MOST_FIELDS, LONGEST_HEAD = 16, 4096


@dataclass(frozen=True)
class Field:
    """One field of a form."""

    content: bytes
    filename: str | None
    """None: it is no file."""


def read_form(body: bytes, content_type: str) -> dict[str, Field]:
    """The fields by name.

    Raises:
        RequestError: the body is no such form, a field is there twice, or a file's name is none.
    """
    kind = Message()
    kind["content-type"] = content_type
    boundary = kind.get_param("boundary")
    if kind.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise RequestError(
            415, "unsupported_media_type", "send a file as multipart/form-data, with a boundary"
        )
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode(), MOST_FIELDS + 2)
    if len(pieces) - 2 > MOST_FIELDS:
        raise RequestError(
            400, "invalid_form", f"the form has over {MOST_FIELDS} fields; send file and purpose"
        )
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise RequestError(400, "invalid_form", "the form is not whole: its last boundary is missing")
    found: dict[str, Field] = {}
    for piece in pieces[1:-1]:
        head, blank, content = piece.partition(b"\r\n\r\n")
        said = _headers(head)
        name = said.get_param("name", header="content-disposition")
        if not blank or not isinstance(name, str) or name in found:
            raise RequestError(400, "invalid_form", "a field of the form has no name, or the name of another")
        filename = said.get_filename()
        if filename is not None and not filename.isprintable():  # a lone surrogate is not, either
            raise RequestError(400, "invalid_form", "the name of a file holds signs that cannot be shown")
        found[name] = Field(content, filename)
    return found


def _headers(head: bytes) -> Message:
    """The headers of a field, in UTF-8 as clients write the names of files."""
    if len(head) > LONGEST_HEAD:
        raise RequestError(
            400, "invalid_form", f"the headers of a field are longer than {LONGEST_HEAD:,} bytes"
        )
    try:
        return HeaderParser().parsestr(head.lstrip(b"\r\n").decode())
    except UnicodeDecodeError:
        raise RequestError(400, "invalid_form", "the headers of a field are not UTF-8") from None
