"""Text from elsewhere is shown and never obeyed."""

import io
import json
import os
import pty
import re
import subprocess
import sys

import pytest

from headstart.console import Console, PrintableStream, Table, printable
from headstart.progress import ProgressBar

HOSTILE = "a\x1b]0;title\x07\x1b[31m[/b][red]x\x9b2J\r\u202e:smile:"


def safe(text: str) -> bool:
    return not set(text) & set("\x1b\x07\x9b\r\u202e")


def test_control_characters_are_shown_and_the_rest_stays() -> None:
    assert printable("ä\tb\n\x1b[31m\x7f\u202e") == "ä\tb\n\\x1b[31m\\x7f\\u202e"


def test_console_prints_what_it_is_given() -> None:
    for terminal in (False, True):
        file = io.StringIO()
        console = Console(file=file, force_terminal=terminal, width=200, color_system=None)
        table = Table(title=HOSTILE)
        table.add_column(HOSTILE)
        table.add_row(HOSTILE)
        console.print(table)
        console.print(HOSTILE, style="bold")
        said = file.getvalue()
        assert said.count("[/b][red]x") == 4
        assert ":smile:" in said
        assert safe(said.replace("\x1b[1m", "").replace("\x1b[0m", "").replace("\x1b[3m", ""))


def test_stream() -> None:
    inner = io.StringIO()
    stream = PrintableStream(inner)
    print(HOSTILE, file=stream)
    assert safe(inner.getvalue())
    assert inner.getvalue().endswith(":smile:\n")
    assert stream.isatty() is False


def test_a_bar_shows_labels_and_notes_as_they_are(monkeypatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(
        "headstart.progress.console", Console(file=file, force_terminal=True, width=200, color_system=None)
    )
    with ProgressBar(HOSTILE, 10, "[b]units[/x]") as bar:
        bar.advance(5, HOSTILE)
        bar._progress.refresh()
    assert "[/b][red]x" in file.getvalue()
    assert "\x1b]0;" not in file.getvalue()
    assert "\u202e" not in file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_narrow_terminal_keeps_the_bar_its_per_cent_and_the_time_left(monkeypatch, width) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr("headstart.progress.console", console)
    with ProgressBar("pre-train masked", 8_192_000, "tokens") as bar:
        bar.advance(4_096_000, "loss 6.484 mfu 42 %")
        bar._progress.refresh()
    shown = file.getvalue().split("\r\x1b[2K")[-1].partition("\n")[0]
    assert len(shown) == width
    assert re.match(r"pre-train masked ━{10}╸? +50% (-:--:--|--:--|\d+:\d+) loss", shown)
    assert ("4,096,000 tokens" in shown) == (width == 120)


def test_no_cell_of_a_table_is_cut() -> None:
    file = io.StringIO()
    console = Console(file=file, width=20)
    table = Table("model", "parameters", box=None)
    table.add_row("gpt2-extra-large", "1,557,611,200")
    console.print(table)
    assert "…" not in file.getvalue()
    assert not table.fits(console)
    assert table.fits(Console(file=file, width=80))
    assert re.sub(r"[^\d]", "", file.getvalue()) == "21557611200"


BAR = """
import sys
from headstart.console import guard_streams
guard_streams()
from headstart.progress import ProgressBar
with ProgressBar("count", 2, "steps") as bar:
    bar.advance(1)
    print("a note \\x1b]0;title\\x07 \\x9b2J \\u202e", file=sys.stderr)
    bar.advance(1)
"""


def test_a_bar_on_a_real_terminal_sends_its_codes_and_no_others() -> None:
    """The guard of the streams stands between the bar and the terminal, and a note passes above the bar."""
    ours, theirs = pty.openpty()
    kind = {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    environment = {**os.environ, **kind}
    subprocess.run([sys.executable, "-c", BAR], stderr=theirs, env=environment, check=True, timeout=600)
    os.close(theirs)
    sent = b""
    try:
        while part := os.read(ours, 2**16):
            sent += part
    except OSError:  # the end, on Linux
        pass
    os.close(ours)
    shown = sent.decode()
    assert "\x1b[2K" in shown, "the line of the bar is drawn again"
    assert "\\x1b[" not in shown, "no code of the bar is shown as text"
    assert "count" in shown
    assert "a note" in shown
    assert all(code not in shown for code in ("\x1b]", "\x9b", "\u202e")), "nor any code of the note"


GUARDED = """
import sys
from headstart.console import guard_streams
guard_streams()
print("ü☃\\U0001f600\\udcff", file=getattr(sys, sys.argv[1]))
"""


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_a_stream_cannot_encode_is_escaped_as_in_json(stream) -> None:
    done = subprocess.run(
        [sys.executable, "-c", GUARDED, stream],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    said = (done.stdout + done.stderr).decode("ascii").strip()
    assert said == r"\u00fc\u2603\ud83d\ude00\udcff"
    assert json.loads(f'"{said}"') == "ü☃\U0001f600\udcff"


def test_progress_that_nobody_reads_ends_no_work() -> None:
    lines = """
from headstart.console import guard_streams
import sys
guard_streams()
for _ in range(3):
    print("progress", file=sys.stderr, flush=True)
print("done")
"""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([sys.executable, "-c", lines], stdout=subprocess.PIPE, stderr=writer)
    os.close(writer)
    assert (done.returncode, done.stdout) == (0, b"done\n")
