"""Files of requests: answers in their order, and a batch that was stopped goes on where it was."""

import gc
import json
from itertools import count
from pathlib import Path

import pytest
from served_client import SETTINGS

from headstart.errors import HeadstartError
from headstart.serving.app import Application
from headstart.serving.batch_file import answer_batch, batch_settings

REQUESTS = [
    {"custom_id": f"r{number}", "method": "POST", "url": url, "body": body}
    for number, (url, body) in enumerate(
        [
            ("/v1/classify", {"model": "sea", "input": "The captain waits."}),
            ("/v1/completions", {"model": "causal", "prompt": "The", "max_tokens": 5, "temperature": 0}),
            ("/v1/classify", {"model": "nobody", "input": "x"}),
            ("/v1/embeddings", {"model": "sea", "input": ["a", "b"]}),
            ("/v1/nothing", {}),
        ]
        * 3
    )
]


def write(path, requests):
    path.write_text("".join(json.dumps(one) + "\n" for one in requests))


@pytest.fixture
def application(folders):
    """A new one for each call, as each command makes one."""
    return lambda: Application({name: folders[name] for name in ("sea", "causal")}, SETTINGS)


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_request_has_its_answer_in_order(application, client, tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write(source, REQUESTS)
    counts = answer_batch(application(), source, out)
    answers = read(out)
    assert [one["custom_id"] for one in answers] == [one["custom_id"] for one in REQUESTS]
    assert [one["response"]["status_code"] for one in answers] == [200, 200, 404, 200, 404] * 3
    assert (counts.requests, counts.kept, counts.failed) == (15, 0, 6)
    alone = [client.post(asked["url"], asked["body"]).json() for asked in REQUESTS[:5]]
    found = [answer["response"]["body"] for answer in answers[:5]]
    assert found[1]["choices"] == alone[1]["choices"]
    assert found[2]["error"]["code"] == alone[2]["error"]["code"] == "model_not_found"
    for one, other in zip(found[3]["data"], alone[3]["data"], strict=True):
        assert one["embedding"] == pytest.approx(other["embedding"], abs=1e-6)
    assert {path.name for path in tmp_path.iterdir()} == {"in.jsonl", "out.jsonl"}


def test_a_file_that_begins_with_a_byte_order_mark(application, tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = "\r\n\r\n".join(json.dumps(one) for one in REQUESTS[:2])
    source.write_bytes(lines.encode("utf-8-sig"))
    answer_batch(application(), source, out)
    assert [one["response"]["status_code"] for one in read(out)] == [200, 200]


def test_a_batch_that_was_stopped_goes_on(application, tmp_path, monkeypatch):
    source, out, part = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / ".out.jsonl.part"
    write(source, REQUESTS[:6])
    answer_batch(application(), source, out)
    whole = read(out)

    stopping = application()
    ask, asked = stopping.ask, []

    async def stops(route, body):
        if len(asked) == 4:
            raise KeyboardInterrupt
        asked.append(route)
        return await ask(route, body)

    monkeypatch.setattr(stopping, "ask", stops)
    again = tmp_path / "again.jsonl"
    with pytest.raises(KeyboardInterrupt):
        answer_batch(stopping, source, again)
    part = tmp_path / ".again.jsonl.part"
    done = part.read_bytes()
    part.write_bytes(done + b'{"key": "cut in the mid')
    counts = answer_batch(application(), source, again)
    assert counts.kept == len(done.splitlines())
    assert [one["response"]["status_code"] for one in read(again)] == [
        one["response"]["status_code"] for one in whole
    ]
    assert not part.exists()


def test_a_full_disk_is_said_once(application, tmp_path, monkeypatch, caplog):
    """Several answers come at once, and no error of theirs is left for Python to print."""
    source = tmp_path / "in.jsonl"
    write(source, REQUESTS[:6])
    opened = Path.open

    def full(path, mode="r", *more, **settings):
        return opened(Path("/dev/full"), "wb", 0) if mode == "ab" else opened(path, mode, *more, **settings)

    monkeypatch.setattr(Path, "open", full)
    monkeypatch.setattr("headstart.serving.batch_file.AT_ONCE", 3)
    asked = application()

    async def at_once(url, body):
        return 200, b"{}"

    monkeypatch.setattr(asked, "ask", at_once)
    gc.collect()  # what other tests left is said now, and not counted
    caplog.clear()
    with pytest.raises(OSError, match="No space left"):
        answer_batch(asked, source, tmp_path / "out.jsonl")
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_request_that_was_changed_is_asked_again(application, tmp_path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write(source, REQUESTS[:1])
    part = tmp_path / ".out.jsonl.part"
    answer = {"response": {"status_code": 200, "body": {}}}
    part.write_text(json.dumps({"key": "of another request", "answer": answer}) + "\n")
    assert answer_batch(application(), source, out).kept == 0
    assert read(out)[0]["response"]["body"]["results"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2 is no JSON"),
        ('{"url": "/v1/classify", "body": {}}', "custom_id"),
        ('{"custom_id": "r0", "url": "/v1/classify", "body": {}}', "was there before"),
        ('{"custom_id": "x", "url": "/v1/classify", "body": {"stream": true}}', "without stream"),
        ('{"custom_id": "x", "method": "GET", "url": "/v1/models", "body": {}}', "POST"),
        ('{"custom_id": "x", "url": "/v1/classify", "body": {}, "bdy": 1}', "bdy"),
    ],
)
def test_a_wrong_line_is_said_before_anything_is_asked(application, tmp_path, line, said):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps(REQUESTS[0]) + "\n" + line + "\n")
    with pytest.raises(HeadstartError, match=said):
        answer_batch(application(), source, out)
    assert not out.exists()
    assert not (tmp_path / ".out.jsonl.part").exists()


def test_a_busy_machine_gives_no_request_up(folders, tmp_path, monkeypatch):
    """By this clock every request waits for hours before its work begins."""
    hours = count(step=3600)
    monkeypatch.setattr("headstart.serving.task_worker.monotonic", lambda: float(next(hours)))
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write(source, [one for one in REQUESTS if one["body"].get("model") == "sea"])
    assert (
        answer_batch(Application({"sea": folders["sea"]}, batch_settings("float32")), source, out).failed == 0
    )
    with_patience_of_a_server = Application({"sea": folders["sea"]}, SETTINGS)
    assert answer_batch(with_patience_of_a_server, source, tmp_path / "other.jsonl").failed


@pytest.mark.parametrize(
    "line", [b"\0\0\0", b"[]", b"{}", b'{"key": 1}', b'{"key": "x", "answer": {"response": {}}}']
)
def test_a_damaged_answer_is_asked_again(application, tmp_path, capsys, line):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write(source, REQUESTS[:2])
    (tmp_path / ".out.jsonl.part").write_bytes(line + b"\n")
    assert answer_batch(application(), source, out).kept == 0
    assert len(read(out)) == 2
    assert "1 of the answers that were kept are damaged" in capsys.readouterr().err
