"""Replicas on a local Ray cluster answer as the server does, their streams come in pieces, and none loses a
request when it ends."""

import json
import socket
import threading
from contextlib import suppress

import httpx
import pytest
from running_server import wait_for

from headstart.serving.self_check import example

pytestmark = pytest.mark.slow
KEY = "a-key-of-the-tests"
HEADERS = {"authorization": f"Bearer {KEY}"}
PORT = 8131
ENVIRONMENT = {
    "HEADSTART_API_KEY": KEY,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_raylet_start_wait_time_s": "600",
    "RAY_worker_register_timeout_seconds": "600",
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "600",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "600",
}
"""Ray reads its own when it is imported; a busy machine takes its time."""
STREAM = {"model": "causal", "prompt": "The old ship", "max_tokens": 60, "temperature": 0}


@pytest.fixture(scope="module", autouse=True)
def ray():
    """A cluster of this machine alone."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        module = pytest.importorskip("ray", reason="install ray[serve]")
        serve = pytest.importorskip("ray.serve", reason="install ray[serve]", exc_type=ImportError)
        module.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 << 20)
        with suppress(TimeoutError):  # the proxy is waited for below
            serve.start(http_options={"port": PORT})
        yield module
        serve.shutdown()
        module.shutdown()


@pytest.fixture(scope="module")
def run(ray, folders):
    """Brings about that so many replicas answer for every model."""
    from headstart.serving.ray_app import RayArguments, deployment

    models = ",".join(f"{name}={folder}" for name, folder in folders.items())

    def run(replicas):
        ray.serve.run(deployment(RayArguments(models=models, replicas=replicas, cpus=0.5)))

    return run


@pytest.fixture(scope="module")
def http(run):
    """Asks two replicas, through Ray's proxy; `client` asks the same models without Ray."""
    run(2)
    with httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=300, headers=HEADERS) as made:
        wait_for(lambda: answers(made), 300)
        yield made


def answers(http):
    try:
        return http.get("/health").status_code == 200
    except httpx.TransportError:
        return False


def settled(answer):
    """An answer without what every request has of its own, and with numbers that may differ in their end."""
    if isinstance(answer, dict):
        own = ("id", "created", "seed")
        return {name: settled(one) for name, one in answer.items() if name not in own}
    if isinstance(answer, list):
        return [settled(one) for one in answer]
    return pytest.approx(answer, rel=1e-3, abs=1e-5) if isinstance(answer, float) else answer


def test_every_route_of_every_model(http, client):
    for described in client.application.service.store.descriptions.values():
        for route in described.routes:
            body = example(described, route)
            wanted = client.post(route, body)
            found = http.post(route, json=body)
            assert found.status_code == wanted.status_code == 200, (described.name, route, found.text)
            assert settled(found.json()) == settled(wanted.json()), (described.name, route)


def test_what_no_model_is_asked(http, client):
    for path in ("/openapi.json", "/health", "/ready", "/version", "/v1/models/sea", "/nowhere"):
        found, wanted = http.get(path), client.get(path)
        assert found.status_code == wanted.status_code
        if path != "/v1/models/sea":  # may be loaded here and not there
            assert found.json() == wanted.json()
    assert "headstart_step_seconds" in http.get("/metrics").text
    assert http.delete("/v1/adapters/pirate").json()["error"]["code"] == "adapters_not_allowed"


def test_errors_and_limits(http):
    body = {"model": "sea", "input": "The captain waits."}
    found = http.post("/v1/classify", json=body | {"model": "see"})
    assert (found.status_code, found.json()["error"]["code"]) == (404, "model_not_found")
    found = http.post("/v1/classify", json=body, headers={"authorization": "Bearer wrong"})
    assert (found.status_code, found.json()["error"]["code"]) == (401, "invalid_api_key")
    found = http.post("/v1/classify", json=body, headers={"host": "evil.example"})
    assert (found.status_code, found.json()["error"]["code"]) == (403, "host_not_allowed")
    large = b'{"input": "' + b"x" * (17 << 20) + b'"}'
    found = http.post("/v1/classify", content=large, headers={"content-type": "application/json"})
    assert (found.status_code, found.json()["error"]["code"]) == (413, "request_too_large")


def test_streams_come_in_pieces(http):
    whole = http.post("/v1/completions", json=STREAM).json()["choices"][0]["text"]
    with http.stream("POST", "/v1/completions", json=STREAM | {"stream": True}) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines[-1] == "[DONE]"
    assert len(lines) > 5
    assert "".join(json.loads(line)["choices"][0]["text"] for line in lines[:-1]) == whole


def test_replicas_that_end_lose_no_request(http, run):
    """From two to one and back, while texts are streamed without a pause."""
    stop, ended, lost = threading.Event(), [], []

    def ask():
        with httpx.Client(base_url=http.base_url, timeout=300, headers=HEADERS) as own:
            while not stop.is_set():
                answer = own.post("/v1/completions", json=STREAM | {"stream": True})
                (ended if answer.text.endswith("data: [DONE]\n\n") else lost).append(answer.text)

    askers = [threading.Thread(target=ask) for _ in range(4)]
    for one in askers:
        one.start()
    try:
        wait_for(lambda: len(ended) > 10, 300)
        for replicas in (1, 2, 1):
            run(replicas)
            reached = len(ended)
            wait_for(lambda reached=reached: len(ended) > reached + 10, 300)
    finally:
        stop.set()
        for one in askers:
            one.join(300)
    assert lost == []


def test_a_client_that_hangs_up_frees_its_rows(http, run):
    run(1)

    def cancelled():
        said = http.get("/metrics").text.splitlines()
        names = ("headstart_cancelled_total", "headstart_num_requests_running")
        return {name: sum(float(one.split()[-1]) for one in said if one.startswith(name)) for name in names}

    before = cancelled()["headstart_cancelled_total"]
    body = json.dumps(STREAM | {"stream": True, "n": 16, "max_tokens": 240}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", PORT)) as caller:
        caller.sendall(head.encode() + body)
        caller.settimeout(300)
        with suppress(TimeoutError):
            assert caller.recv(1000).startswith(b"HTTP/1.1 200")
    wait_for(lambda: cancelled()["headstart_num_requests_running"] == 0, 300)
    assert cancelled()["headstart_cancelled_total"] > before
