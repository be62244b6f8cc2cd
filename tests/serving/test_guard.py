"""Who may ask, how large a request may be, and in which shape errors come."""

import asyncio
import re
from urllib.parse import unquote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from served_client import SETTINGS, Client

from headstart.errors import HeadstartError
from headstart.serving.app import Application
from headstart.serving.json_body import ClientGone, parse_json, read_body
from headstart.serving.request_error import RequestError, of_validation
from headstart.serving.settings import Limits, ServeSettings, host_name, is_loopback

BODY = {"input": "The captain waits."}


def test_strangers_need_a_key():
    with pytest.raises(HeadstartError, match="--api-key"):
        ServeSettings(host="0.0.0.0")
    ServeSettings(host="0.0.0.0", api_key="k")
    ServeSettings(host="0.0.0.0", insecure=True)
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        ServeSettings(host=host)


@pytest.mark.parametrize("key", ["", " ", "a b", "schlüssel", "a\n"])
def test_keys_that_nobody_could_send(key):
    with pytest.raises(HeadstartError, match="--api-key"):
        ServeSettings(api_key=key)


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        ("localhost:8000", True),
        ("127.0.0.1", True),
        ("[::1]:8000", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("", False),
        ("models.example:443", True),
    ],
)
def test_host(serving, header, allowed):
    client = serving("sea", allowed_hosts=("models.example",))
    answer = client.post("/v1/classify", BODY, headers={"host": header})
    assert (answer.status_code == 200) == allowed
    if not allowed:
        assert answer.json()["error"]["code"] == "host_not_allowed"
    assert client.get("/health", headers={"host": "10.0.0.7:8000"}).status_code == 200


def test_pages_from_elsewhere(serving):
    client = serving("sea", cors_origins=("https://ours.example",))
    assert client.problem("/v1/classify", BODY, 403, headers={"origin": "https://evil.example"})["code"] == (
        "origin_not_allowed"
    )
    ours = {"origin": "https://ours.example"}
    answer = client.post("/v1/classify", BODY, headers=ours)
    assert answer.headers["access-control-allow-origin"] == ours["origin"]
    asked = ours | {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    assert client.run(client.http.options("/v1/classify", headers=asked)).status_code == 200


def test_key(serving):
    client = serving("sea", api_key="secret")
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": "Basic secret"},
        {"authorization": "secret"},
    ):
        refused = client.problem("/v1/classify", BODY, 401, headers=headers)
        assert refused["code"] == "invalid_api_key"
    assert client.post("/v1/classify", BODY, headers={"authorization": "Bearer secret"}).status_code == 200
    assert client.get("/v1/models").status_code == 401
    assert client.get("/ready").status_code == 200


def test_only_json(client):
    text = {"content": b"input=x", "headers": {"content-type": "text/plain"}}
    assert client.problem("/v1/classify", None, 415, **text)["code"] == "unsupported_media_type"
    packed = {"content": b"x", "headers": {"content-type": "application/json", "content-encoding": "gzip"}}
    client.problem("/v1/classify", None, 415, **packed)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "missing_field"),
        (b"{", "invalid_json"),
        (b"[" * 10_000 + b"]" * 10_000, "invalid_json"),
        (b'{"input": ' + b"[" * 70 + b"]" * 70 + b"}", "request_too_large"),
        (b'{"input": [' + b"1," * 100_001 + b"1]}", "request_too_large"),
        (b'{"input": NaN}', "invalid_json"),
        (b'{"input": "\\ud800"}', "invalid_json"),
        (b'{"input": "\xff"}', "invalid_json"),
        (b"[]", "unsupported_value"),
        (b'{"input": 5}', "unsupported_value"),
        (b"{}", "missing_field"),
    ],
)
def test_hostile_bodies(client, body, code):
    headers = {"content-type": "application/json"}
    refused = client.problem("/v1/classify", None, 400, content=body, headers=headers)
    assert refused["code"] == code, refused


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/classify", {"input": [1.5] * 99_000}),
        ("/v1/embeddings", {"input": [1.5] * 99_000}),
        ("/v1/embeddings", {"input": [[1.5]] * 45_000}),
        ("/v1/completions", {"prompt": [1.5] * 99_000}),
        ("/v1/chat/completions", {"messages": [1] * 99_000}),
        ("/v1/rerank", {"query": "x", "documents": [1] * 99_000}),
        ("/detokenize", {"tokens": ["x"] * 99_000}),
    ],
)
def test_a_large_body_has_no_more_errors_than_a_small_one(client, monkeypatch, path, body):
    found = []

    def told(errors):
        found.append(len(errors))
        return of_validation(errors)

    monkeypatch.setattr("headstart.serving.app.of_validation", told)
    assert client.problem(path, body)["code"] == "unsupported_value"
    assert found[0] < 10


