"""`metrics.jsonl`: one line an event, numbers that only grow, whole after any kill."""

import struct
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboardX.proto.event_pb2 import Event

from headstart.training.metrics import FILE, Cursor, Metrics, follow, read_metrics


def test_events_and_their_numbers(tmp_path) -> None:
    metrics = Metrics(tmp_path, 0)
    for step in range(3):
        metrics.write("step", step, loss=1.0 / (step + 1))
    assert [event["seq"] for event in read_metrics(tmp_path)] == [1, 2, 3], "readable before it is closed"
    metrics.close()
    again = Metrics(tmp_path, 2)
    assert again.seq == 3
    again.write("end", 3)
    again.close()
    events = read_metrics(tmp_path)
    assert [event["seq"] for event in events] == [1, 2, 3, 4]
    assert events[1]["loss"] == 0.5


@pytest.mark.parametrize(
    "torn", [b'{"seq": 4, "kind"', b"{", b'{"seq": 4, "kind": "step", "step": 9}', b"\xff\xfe"]
)
def test_a_torn_line_is_cut_off(tmp_path, torn) -> None:
    metrics = Metrics(tmp_path, 0)
    for step in range(3):
        metrics.write("step", step)
    metrics.close()
    with (tmp_path / FILE).open("ab") as file:
        file.write(torn)
    assert len(read_metrics(tmp_path)) == 3, "a reader passes over it"
    again = Metrics(tmp_path, 2)
    again.write("step", 3)
    again.close()
    assert [event["seq"] for event in read_metrics(tmp_path)] == [1, 2, 3, 4]
    assert len((tmp_path / FILE).read_bytes().splitlines()) == 4


def test_a_file_of_one_torn_line(tmp_path) -> None:
    (tmp_path / FILE).write_bytes(b'{"seq": 1')
    metrics = Metrics(tmp_path, 0)
    assert metrics.seq == 0
    metrics.close()
    assert read_metrics(tmp_path) == []
    assert read_metrics(tmp_path / "none") == []


def test_a_resumed_account_replaces_the_lost_one(tmp_path) -> None:
    metrics = Metrics(tmp_path, 0)
    metrics.write("evaluation", 0, loss=9.0)
    for step in (1, 2, 3):
        metrics.write("step", step, attempt=1)
    metrics.write("resume", 2, after=3)
    metrics.write("step", 3, attempt=2)
    assert [(e["kind"], e["step"]) for e in read_metrics(tmp_path)] == [
        ("evaluation", 0), ("step", 1), ("step", 2), ("resume", 2), ("step", 3),
    ]  # fmt: skip
    assert read_metrics(tmp_path)[-1]["attempt"] == 2
    metrics.write("resume", 0, after=0)
    metrics.write("evaluation", 0, loss=9.0)
    metrics.close()
    assert [(e["kind"], e["step"]) for e in read_metrics(tmp_path)] == [("resume", 0), ("evaluation", 0)]


def board(run) -> list[tuple[str, int, float]]:
    """The scalars in the event files of a run, in the order of their writing."""
    scalars = []
    for path in sorted(run.glob("events.out.tfevents.*")):
        content, at = path.read_bytes(), 0
        while at < len(content):  # length, its checksum, the event, its checksum
            (length,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + length])
            scalars += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            at += 16 + length
    return scalars


def test_tensorboard_reads_the_numbers(tmp_path) -> None:
    metrics = Metrics(tmp_path, 0)
    metrics.write("step", 1, loss=0.5, note="no number")
    metrics.write("evaluation", 2, loss=0.25)
    metrics.close()
    assert board(tmp_path) == [("step/loss", 1, 0.5), ("evaluation/loss", 2, 0.25)]


@pytest.mark.parametrize(
    "broken", [b"\n", b"\0" * 64 + b"\n", b"[]\n", b'{"seq": "x"}\n', b'{"seq": 9}\n', b'{"s\n\n']
)
def test_a_broken_last_line_is_passed_over(tmp_path, broken, capsys) -> None:
    with closing(Metrics(tmp_path, 0, [])) as metrics:
        metrics.write("step", 1, loss=1.0)
    with (tmp_path / FILE).open("ab") as file:
        file.write(broken)
    assert [event["seq"] for event in read_metrics(tmp_path)] == [1]
    with closing(Metrics(tmp_path, 1, [])) as metrics:
        metrics.write("step", 2, loss=0.5)
    assert "bytes that are no event; they are cut off" in capsys.readouterr().err
    assert [event["seq"] for event in read_metrics(tmp_path)] == [1, 2]


def test_a_broken_line_in_the_middle_is_passed_over(tmp_path) -> None:
    with closing(Metrics(tmp_path, 0, [])) as metrics:
        metrics.write("step", 1, loss=1.0)
        with (tmp_path / FILE).open("ab") as file:
            file.write(b"\0\0\n")
        metrics.write("step", 2, loss=0.5)
    assert [event["seq"] for event in read_metrics(tmp_path)] == [1, 2]
    with closing(Metrics(tmp_path, 2, [])) as metrics:
        assert metrics.seq == 2


@given(cuts=st.lists(st.integers(0, 2000), max_size=6).map(sorted))
def test_a_cursor_reads_every_event_once(tmp_path_factory, cuts) -> None:
    """Wherever the file ends when it is looked at, in the middle of a line too."""
    whole, growing = tmp_path_factory.mktemp("whole"), tmp_path_factory.mktemp("growing")
    with closing(Metrics(whole, 0, [])) as metrics:
        for step in range(1, 20):
            metrics.write("step", step, loss=1.0 / step)
        metrics.write("resume", 7, after=7)
    content = (whole / FILE).read_bytes()
    found, cursor = [], Cursor()
    for end in [*cuts, len(content)]:
        (growing / FILE).write_bytes(content[:end])
        events, cursor = follow(growing, cursor)
        found += events
    assert [event["seq"] for event in found] == list(range(1, 21))
    assert cursor == Cursor(len(content), 20)
    assert follow(growing, cursor) == ([], cursor)


def test_a_cursor_of_another_run_begins_anew(tmp_path) -> None:
    assert follow(tmp_path, Cursor(500, 9)) == ([], Cursor())
    with closing(Metrics(tmp_path, 0, [])) as metrics:
        metrics.write("step", 1, loss=1.0)
    events, cursor = follow(tmp_path, Cursor(5000, 90))
    assert [event["seq"] for event in events] == [1]
    assert cursor.seq == 1
