"""Hostile clients at a real port: each is bounded in time and memory, and others are answered meanwhile."""

import json
import socket
import threading
import time
from contextlib import ExitStack, suppress
from http.client import HTTPResponse

import pytest
from running_server import wait_for

from headstart.serving.settings import Limits

HEAD = b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
WHOLE = json.dumps({"input": "The captain waits."}).encode()
LONG = {"model": "causal", "prompt": "The old ship", "max_tokens": 240, "temperature": 1, "logprobs": 20}


def asked(path, body, **headers):
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return HEAD % path.encode() + f"{more}Content-Length: {len(body)}\r\n\r\n".encode() + body


def answered(client):
    """The status of one answer, and its body."""
    client.settimeout(30)
    answer = HTTPResponse(client)
    answer.begin()
    return answer.status, answer.read()


def answer_of(client):
    """All that comes until the server closes the connection."""
    client.settimeout(30)
    found = b""
    with suppress(ConnectionResetError):
        while part := client.recv(1 << 16):
            found += part
    return found


def is_closed(client):
    client.settimeout(30)
    try:
        return client.recv(1 << 16) == b""
    except ConnectionResetError:
        return True


def drip(client, pieces, pause=0.02):
    """Send bytes one after the other; whether the server took all."""
    try:
        for piece in pieces:
            client.sendall(piece)
            time.sleep(pause)
    except OSError:
        return False
    return True


def endless(piece):
    while True:
        yield piece


def flood(client, piece, most):
    """Send a piece again and again; how many bytes went before the server had enough."""
    sent = 0
    client.settimeout(30)
    with suppress(OSError):
        while sent < most:
            sent += client.send(piece)
    return sent


@pytest.mark.parametrize("first", [b"", GET, asked("/v1/classify", WHOLE)], ids=["new", "get", "post"])
@pytest.mark.parametrize(
    ("start", "piece"),
    [(b"GET /", b"x"), (b"", b"\r\n"), (b"GET /health HTTP/1.1\r\n", b"x: y\r\n")],
    ids=["address", "blank lines", "headers"],
)
def test_headers_that_drip(running, first, start, piece):
    """Also on a connection that has had an answer, and where the bytes begin no request."""
    one = running("sea", limits=Limits(first_byte_seconds=1.0))
    with one.connect() as client:
        client.sendall(first)
        if first:
            assert answered(client)[0] == 200
        assert not drip(client, [start, *[piece] * 1000])
        assert is_closed(client)
    assert one.http.get("/health").status_code == 200


def test_blank_lines_do_not_keep_a_connection(running):
    """One of them ends the wait for the next request, which has to come then."""
    one = running("sea", limits=Limits(first_byte_seconds=1.0))
    with one.connect() as client:
        client.sendall(GET)
        assert answered(client)[0] == 200
        client.sendall(b"\r\n")
        assert is_closed(client)


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\n", b"X: " + b"x" * 1000 + b"\r\n"),
        (b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ", b"x" * 1000),
        (b"GET /", b"x" * 1000),
        (HEAD % b"/v1/classify" + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: " + b"x" * 997 + b"\r\n"),
        (HEAD % b"/v1/classify" + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 1000),
        (b"", b"\r\n" * 500),
    ],
    ids=["headers", "one header", "address", "trailers", "extension", "blank lines"],
)
def test_floods_of_what_is_no_body(running, before, piece):
    one = running("sea", limits=Limits(header_bytes=5000))
    with one.connect() as client:
        client.sendall(before)
        assert flood(client, piece, 64 << 20) < 64 << 20
        found = answer_of(client)
    if found:  # a reset may overtake it
        assert found.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_http"
    assert one.http.get("/health").status_code == 200


@pytest.mark.parametrize(("size", "status"), [(4500, 200), (5000, 400), (60_000, 400)])
def test_headers_that_come_at_once_are_counted_too(running, size, status):
    one = running("sea", limits=Limits(header_bytes=5000))
    with one.connect() as client:
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * size + b"\r\n\r\n")
        assert answered(client)[0] == status


def test_what_is_no_http_is_refused_in_the_usual_shape(running):
    one = running("sea")
    for wrong in (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"GET  HTTP/9\r\n\r\n"):
        with one.connect() as client:
            client.sendall(wrong)
            found = answer_of(client)
        assert found.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert json.loads(found.partition(b"\r\n\r\n")[2])["error"]["code"] == "invalid_http"


def test_a_body_in_small_chunks_is_read(running):
    """More bytes go around it than headers may have."""
    one = running("sea", limits=Limits(header_bytes=500))
    body = json.dumps({"input": "x " * 500}).encode()
    found = one.http.post(
        "/v1/classify",
        content=(body[at : at + 1] for at in range(len(body))),
        headers={"content-type": "application/json"},
    )
    assert found.status_code == 200