def test_too_large_a_body(serving):
    client = serving("sea", limits=Limits(body_bytes=1000))
    assert client.problem("/v1/classify", {"input": "x" * 1000}, 413)["code"] == "request_too_large"

    async def endless():
        while True:
            yield b" " * 100

    headers = {"content-type": "application/json"}
    refused = client.problem("/v1/classify", None, 413, content=endless(), headers=headers)
    assert refused["code"] == "request_too_large"


def receiver(*messages, pause=0.0):
    """What an ASGI server would hand on."""
    left = list(messages)

    async def receive():
        if not left:
            await asyncio.Event().wait()
        await asyncio.sleep(pause)
        return left.pop(0)

    return receive


def part(body, more=True):
    return {"type": "http.request", "body": body, "more_body": more}


def test_bodies_that_do_not_come():
    quick = Limits(first_byte_seconds=0.05, body_seconds=0.2, body_bytes_a_second=10_000)

    def read(receive, announced=None, limits=quick):
        return asyncio.run(read_body(receive, announced, limits, lambda size: None))

    with pytest.raises(RequestError, match="0 bytes") as caught:
        read(receiver())
    assert caught.value.status_code == 408
    drops = receiver(*[part(b"x")] * 1000, pause=0.01)
    with pytest.raises(RequestError, match="bytes of the body"):
        read(drops)
    with pytest.raises(ClientGone):
        read(receiver(part(b"x"), {"type": "http.disconnect"}), limits=Limits())
    assert read(receiver(part(b"x"), part(b"y", more=False)), limits=Limits()) == b"xy"
    with pytest.raises(RequestError):
        read(receiver(), 1 << 40)


@given(
    st.recursive(
        st.integers(-5, 5) | st.text(max_size=3), lambda inner: st.lists(inner, max_size=4), max_leaves=30
    )
)
def test_parsed_json_is_the_value(value):
    assert parse_json(orjson.dumps(value), Limits()) == value


def test_unknown_fields(client, serving):
    refused = client.problem("/v1/classify", {"model": "sea", "inptu": "x", "input": "y"})
    assert (refused["code"], refused["param"]) == ("unknown_field", "inptu")
    assert "did you mean 'input'" in refused["message"]
    nested = {"model": "quiz", "inputs": [{"question": "x", "options": ["a", "b"], "optoins": 1}]}
    assert client.problem("/v1/choose", nested)["param"] == "inputs.0.optoins"
    lenient = serving("sea", ignore_unknown_fields=True)
    answer = lenient.post("/v1/classify", {"inptu": "x", "input": "y"})
    assert answer.status_code == 200
    assert answer.headers["x-headstart-ignored"] == "inptu"


def test_names_that_no_header_carries(serving):
    """Neither can they begin a header of their own, nor fill the answer."""
    client = serving("sea", ignore_unknown_fields=True)
    names = ["x\r\nset-cookie: a=b", "übung", "a, b", "日本", "z" * 5000, *(f"n{one}" for one in range(100))]
    answer = client.post("/v1/classify", {"input": "x"} | dict.fromkeys(names, 1))
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    told = answer.headers["x-headstart-ignored"].split(", ")
    assert [unquote(one) for one in told[:4]] == names[:4]
    assert unquote(told[4]) == "z" * 100
    assert told[-1] == "and 73 more"
    assert len(told) == 33


def test_long_names_are_not_repeated(client):
    for path, body in (
        ("/v1/classify", {"model": "sea", "input": "x", "y" * 10**6: 1}),
        ("/v1/completions", {"model": "causal", "prompt": "x", "logit_bias": {"z" * 10**6: "x"}}),
        ("/v1/classify", {"model": "x" * 10**6, "input": "x"}),
    ):
        answer = client.post(path, body)
        assert answer.status_code in (400, 404)
        assert len(answer.content) < 1500


def test_models_by_name(client, serving):
    refused = client.problem("/v1/classify", {"model": "see", "input": "x"}, 404)
    assert refused["code"] == "model_not_found"
    assert "did you mean 'sea'" in refused["message"]
    assert client.problem("/v1/classify", BODY)["code"] == "missing_field"
    assert serving("sea").post("/v1/classify", BODY).json()["model"] == "sea"
    assert client.post("/v1/tag", {"input": "one tagger alone"}).json()["model"] == "names"
    assert client.get("/v1/models/see").status_code == 404
    named = Client(
        Application({"org/sea": client.application.service.store.descriptions["sea"].folder}, SETTINGS)
    )
    for path in ("org/sea", "org%2Fsea"):
        assert named.get(f"/v1/models/{path}").json()["id"] == "org/sea"
    named.close()
    refused = serving("sea", "names").problem("/v1/fill-mask", {"input": "x"})
    assert (refused["code"], "/v1/models" in refused["message"]) == ("wrong_task", True)


