"""Files and batches as OpenAI's client uses them, kept over kills, and within limits."""

import json
import os
import signal
import sqlite3
import subprocess
import sys

import httpx
import openai
import pytest
from running_server import wait_for

from headstart.errors import HeadstartError
from headstart.serving.batches.form import read_form
from headstart.serving.batches.jobs import BatchJobs
from headstart.serving.batches.state import State
from headstart.serving.request_error import RequestError
from headstart.serving.settings import Limits

ROUTE = "/v1/classify"
TEXTS = ["The captain waits.", "A garden", "The old ship"]
ENDED = ("completed", "failed", "cancelled")


def lines(texts, url=ROUTE, **body):
    return b"".join(
        json.dumps(
            {"custom_id": f"r{n}", "method": "POST", "url": url, "body": {"input": text, **body}}
        ).encode()
        + b"\n"
        for n, text in enumerate(texts)
    )


def client_of(address):
    return openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)


def ask(client, content, **options):
    """A batch of a file with this content."""
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, completion_window="24h", **({"endpoint": ROUTE} | options)
    )


def ended(client, batch):
    wait_for(lambda: client.batches.retrieve(batch.id).status in ENDED)
    return client.batches.retrieve(batch.id)


def answers(client, identity):
    return [json.loads(line) for line in client.files.content(identity).text.splitlines()]


def test_openais_client_has_a_file_answered(running, local, tmp_path):
    client = client_of(running("sea", "causal", state=tmp_path).address)
    content = lines(TEXTS, model="sea") + lines(["x"], model="nobody").replace(b"r0", b"wrong")
    batch = ended(client, ask(client, content, metadata={"for": "a test"}))
    assert (batch.status, batch.metadata) == ("completed", {"for": "a test"})
    counts = batch.request_counts
    assert (counts.total, counts.completed, counts.failed) == (4, 3, 1)
    found = answers(client, batch.output_file_id)
    assert [one["custom_id"] for one in found] == ["r0", "r1", "r2"]
    expected = local["sea"].predict(TEXTS)
    for one, right in zip(found, expected, strict=True):
        (said,) = one["response"]["body"]["results"]
        assert (said["label"], said["probability"]) == (
            right["label"],
            pytest.approx(right["probability"], abs=1e-5),
        )
    (wrong,) = answers(client, batch.error_file_id)
    assert (wrong["custom_id"], wrong["response"]["status_code"]) == ("wrong", 404)
    files = {one.id: one for one in client.files.list()}
    assert set(files) == {batch.input_file_id, batch.output_file_id, batch.error_file_id}
    assert files[batch.input_file_id].bytes == len(content)
    assert client.files.content(batch.input_file_id).content == content
    assert client.files.retrieve(batch.output_file_id).purpose == "batch_output"
    assert [one.id for one in client.batches.list(limit=1)] == [batch.id]
    for identity in files:
        assert client.files.delete(identity).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(batch.input_file_id)
    assert not list((tmp_path / "files").iterdir())


def test_pages_of_lists(running, tmp_path):
    client = client_of(running("sea", state=tmp_path).address)
    made = [client.files.create(file=(f"{n}", b"x"), purpose="batch").id for n in range(5)]
    assert [one.id for one in client.files.list(limit=2)] == made[::-1]  # it turns the pages
    assert [one.id for one in client.files.list(limit=2, order="asc").data] == made[:2]
    assert [one.id for one in client.files.list(purpose="batch_output")] == []


def test_what_a_killed_server_had_answered_is_not_asked_again(folders, tmp_path):
    """Killed in the middle of a batch, and started again on the same folder."""
    command = [sys.executable, "-m", "headstart", "serve", str(folders["causal"]), "--port", "0"]
    command += ["--state", str(tmp_path / "state")]

    def start():
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=os.environ
        )
        return process, process.stdout.readline().removeprefix("serving on ").strip()

    process, address = start()
    client = client_of(address)
    body = {"model": "causal", "max_tokens": 60, "temperature": 1}
    content = b"".join(
        json.dumps(
            {"custom_id": str(n), "url": "/v1/completions", "body": body | {"prompt": "The old"}}
        ).encode()
        + b"\n"
        for n in range(60)
    )
    batch = ask(client, content, endpoint="/v1/completions")
    wait_for(lambda: client.batches.retrieve(batch.id).request_counts.completed >= 5)
    process.send_signal(signal.SIGKILL)
    process.wait(600)
    state = State(tmp_path / "state", Limits())
    before = {
        row["place"]: row["answer"] for row in state._database.execute("SELECT place, answer FROM answers")
    }
    state.close()
    assert 5 <= len(before) < 60
    process, address = start()
    client = client_of(address)
    done = ended(client, batch)
    process.terminate()
    found = client_lines = (tmp_path / "state" / "files" / done.output_file_id).read_bytes().splitlines()
    assert (done.status, len(client_lines), done.request_counts.completed) == ("completed", 60, 60)
    for place, answer in before.items():  # texts are drawn: another try would write others
        assert found[place] == answer
    assert process.wait(600) == 0