@pytest.mark.parametrize("length", [b"Content-Length: 1000000", b"Transfer-Encoding: chunked"])
def test_a_body_that_never_ends(running, length):
    slow = Limits(first_byte_seconds=0.3, body_seconds=1.0, body_bytes_a_second=1000)
    one = running("sea", limits=slow)
    piece = b"1\r\nx\r\n" if b"chunked" in length else b"x"
    with one.connect() as client:
        client.sendall(HEAD % b"/v1/classify" + length + b"\r\n\r\n")
        asking = threading.Thread(target=drip, args=(client, endless(piece)))
        asking.start()
        assert answer_of(client).startswith(b"HTTP/1.1 408")
        asking.join(600)
        assert not asking.is_alive()
    wait_for(lambda: one.application.guard.in_flight == 0)


def test_bodies_have_a_size_together(running):
    """Whoever comes when the room is full is told to try again; room is made when an answer is given."""
    one = running("sea", limits=Limits(bodies_bytes=3000))
    guard = one.application.guard
    with one.connect() as client:
        client.sendall(HEAD % b"/v1/classify" + b"Content-Length: 2900\r\n\r\n" + b" " * 2800)
        wait_for(lambda: guard.body_bytes == 2800)
        large = {"input": "x" * 500}
        found = one.http.post("/v1/classify", json=large)
        assert (found.status_code, found.json()["error"]["code"]) == (503, "bodies_full")
        assert int(found.headers["retry-after"]) > 0
        assert one.http.post("/v1/classify", json={"input": "x"}).status_code == 200
        wait_for(lambda: guard.body_bytes == 2800)  # an answer may come before its room is given back
    wait_for(lambda: guard.body_bytes == 0)
    assert one.http.post("/v1/classify", json=large).status_code == 200


def test_a_new_connection_ends_the_one_that_idles_longest(running):
    one = running("sea", limits=Limits(connections=4))
    one.http.close()
    wait_for(lambda: not one.server.server_state.connections)
    with ExitStack() as stack:
        idle = [stack.enter_context(one.connect()) for _ in range(4)]
        for each in idle:
            each.sendall(GET)
            assert answered(each)[0] == 200
        new = stack.enter_context(one.connect())
        new.sendall(GET)
        assert answered(new)[0] == 200
        assert is_closed(idle[0])
        for each in idle[1:]:
            each.sendall(GET)
            assert answered(each)[0] == 200


def narrow(one):
    """A client, with little room in the system for what it does not read."""
    one.port.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(one.port_address)
    return client


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_an_answer_that_is_not_read(running, stream, connection):
    """Its texts are given up, its connection ends, and its model is free."""
    one = running("causal", limits=Limits(unread_seconds=0.3, unread_bytes=1 << 16))
    resident = one.application.service.store.residents["causal"]
    body = json.dumps(LONG | {"stream": stream, "n": 4, "max_tokens": 100}).encode()
    with narrow(one) as client:
        before = resident.used
        client.sendall(asked("/v1/completions", body, Connection=connection))
        wait_for(lambda: resident.used > before)
        wait_for(lambda: len(one.server.server_state.connections) == 1)  # that of the tests' own client
        wait_for(lambda: resident.users == one.application.guard.in_flight == resident.engine.running == 0)
    assert one.http.post("/v1/completions", json=LONG | {"max_tokens": 2}).status_code == 200


def test_a_slow_reader_gets_all(running):
    """It is slower than the model, but it reads."""
    one = running("causal", limits=Limits(unread_seconds=5.0, body_bytes_a_second=100))
    body = json.dumps(LONG | {"n": 4, "max_tokens": 60}).encode()
    with narrow(one) as client:
        client.sendall(asked("/v1/completions", body, Connection="close"))
        found = b""
        client.settimeout(30)
        while part := client.recv(8192):
            found += part
            time.sleep(0.002)
    answer = json.loads(found.partition(b"\r\n\r\n")[2])
    assert len(answer["choices"]) == 4


def test_a_stream_is_not_broken_by_what_comes_behind_its_request(running):
    """No words of an error stand in the middle of an answer; behind a whole one they may."""
    one = running("causal")
    body = json.dumps(LONG | {"stream": True}).encode()
    with one.connect() as client:
        client.sendall(asked("/v1/completions", body))
        found = client.recv(1 << 16)
        client.sendall(b"\x00\x01 no request\r\n\r\n")
        found += answer_of(client)
    answer, refused, _ = found.partition(b"HTTP/1.1 400")
    assert answer.startswith(b"HTTP/1.1 200")
    assert not refused or answer.endswith(b"\r\n0\r\n\r\n")


def test_clients_that_offer_another_protocol(running):
    """As Java's does with every request: they are answered in this one, and asked again on the connection."""
    one = running("sea")
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAAA"}
    halves = asked("/v1/classify", WHOLE, **offer).partition(b"\r\n\r\n")
    with one.connect() as client:
        for pieces in ([b"".join(halves)], [b"".join(halves[:2]), halves[2]]):
            for piece in pieces:
                client.sendall(piece)
                time.sleep(0.05)  # so that head and body come apart
            status, body = answered(client)
            assert (status, len(json.loads(body)["results"])) == (200, 1)
        client.sendall(asked("/v1/classify", WHOLE, **offer | {"Connection": "close, Upgrade"}))
        assert answer_of(client).startswith(b"HTTP/1.1 200")
    with one.connect() as client:
        client.sendall(b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n")
        assert answer_of(client).startswith(b"HTTP/1.1 400")
