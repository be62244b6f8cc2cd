"""Text from elsewhere is shown and never obeyed."""

import io
import re

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
