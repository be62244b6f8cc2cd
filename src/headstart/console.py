"""What people read: text from elsewhere is shown to them and never obeyed.

Texts of a corpus, names of folders and answers of models may hold control characters, with which a text sets
a terminal's title, moves the cursor or hides what was printed, and brackets that rich takes for markup.
"""

import codecs
import errno
import io
import sys
from typing import IO, Any, TextIO, cast

import rich.console
import rich.table
from rich.measure import Measurement
from rich.text import Text

# C0 and C1 control characters but for tabs and line breaks, and those that turn the direction of writing.
_CONTROLS = [*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_SHOWN = {
    code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    for code in _CONTROLS
    if chr(code) not in "\t\n"
}


def printable(text: str) -> str:
    """`text` with its control characters written as escapes; tabs and line breaks stay."""
    return text.translate(_SHOWN)


class Console(rich.console.Console):
    """rich's console for tables and lines: takes no text for markup, and sends no control character of it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **options)

    @property
    def file(self) -> IO[str]:
        """The stream itself. While a bar is shown there are two before it: rich's, which lets lines pass
        above the bar, and `PrintableStream`, which would show the bar's own codes as text."""
        stream: Any = super().file
        while (inner := getattr(stream, "rich_proxied_file", None)) is not None:
            stream = inner
        return cast("IO[str]", stream)

    @file.setter
    def file(self, stream: IO[str]) -> None:
        self._file = stream

    def print(self, *objects: Any, **options: Any) -> None:
        """See rich; a line that is printed while a bar is shown comes as `Text`, and is made printable."""
        super().print(*(_printable_text(one) for one in objects), **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """See rich; every string that is printed passes here, also those in the cells of a table."""
        return super().render_str(printable(text), **options)


def _printable_text(shown: Any) -> Any:
    """A `Text` with its control characters as escapes; anything else as it is."""
    if not isinstance(shown, Text) or shown.plain == printable(shown.plain):
        return shown
    return Text(printable(shown.plain))


class Table(rich.table.Table):
    """rich's table, of which no cell is ever cut: what does not fit goes on in the next line."""

    def add_column(self, *header: Any, **options: Any) -> None:
        """See rich."""
        super().add_column(*header, **({"overflow": "fold"} | options))

    def fits(self, console: Console) -> bool:
        """Whether every cell has a line of its own on `console`."""
        return self.widths(console).maximum <= console.width

    def widths(self, console: Console) -> Measurement:
        """From the width at which words are cut to the one at which every cell has a line of its own."""
        return Measurement.get(console, console.options.update(max_width=10_000), self)


class PrintableStream:
    """A text stream through which control characters are shown and not sent."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream
        """The stream itself, for rich: its own colours are meant, and `Console` sees to the text."""

    def write(self, text: str) -> int:
        self.rich_proxied_file.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def exact_output() -> TextIO:
    """Standard output for what another program may read: as it is, unless it goes to a terminal."""
    stream = sys.stdout
    return stream if stream.isatty() else getattr(stream, "rich_proxied_file", stream)


class _Unread(io.FileIO):
    """A descriptor that takes whatever is written, also when nobody is left to read it."""

    def write(self, content: Any) -> int | None:  # type: ignore[override]
        try:
            return super().write(content)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EPIPE):
                raise
            return memoryview(content).nbytes


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """What a stream cannot encode, as JSON would write it; so that JSON stays JSON."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end


codecs.register_error("headstart.escaped", _escaped)


def guard_streams() -> None:
    """From here on nothing that is printed reaches a terminal raw; what a stream's encoding does not have is
    escaped; and no work ends because nobody sees its progress any more, as when a terminal was closed."""
    stdout, stderr = sys.stdout, sys.stderr
    if isinstance(stdout, io.TextIOWrapper):
        stdout.reconfigure(errors="headstart.escaped")
    if type(stderr) is io.TextIOWrapper:
        raw = io.BufferedWriter(_Unread(stderr.fileno(), "w", closefd=False))
        stderr = io.TextIOWrapper(raw, stderr.encoding, "headstart.escaped", line_buffering=True)
    sys.stdout, sys.stderr = PrintableStream(stdout), PrintableStream(stderr)
