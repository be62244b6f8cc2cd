"""`control.json`: each command once, garbage never."""

import json

import pytest

from headstart.errors import HeadstartError
from headstart.training.control import ACTIONS, FILE, NUMBERS, next_command, send


def test_each_command_once(tmp_path) -> None:
    assert next_command(tmp_path, 0) is None
    send(tmp_path, "pause")
    assert next_command(tmp_path, 0) == {"seq": 1, "action": "pause"}
    assert next_command(tmp_path, 1) is None
    send(tmp_path, "scale_learning_rate", factor=0.5)
    assert next_command(tmp_path, 1) == {"seq": 2, "action": "scale_learning_rate", "factor": 0.5}
    assert next_command(tmp_path, 2) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\x00",
        b"[]",
        b"null",
        b"7",
        b'{"seq": 9}',
        b'{"seq": "9", "action": "stop"}',
        b'{"seq": 9, "action": "explode"}',
        b'{"seq": 9, "action": ["stop"]}',
        b'{"seq": 9, "action": "scale_learning_rate"}',
        b'{"seq": 9, "action": "scale_learning_rate", "factor": "half"}',
        b'{"seq": 9, "action": "scale_learning_rate", "factor": -1}',
        b'{"seq": 9, "action": "scale_learning_rate", "factor": 0}',
    ],
)
def test_garbage_is_no_command(tmp_path, content) -> None:
    (tmp_path / FILE).write_bytes(content)
    assert next_command(tmp_path, 0) is None


def test_a_folder_in_its_place_is_no_command(tmp_path) -> None:
    (tmp_path / FILE).mkdir()
    assert next_command(tmp_path, 0) is None


def test_bad_commands_are_not_sent(tmp_path) -> None:
    with pytest.raises(HeadstartError, match="did you mean 'pause'"):
        send(tmp_path, "paus")
    with pytest.raises(HeadstartError, match="there is no run folder"):
        send(tmp_path / "none", "pause")
    for values in ({}, {"factor": 0}, {"factor": "x"}, {"factor": float("nan")}):
        with pytest.raises(HeadstartError, match="positive number"):
            send(tmp_path, "scale_learning_rate", **values)
    assert not (tmp_path / FILE).exists()


def test_every_action_is_a_command(tmp_path) -> None:
    for number, action in enumerate(ACTIONS):
        send(tmp_path, action, **({NUMBERS[action]: 2} if action in NUMBERS else {}))
        assert next_command(tmp_path, number)["action"] == action
    sent = json.loads((tmp_path / FILE).read_text())
    assert [command["seq"] for command in sent] == list(range(1, len(ACTIONS) + 1))


def test_commands_that_come_together_are_all_obeyed_in_order(tmp_path) -> None:
    for action in ("pause", "step", "step", "resume"):
        send(tmp_path, action)
    found = [next_command(tmp_path, obeyed) for obeyed in range(5)]
    assert [command and command["action"] for command in found] == ["pause", "step", "step", "resume", None]
    for _ in range(100):
        send(tmp_path, "checkpoint")
    assert len(json.loads((tmp_path / FILE).read_text())) == 64
    assert next_command(tmp_path, 4)["seq"] == 41


@pytest.mark.parametrize("content", [b'{"my": "settings"}', b"mine"])
def test_a_file_of_others_stays(tmp_path, content) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(HeadstartError, match="holds no commands to a run"):
        send(tmp_path, "stop")
    assert (tmp_path / FILE).read_bytes() == content
