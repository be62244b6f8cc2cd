"""The process at a real port: its end, its limits on connections, and clients that leave."""

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from running_server import wait_for

from headstart.errors import HeadstartError
from headstart.interchange import box
from headstart.serving.app import Application
from headstart.serving.http_server import open_port, serve
from headstart.serving.model_store import folder_name, named_folders
from headstart.serving.settings import Limits, ServeSettings

BODY = {"input": "The captain waits."}


def test_what_is_begun_is_answered_and_new_requests_are_turned_away(running):
    one = running("sea")
    model = one.application.service.store.residents["sea"].model
    begun, go_on = threading.Event(), threading.Event()
    compute = model.compute

    def slow(*given):
        begun.set()
        assert go_on.wait(600)
        return compute(*given)

    model.compute = slow
    answers = []
    asking = threading.Thread(target=lambda: answers.append(one.http.post("/v1/classify", json=BODY)))
    asking.start()
    assert begun.wait(600)
    one.signal()
    with httpx.Client(base_url=one.address) as other:
        refused = other.post("/v1/classify", json=BODY)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        assert int(refused.headers["retry-after"]) > 0
        assert other.get("/ready").status_code == 503
        assert other.get("/health").status_code == 200
    go_on.set()
    asking.join(600)
    assert answers[0].status_code == 200
    one.thread.join(600)
    assert not one.thread.is_alive()
    assert one.server.error is None


def test_a_dead_thread_ends_the_server_with_an_error(running):
    one = running("sea")
    resident = one.application.service.store.residents["sea"]
    resident.worker._turn = lambda: 1 / 0
    assert one.http.post("/v1/classify", json=BODY).status_code == 503
    one.thread.join(600)
    assert not one.thread.is_alive()
    assert "ended by a fault" in str(one.server.error)


def test_headers_that_do_not_come_close_the_connection(running):
    one = running("sea", limits=Limits(first_byte_seconds=0.2))
    for beginning in (b"", b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\n"):
        with one.connect() as slow:
            slow.sendall(beginning)
            slow.settimeout(20)
            assert slow.recv(100) == b""
    assert one.http.get("/health").status_code == 200


def test_who_sends_too_much_sees_why(running):
    """Also a client that reads only once it has sent everything."""
    one = running("sea", limits=Limits(body_bytes=1000))
    body = b'{"input": "' + b"x" * 3000 + b'"}'  # within what is read and forgotten
    for size in (len(body), None):
        sent = body if size else iter([body[:1500], body[1500:]])
        found = one.http.post("/v1/classify", content=sent, headers={"content-type": "application/json"})
        assert (found.status_code, found.json()["error"]["code"]) == (413, "request_too_large")
        assert found.headers["connection"] == "close"
    with one.connect() as client:
        head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body))
        client.sendall(body[:2000])
        time.sleep(0.2)  # the answer is there by now; a closed socket would reset the next bytes
        client.sendall(body[2000:])
        client.settimeout(20)
        assert client.recv(100).startswith(b"HTTP/1.1 413")


def test_more_connections_than_allowed_are_closed(running):
    one = running("sea", limits=Limits(connections=4))
    held = [one.connect() for _ in range(12)]
    try:
        for each in held:
            each.setblocking(False)
        wait_for(lambda: sum(_is_closed(each) for each in held) >= 8)
    finally:
        for each in held:
            each.close()
    wait_for(lambda: _answers(one.address))


def _is_closed(client):
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True
    except BlockingIOError:
        return False


def _answers(address):
    try:
        return httpx.get(f"{address}/health").status_code == 200
    except httpx.HTTPError:
        return False


def test_a_client_that_hangs_up_frees_its_model(running):
    one = running("sea")
    resident = one.application.service.store.residents["sea"]
    begun, go_on = threading.Event(), threading.Event()

    def slow(operation, option, inputs):
        begun.set()
        assert go_on.wait(600)
        return [{}] * len(inputs)

    compute, resident.model.compute = resident.model.compute, slow
    body = b'{"input": "x"}'
    with one.connect() as client:
        head = b"POST /v1/classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        client.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert begun.wait(600)
    wait_for(lambda: resident.users == 0)
    assert 'headstart_cancelled_total{why="disconnect"} 1.0' in one.http.get("/metrics").text
    go_on.set()
    resident.model.compute = compute
    assert one.http.post("/v1/classify", json=BODY).status_code == 200


WAITING = """
import sys, time
from headstart.serving.http_server import end_with_input
end_with_input()
if sys.argv[1] == "stay":
    time.sleep(60)
"""


@pytest.mark.parametrize(("then", "status"), [("go", 0), ("stay", -signal.SIGTERM)])
def test_the_end_with_standard_input(then, status):
    """A process ends when it is closed, and ends well of itself while it is open."""
    command = [sys.executable, "-c", WAITING, then]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        if then == "stay":
            process.stdin.close()
        assert process.wait(300) == status


def test_a_port_that_is_taken_is_said(folders):
    with open_port("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        application = Application({"sea": folders["sea"]}, ServeSettings(port=port))
        with pytest.raises(HeadstartError, match=f"port {port} cannot be opened"):
            serve(application)


def test_names_of_folders(tmp_path):
    assert folder_name(tmp_path / "spam" / "model") == "spam"
    assert folder_name(tmp_path / "spam") == "spam"
    assert named_folders([], ["a=x/y"])["a"].parts == ("x", "y")
    (packed,) = named_folders([Path(box.names()[0])], []).values()
    assert (packed / "config.json").is_file()
    with pytest.raises(HeadstartError, match="two models would be called 'spam'"):
        named_folders([tmp_path / "spam", tmp_path / "other" / "spam"], [])
    with pytest.raises(HeadstartError, match="NAME=FOLDER"):
        named_folders([], ["spam"])
    with pytest.raises(HeadstartError, match="nothing to serve"):
        named_folders([], [])
