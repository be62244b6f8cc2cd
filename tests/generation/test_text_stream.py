"""Text as it is written: whole characters, and nothing of a stop string, however the bytes come in."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from headstart.generation.text_stream import TextStream


def streamed(data: bytes, cuts: list[int], stops: list[str]) -> tuple[list[str], bool]:
    """What comes out for each piece, up to the end or the stop."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    stream, given_out = TextStream(stops), []
    for start, end in pairwise(places):
        given_out.append(stream.push(data[start:end]))
        if stream.stopped:
            break
    return [*given_out, stream.finish()], stream.stopped


def first_to_end(text: str, stops: list[str]) -> str | None:
    """The text before the stop string that is complete first, character by character."""
    for end in range(len(text) + 1):
        begins = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if begins:
            return text[: min(begins)]
    return None


CUTS = st.lists(st.integers(0, 1000), max_size=30)
STOPS = st.lists(st.text("ab<é🙂", min_size=1, max_size=4), max_size=3)


@given(text=st.text(), cuts=CUTS)
@example(text="né🙂\ufffd", cuts=[2, 4, 5, 6, 7, 9])
def test_characters_are_never_torn(text, cuts) -> None:
    text = text.encode(errors="replace").decode()
    pieces, _ = streamed(text.encode(), cuts, [])
    assert "".join(pieces) == text
    so_far = ""
    for piece in pieces:
        so_far += piece
        assert text.startswith(so_far)


@given(text=st.text("ab<é🙂", max_size=30), cuts=CUTS, stops=STOPS)
@example(text="abcab", cuts=[1, 2, 3, 4], stops=["abcabd", "ca"])
@example(text="aaab", cuts=[1, 2, 3], stops=["aab"])
def test_stop_strings_never_leak(text, cuts, stops) -> None:
    pieces, stopped = streamed(text.encode(), cuts, stops)
    before = first_to_end(text, stops)
    assert stopped == (before is not None)
    assert "".join(pieces) == (text if before is None else before)
    assert not any(stop in "".join(pieces) for stop in stops)


@given(data=st.binary(max_size=40), cuts=CUTS)
def test_broken_bytes_become_what_python_makes_of_them(data, cuts) -> None:
    assert "".join(streamed(data, cuts, [])[0]) == data.decode(errors="replace")


@given(text=st.text("ab", min_size=1, max_size=12), stop=st.text("ab", min_size=1, max_size=4))
def test_no_more_is_held_back_than_may_become_a_stop(text, stop) -> None:
    stream, out = TextStream([stop]), ""
    for letter in text:
        out += stream.push(letter.encode())
        if stream.stopped:
            return
    held = text[len(out) :]
    assert stop.startswith(held)
    assert len(held) < len(stop)


def test_nothing_follows_a_stop() -> None:
    stream = TextStream(["!"])
    assert stream.push(b"a!b\xe2") == "a"
    assert stream.finish() == ""


def test_the_blank_that_opens_a_text_goes() -> None:
    stream = TextStream(opens=True)
    assert [stream.push(piece) for piece in (b"", b" The", b" end")] == ["", "The", " end"]
