"""The fields of a form with a file (RFC 7578), as clients of OpenAI's API send files."""

from dataclasses import dataclass
from email.message import Message
from email.parser import BytesHeaderParser

from headstart.serving.request_error import RequestError

MOST_FIELDS = 16


@dataclass(frozen=True)
class Field:
    """One field of a form."""

    content: bytes
    filename: str | None
    """None: it is no file."""


def read_form(body: bytes, content_type: str) -> dict[str, Field]:
    """The fields by name.

    Raises:
        RequestError: the body is no such form, or a field is there twice.
    """
    kind = Message()
    kind["content-type"] = content_type
    boundary = kind.get_param("boundary")
    if kind.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise RequestError(
            415, "unsupported_media_type", "send a file as multipart/form-data, with a boundary"
        )
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise RequestError(400, "invalid_form", "the form is not whole: its last boundary is missing")
    if len(pieces) - 2 > MOST_FIELDS:
        raise RequestError(
            400, "invalid_form", f"the form has over {MOST_FIELDS} fields; send file and purpose"
        )
    found: dict[str, Field] = {}
    for piece in pieces[1:-1]:
        head, blank, content = piece.partition(b"\r\n\r\n")
        said = BytesHeaderParser().parsebytes(head.lstrip(b"\r\n"))
        name = said.get_param("name", header="content-disposition")
        if not blank or not isinstance(name, str) or name in found:
            raise RequestError(400, "invalid_form", "a field of the form has no name, or the name of another")
        found[name] = Field(content, said.get_filename())
    return found