def test_routes_and_methods(client):
    assert "did you mean '/v1/classify'" in client.problem("/v1/clasify", BODY, 404)["message"]
    answer = client.get("/v1/classify")
    assert answer.status_code == 405
    assert answer.json()["error"]["code"] == "method_not_allowed"
    assert "POST" in answer.json()["error"]["message"]


def test_head_asks_as_get_does(client):
    for path in ("/health", "/v1/models", "/v1/nothing"):
        answer = client.run(client.http.head(path))
        assert answer.status_code == client.get(path).status_code
    assert client.run(client.http.head("/v1/classify")).status_code == 405


def test_headers_of_an_answer(client):
    own = client.post("/v1/classify", {"model": "sea", **BODY}, headers={"x-request-id": "mine-1"})
    assert own.headers["x-request-id"] == "mine-1"
    assert float(own.headers["openai-processing-ms"]) >= 0
    assert float(own.headers["x-headstart-queue-ms"]) >= 0
    for bad in ("x" * 200, "a\tb"):
        made = client.get("/health", headers={"x-request-id": bad}).headers["x-request-id"]
        assert made.startswith("req-")


def test_a_fault_of_ours_says_no_more_than_an_id(client, monkeypatch, caplog):
    resident = client.application.service.store.residents["sea"]
    monkeypatch.setattr(resident.model, "compute", lambda *given: 1 / 0)
    answer = client.post("/v1/classify", {"model": "sea", **BODY}, headers={"x-request-id": "abc"})
    assert answer.status_code == 500
    error = answer.json()["error"]
    assert error["code"] == "internal_error"
    assert "abc" in error["message"]
    assert "division" not in answer.text
    assert "ZeroDivisionError" in caplog.text
    monkeypatch.undo()
    assert client.post("/v1/classify", {"model": "sea", **BODY}).status_code == 200


def test_numbers_that_are_none_never_leave(client, monkeypatch):
    resident = client.application.service.store.residents["sea"]
    monkeypatch.setattr(resident.model, "compute", lambda *given: [{"score": float("nan")}])
    assert client.post("/v1/classify", {"model": "sea", **BODY}).status_code == 500


def test_access_log_has_no_text(serving, capfd):
    client = serving("sea", access_log=True)
    client.post("/v1/embeddings", {"input": "a secret text"}, headers={"x-request-id": "r1"})
    line = next(line for line in capfd.readouterr().err.splitlines() if line.startswith("{"))
    found = orjson.loads(line)
    assert (found["id"], found["model"], found["status"], found["path"]) == (
        "r1",
        "sea",
        200,
        "/v1/embeddings",
    )
    assert found["prompt_tokens"] > 0
    assert "secret" not in line


def lines_of(path):
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_a_file_of_requests(serving, tmp_path):
    path = tmp_path / "requests.jsonl"
    client = serving("sea", "chat", api_key="hidden-key", log_requests=path)
    key = {"authorization": "Bearer hidden-key"}
    said = client.post("/v1/classify", {"model": "sea", **BODY}, headers=key)
    client.get("/v1/models", headers=key)
    client.post("/v1/classify", BODY)  # without the key
    client.post("/v1/embeddings", {"model": "sea", "input": "a"}, headers=key)
    client.post("/v1/embeddings", {"model": "none", "input": "a"}, headers=key)
    client.post("/v1/classify", content=b"no json", headers=key | {"content-type": "application/json"})
    first, vectors, refused, wrong = lines_of(path)
    assert (first["path"], first["model"], first["status"]) == ("/v1/classify", "sea", 200)
    assert first["request"] == {"model": "sea", **BODY}
    assert first["response"] == said.json()
    assert first["id"] == said.headers["x-request-id"]
    assert (vectors["request"]["input"], vectors["response"]) == ("a", None)
    assert refused["response"]["error"]["code"] == refused["error"] == "model_not_found"
    assert (wrong["request"], wrong["response"]["error"]["code"]) == (None, "invalid_json")
    assert b"hidden-key" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    path.rename(tmp_path / "requests.jsonl.1")
    client.post("/v1/classify", {"model": "sea", **BODY}, headers=key)
    assert len(lines_of(path)) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": ["The", "A ship"], "n": 2}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Where?"}], "n": 2}),
        (
            "/v1/chat/completions",
            {
                "messages": [{"role": "user", "content": "Where?"}],
                "tools": [{"function": {"name": "go"}}],
                "tool_choice": "required",
            },
        ),
    ],
)
def test_a_stream_is_kept_as_one_answer(serving, tmp_path, path, body):
    client = serving("chat", log_requests=tmp_path / "requests.jsonl")
    body = body | {"seed": 3, "max_tokens": 60}
    client.post(path, body)
    client.post(path, body | {"stream": True, "stream_options": {"include_usage": True}})
    whole, stream = (line["response"] for line in lines_of(tmp_path / "requests.jsonl"))

    def known(answer):
        for choice in answer["choices"]:
            choice.pop("logprobs", None)
            message = choice.get("message", {})
            message.pop("refusal", None)
            for call in message.get("tool_calls", ()):
                call.pop("id")
                call.pop("index", None)
        return {name: value for name, value in answer.items() if name not in ("id", "created")}

    assert known(stream) == known(whole)


