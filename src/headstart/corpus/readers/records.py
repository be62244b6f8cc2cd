"""Raw records: what every reader makes of its input, and what could not be used."""

from dataclasses import dataclass, field
from typing import NamedTuple

from headstart.corpus.readers.charsets import WIDE_MARKS
from headstart.folder import JSONObject

# Of one text, line or web record, in bytes: as characters of four bytes it still fits into a worker's memory.
MAX_TEXT = 64_000_000
FIELDS = ("text", "html", "id", "url", "language", "date", "domain")


@dataclass(slots=True)
class Raw:
    """One decoded record. `page` marks the open web, where the rules for pages hold."""

    text: str
    source: str
    html: bool = False
    page: bool = False
    id: str = ""
    url: str = ""
    domain: str = ""
    language: str = ""
    date: str = ""
    size: int | None = None  # bytes of the text in UTF-8, where the reader knows
    metadata: JSONObject = field(default_factory=dict)


class Skip(NamedTuple):
    """A record that could not be used."""

    source: str
    reason: str


def is_binary(beginning: bytes) -> bool:
    """Whether bytes are no text: zero bytes, unless marked as UTF-16."""
    return b"\0" in beginning[:4096] and not beginning.startswith(WIDE_MARKS)