def test_a_cancelled_batch_keeps_what_it_has(running, tmp_path):
    one = running("sea", state=tmp_path)
    client = client_of(one.address)
    jobs = one.application.batches
    asked, whole = jobs.ask, []

    async def some(route, body):
        whole.append(body)
        if len(whole) == 20:
            jobs.state.move(jobs.state.batches()[0], "cancelling")
        return await asked(route, body)

    jobs.ask = some
    batch = ended(client, ask(client, lines(["x"] * 200)))
    assert batch.status == "cancelled"
    assert len(answers(client, batch.output_file_id)) == batch.request_counts.completed == len(whole) < 60
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(batch.id)
    with pytest.raises(openai.NotFoundError):
        client.batches.cancel("batch_none")


def test_a_busy_server_is_asked_again(running, tmp_path, monkeypatch):
    monkeypatch.setattr("headstart.serving.batches.jobs.PATIENCE", 0.01)
    one = running("sea", state=tmp_path)
    jobs, busy = one.application.batches, [429, 503, 429]
    asked = jobs.ask

    async def sometimes(route, body):
        return (busy.pop(), b"{}") if busy else await asked(route, body)

    jobs.ask = sometimes
    client = client_of(one.address)
    batch = ended(client, ask(client, lines(TEXTS)))
    assert (batch.request_counts.completed, batch.error_file_id, busy) == (3, None, [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "line 1 is no JSON"),
        (lines(["a"]) + lines(["b"]), "was there before"),
        (lines(["a"], url="/v1/embeddings"), "its url is"),
        (lines(["a"], stream=True), "without stream"),
    ],
)
def test_a_file_of_wrong_lines_fails_the_batch(running, tmp_path, content, said):
    client = client_of(running("sea", state=tmp_path).address)
    batch = ended(client, ask(client, content))
    assert batch.status == "failed"
    assert said in batch.errors.data[0].message
    assert batch.output_file_id is None


def test_limits(running, tmp_path):
    limits = Limits(files=3, state_bytes=2000, batches=1)
    one = running("sea", state=tmp_path, limits=limits)
    client = client_of(one.address)
    with pytest.raises(openai.BadRequestError, match="2,000 bytes"):
        client.files.create(file=("a", b"x" * 2001), purpose="batch")
    batch = ended(client, ask(client, lines(["x"] * 9)))
    assert (batch.status, batch.errors.data[0].code) == ("failed", "storage_full")
    assert 0 < len(answers(client, batch.output_file_id)) == batch.request_counts.completed < 9
    for identity in (batch.input_file_id, batch.output_file_id):
        client.files.delete(identity)
    assert ended(client, ask(client, lines(["x"]))).status == "completed"
    client.files.create(file=("a", b"x"), purpose="batch")
    with pytest.raises(openai.BadRequestError, match="3 files already"):
        client.files.create(file=("a", b"x"), purpose="batch")
    one.application.batches.ending = lambda: True  # so that batches wait
    file = client.files.list().data[0].id
    first = client.batches.create(input_file_id=file, completion_window="24h", endpoint=ROUTE)
    with pytest.raises(openai.ConflictError, match=first.id):
        client.files.delete(file)
    with pytest.raises(openai.RateLimitError, match="waiting"):
        client.batches.create(input_file_id=file, completion_window="24h", endpoint=ROUTE)
    with pytest.raises(HeadstartError, match=str(tmp_path)):
        State(tmp_path, limits)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"endpoint": "/health"}, "unsupported_value"),
        ({"input_file_id": "../../etc/passwd"}, "file_not_found"),
        ({"completion_window": "1h"}, "unsupported_value"),
        ({"metadata": {"a": 1}}, "unsupported_value"),
        ({"metadata": {"a" * 65: "x"}}, "unsupported_value"),
        ({"output_expires_after": {"seconds": 1}}, "unsupported_value"),
        ({"windo": 1}, "unknown_field"),
    ],
)
def test_wrong_batches(running, tmp_path, asked, code):
    one = running("sea", state=tmp_path)
    file = client_of(one.address).files.create(file=("a", b"x"), purpose="batch").id
    body = {"input_file_id": file, "endpoint": ROUTE, "completion_window": "24h"} | asked
    assert one.http.post("/v1/batches", json=body).json()["error"]["code"] == code


def test_without_a_folder_nothing_is_kept(serving):
    client = serving("sea")
    assert client.get("/v1/files").json()["error"]["code"] == "state_not_kept"
    assert client.problem("/v1/files", {"file": "x"}, 415)["code"] == "unsupported_media_type"