def test_requests_are_appended_to_no_other_file_and_to_no_half_line(serving, tmp_path):
    path = tmp_path / "notes.txt"
    for mine in ("my only copy", '{"text": "mine"}\n'):
        path.write_text(mine)
        with pytest.raises(HeadstartError, match="holds something else than requests"):
            serving("sea", log_requests=path)
        assert path.read_text() == mine
    path.write_text('{"time":"2026-')  # a kill cut it off
    serving("sea", log_requests=path).post("/v1/classify", BODY)
    serving("sea", log_requests=path)
    half, whole = path.read_text().splitlines()
    assert half == '{"time":"2026-'
    assert orjson.loads(whole)["request"] == BODY


def test_a_file_of_requests_that_cannot_be_written(serving, tmp_path, caplog):
    with pytest.raises(HeadstartError, match="--log-requests"):
        serving("sea", log_requests=tmp_path / "missing" / "requests.jsonl")
    path = tmp_path / "requests.jsonl"
    client = serving("sea", log_requests=path)
    path.unlink()
    path.mkdir()
    assert client.post("/v1/classify", BODY).status_code == 200
    assert "is not in" in caplog.text
    assert "\nheadstart_unlogged_requests_total 1.0" in client.get("/metrics").text


def test_a_client_that_leaves_cancels_its_own_work(serving):
    """Its inputs that were not begun are never computed; what others asked is."""
    client = serving("sea")
    client.post("/v1/classify", BODY)
    resident = client.application.service.store.residents["sea"]
    turns = []
    compute = resident.model.compute

    def counted(operation, option, inputs):
        turns.append(len(inputs))
        return compute(operation, option, inputs)

    resident.model.compute = counted
    many = {"input": ["word " * 4000] * 64}

    async def leave():
        asked = asyncio.ensure_future(client.http.post("/v1/classify", json=many))
        while not turns:
            await asyncio.sleep(0.001)
        asked.cancel()
        return await client.http.post("/v1/classify", json=BODY)

    assert client.run(leave()).status_code == 200
    for _ in range(500):
        if not resident.worker.jobs:
            break
        client.run(asyncio.sleep(0.01))
    assert not resident.worker.jobs
    assert sum(turns) < 64
    assert resident.users == 0


def test_metrics_and_models(client):

    def items(task):
        found = re.search(rf'headstart_task_items_total{{task="{task}"}} (\S+)', client.get("/metrics").text)
        return float(found[1]) if found else 0.0

    before = items("classification"), items("embed")
    client.post("/v1/classify", {"model": "sea", **BODY})
    client.post("/v1/embeddings", {"model": "sea", "input": ["a", "b"]})
    assert (items("classification"), items("embed")) == (before[0] + 1, before[1] + 2)
    text = client.get("/metrics").text
    assert "headstart_rejected_total" in text
    assert "headstart_prefix_cache_hits_total" in text
    assert "\nheadstart_num_requests_waiting 0.0" in text
    size = client.application.service.store.residents["sea"].model.bytes
    assert float(text.split("\nheadstart_model_bytes ")[1].split()[0]) >= size
    listed = client.get("/v1/models").json()["data"]
    sea = next(one for one in listed if one["id"] == "sea")
    assert sea["object"] == "model"
    assert sea["headstart"]["labels"] == ["home", "sea"]
    assert sea["headstart"]["state"] == "loaded"
    assert "/v1/classify" in sea["headstart"]["routes"]
    assert client.get("/v1/models/sea").json() == sea
    assert client.get("/health").json() == {"status": "alive"}
    assert client.get("/ready").json() == {"status": "ready"}


def test_every_route_is_described(client):
    described = client.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            assert one.get("description"), (method, path)
            assert {"200", "400", "401", "404", "429", "500", "503"} <= set(one["responses"]), path
            assert "422" not in one["responses"], path
            content = one["responses"]["200"]["content"]
            assert all("schema" in kind or name.startswith("text/") for name, kind in content.items()), path


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("Example.org:80", "example.org"),
        ("[::1]:80", "::1"),
        ("::1", "::1"),
        ("a", "a"),
        ("[fe80::1]", "fe80::1"),
    ],
)
def test_host_name(header, name):
    assert host_name(header) == name


def test_loopback():
    assert is_loopback("127.1.2.3")
    assert not is_loopback("128.0.0.1")
    assert not is_loopback("localhost.example")
