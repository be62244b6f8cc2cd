"""The Chat view: the answers of a served model, token by token, are those that Python gives."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

import headstart as hs
from headstart.errors import HeadstartError
from headstart.generation.chat import chat_ids
from headstart.generation.config import GenerationConfig
from headstart.generation.text import generate
from headstart.studio.chat_server import ChatServer
from headstart.studio.jobs import began
from headstart.tasks.data.dataset import load_examples

API = "/api/v1"
ASKED = {
    "at": "talker", "messages": [{"role": "user", "content": "Who waits at the <s> harbour?"}],
    "temperature": 0, "max_tokens": 12,
}  # fmt: skip
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object", "properties": {"place": {"enum": ["sea", "land"]}}, "required": ["place"],
            "additionalProperties": False,
        },
    },
}  # fmt: skip


def streamed(studio, body: dict) -> list[dict]:
    answer = studio.post(f"{API}/chat/stream", json=body)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_an_answer_is_pythons_and_comes_again(studio, talker) -> None:
    known = studio.get(f"{API}/chat/model", params={"at": "talker"}).json()
    assert known["template"]
    model = hs.load(talker)
    for more in ({"temperature": 0}, {"temperature": 0.9, "seed": 5, "top_k": 40}):
        pieces = streamed(studio, ASKED | more)
        text = "".join(one["content"] for one in pieces)
        settings = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "max_new_tokens": 12}
        assert text.strip() == model.chat(ASKED["messages"], **(settings | more)), more
        whole = studio.post(f"{API}/chat/answer", json=ASKED | more).json()["pieces"]
        assert "".join(one["content"] for one in whole) == text
        scored = [one for one in pieces if one["logprob"] is not None]
        assert scored
        assert all(len(one["top"]) == 8 and one["logprob"] <= 1e-6 for one in scored)
    assert pieces[-1]["finish"] in ("stop", "length")


def test_another_way_goes_on_from_the_token_that_was_chosen(studio, talker) -> None:
    first = [one for one in streamed(studio, ASKED) if one["text"]]
    place, instead = next(
        (n, text)
        for n, one in enumerate(first)
        for text, _ in one["top"]
        if text != one["text"] and "\ufffd" not in text
    )
    prefix = [*(one["text"] for one in first[:place]), instead]
    pieces = streamed(studio, ASKED | {"prefix": prefix, "max_tokens": 5})
    loaded = hs.load(talker).loaded
    tokenizer = loaded.tokenizer
    texts = [tokenizer.token_text(index) for index in range(tokenizer.vocab_size)]
    ids = chat_ids(tokenizer, ASKED["messages"], add_generation_prompt=True) + [
        next(n for n, text in enumerate(texts) if text == one and n not in tokenizer.special.all)
        for one in prefix
    ]
    config = GenerationConfig.of(loaded, temperature=0.0, max_new_tokens=5)
    assert "".join(one["content"] for one in pieces) == generate(loaded, [ids], config)[0].text
    wrong = studio.post(f"{API}/chat/stream", json=ASKED | {"prefix": ["\ufffd"]})
    assert "branch at another place" in wrong.json()["error"]["message"]


def test_what_is_read_is_the_templates_and_typed_tokens_are_text(studio, talker) -> None:
    found = studio.post(f"{API}/chat/rendered", json=ASKED).json()
    tokenizer = hs.load(talker).loaded.tokenizer
    assert found["ids"] == chat_ids(tokenizer, ASKED["messages"], add_generation_prompt=True)
    special = [text for text, is_special in zip(found["texts"], found["special"], strict=True) if is_special]
    assert special.count("<s>") == 1, "the one that was typed is no special token"
    assert "<s>" in "".join(found["texts"]).removeprefix("<s>")


def test_functions_and_schemas_are_kept_to(studio, talker) -> None:
    pieces = streamed(studio, ASKED | {"tools": [WEATHER], "must_call": True, "max_tokens": 80})
    (call,) = [one for piece in pieces for one in piece["calls"]]
    assert call["name"] == "weather"
    assert json.loads(call["arguments"])["place"] in ("sea", "land")
    schema = {"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"]}
    pieces = streamed(studio, ASKED | {"schema": schema, "max_tokens": 60})
    assert json.loads("".join(one["content"] for one in pieces))["mood"] in ("good", "bad")


def test_a_model_without_a_template_goes_on_with_a_text(studio, talker) -> None:
    assert not studio.get(f"{API}/chat/model", params={"at": "run"}).json()["template"]
    asked = {"at": "run", "text": "It was a", "temperature": 0, "max_tokens": 8}
    text = "".join(one["content"] for one in streamed(studio, asked))
    settings = {"temperature": 0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "max_new_tokens": 8}
    assert text == hs.load(talker.parent / "run").generate("It was a", **settings)
    wrong = studio.post(f"{API}/chat/stream", json=ASKED | {"at": "run"})
    assert wrong.status_code == 400
    assert "chat template" in wrong.json()["error"]["message"]


def test_conversations_are_saved_as_examples_to_learn_from(studio, talker) -> None:
    talk = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "<b>A sailor.</b>"}]
    body = {"out": "chats/talks.jsonl", "conversations": [talk, talk]}
    try:
        assert studio.post(f"{API}/chat/save", json=body).json() == {"at": body["out"], "conversations": 2}
        found = load_examples(talker.parent / "chats" / "talks.jsonl", "chat")
        assert found.targets == [("<b>A sailor.</b>",)] * 2
        again = studio.post(f"{API}/chat/save", json=body).json()
        assert "is there already" in again["error"]["message"]
    finally:
        (talker.parent / "chats" / "talks.jsonl").unlink()
    for out in ("../talks.jsonl", "talks.txt"):
        assert studio.post(f"{API}/chat/save", json=body | {"out": out}).status_code == 400
    nothing = studio.post(f"{API}/chat/save", json=body | {"conversations": [talk[:1]]})
    assert "teaches nothing" in nothing.json()["error"]["message"]


def test_what_cannot_be_served_is_a_sentence(studio, talker, tmp_path) -> None:
    server = ChatServer(10)
    with pytest.raises(HeadstartError, match="--memory"):
        server.open(talker)
    with pytest.raises(HeadstartError, match="no finished model"):
        server.open(tmp_path)
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(HeadstartError, match="cannot be talked to"):
        ChatServer(10**9).open(tmp_path)
    server.close()


STUDIO = """
import sys
from pathlib import Path
from headstart.studio.chat_server import ChatServer
server = ChatServer(10**9)
server.open(Path(sys.argv[1]))
print(server._process.pid, flush=True)
sys.stdin.read()
"""


def test_the_served_model_dies_with_a_studio_that_is_killed(talker) -> None:
    command = [sys.executable, "-c", STUDIO, str(talker)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        served = int(killed.stdout.readline())
        assert began(served)
        killed.kill()
    for _ in range(200):
        if not began(served):
            return
        time.sleep(0.1)
    os.kill(served, signal.SIGKILL)
    pytest.fail("the served model outlives the studio by 20 s")