def test_forms():
    """What httpx sends is read; what is cut, doubled or nameless is refused."""
    content = b"--\r\n\r\nx\r\n--\x00\xff"
    sent = httpx.Request(
        "POST", "http://x", data={"purpose": "batch"}, files={"file": ("a b.jsonl", content)}
    )
    body, kind = sent.read(), sent.headers["content-type"]
    form = read_form(body, kind)
    assert (form["file"].content, form["file"].filename) == (content, "a b.jsonl")
    assert (form["purpose"].content, form["purpose"].filename) == (b"batch", None)
    boundary = kind.partition("boundary=")[2].encode()
    part = b'--%s\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' % boundary
    for wrong in (
        b"",
        body[:-10],
        b"x",
        part + part + b"--%s--" % boundary,
        b"--%s\r\n\r\nx\r\n--%s--" % (boundary, boundary),
        part * 20,
    ):
        with pytest.raises(RequestError):
            read_form(wrong, kind)
    for kind in ("multipart/form-data", "text/plain; boundary=x", ""):
        with pytest.raises(RequestError):
            read_form(body, kind)


def test_the_headers_of_a_form():
    """Names as clients write them, and those that nobody could have."""

    def named(name, kind="multipart/form-data; boundary=x"):
        head = b'--x\r\nContent-Disposition: form-data; name="file"; ' + name
        return read_form(head + b"\r\n\r\n1\r\n--x--", kind)["file"].filename

    for written in ('filename="übung 一.jsonl"', "filename*=utf-8''%C3%BCbung%20%E4%B8%80.jsonl"):
        assert named(written.encode()) == "übung 一.jsonl"
    for wrong in (
        rb"filename*=unicode_escape''%5Cud800",  # half a letter
        b'filename="a\x1b[2J"',
        b'filename="\xff"',
        b'filename="' + b"a" * 5000 + b'"',
    ):
        with pytest.raises(RequestError) as refused:
            named(wrong)
        assert refused.value.code == "invalid_form"
    with pytest.raises(RequestError, match="over 16 fields"):
        read_form(b"\r\n--x" * 100_000, "multipart/form-data; boundary=x")


@pytest.mark.parametrize("name", ["notes.txt", "files"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, name):
    mine = tmp_path / name / "thesis.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(HeadstartError, match=f"holds other files .{name}"):
        State(tmp_path, Limits())
    with pytest.raises(HeadstartError, match="is no folder"):
        State(mine, Limits())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]


def test_a_damaged_database_is_said(tmp_path):
    State(tmp_path, Limits()).close()
    for path in tmp_path.glob("state.sqlite3*"):
        path.write_bytes(b"no database" * 100)
    with pytest.raises(HeadstartError, match="cannot be read"):
        State(tmp_path, Limits())
    assert not (tmp_path / ".lock").exists()


def test_a_file_without_an_entry_is_not_kept(tmp_path):
    state = State(tmp_path, Limits())
    with pytest.raises(UnicodeEncodeError):
        state.add_file(b"x", "\ud800", "batch")
    assert not list((tmp_path / "files").iterdir())
    state.close()


def test_a_full_disk_is_waited_for(running, tmp_path, monkeypatch):
    monkeypatch.setattr("headstart.serving.batches.jobs.FOLDER_PATIENCE", 0.01)
    one = running("sea", state=tmp_path)
    state, full = one.application.batches.state, ["answer", "answer", "end", "end"]

    def failing(name):
        right = getattr(state, name)

        def wrong(*given, **named):
            if name in full:
                full.remove(name)
                raise sqlite3.OperationalError("database or disk is full")
            return right(*given, **named)

        return wrong

    for name in ("answer", "end"):
        monkeypatch.setattr(state, name, failing(name))
    client = client_of(one.address)
    batch = ended(client, ask(client, lines(TEXTS)))
    assert (batch.status, batch.request_counts.completed, full) == ("completed", 3, [])
    assert len(answers(client, batch.output_file_id)) == 3
    again = client.files.create(file=("in.jsonl", lines(TEXTS)), purpose="batch")
    state.path(again.id).unlink()
    gone = client.batches.create(input_file_id=again.id, completion_window="24h", endpoint=ROUTE)
    assert ended(client, gone).errors.data[0].code == "file_not_found"


def test_files_of_nobody_go_at_the_next_start(tmp_path):
    """A kill between a file and its entry."""
    state = State(tmp_path, Limits())
    kept = state.add_file(b"x", "a", "batch")
    (tmp_path / "files" / "file-orphan").write_bytes(b"x")
    state.close()
    state = State(tmp_path, Limits())
    assert [path.name for path in (tmp_path / "files").iterdir()] == [kept.id]
    assert isinstance(BatchJobs(state, None, lambda: True).state.file(kept.id).bytes, int)
    state.close()
