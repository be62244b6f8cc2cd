"""Completions: what the engine writes and scores, in OpenAI's shape, streamed and whole."""

import asyncio
import json
import math
import threading
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.generation.config import GenerationConfig
from headstart.generation.text import generate, opened
from headstart.serving.guard import RequestRecord
from headstart.serving.request_error import RequestError
from headstart.serving.settings import Limits
from headstart.serving.texts.bodies import CompletionAnswer
from headstart.serving.texts.event_stream import DONE, PING, _lines
from headstart.serving.texts.writer import Writer

PROMPT = "The old ship"


def ask(client, **body):
    answer = client.post("/v1/completions", {"model": "causal", "prompt": PROMPT, "temperature": 0} | body)
    assert answer.status_code == 200, answer.text
    CompletionAnswer.model_validate(answer.json())
    return answer.json()


def events(client, path, **body):
    """The events of a stream."""
    answer = client.post(path, body | {"stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
    lines = [line for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1] if not line.startswith(":")]


def test_the_text_is_that_of_generate(client, local):
    loaded = local["causal"].loaded
    settings_ = GenerationConfig(max_new_tokens=12, temperature=0.0, top_k=0)
    (expected,) = generate(loaded, [PROMPT], settings_, local["causal"]._decoder)
    answer = ask(client, max_tokens=12)
    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == (expected.text, expected.finish)
    read = len(opened(loaded.tokenizer, loaded.tokenizer.encode(PROMPT)))
    assert answer["usage"]["prompt_tokens"] == read
    assert answer["usage"]["completion_tokens"] == len(expected.ids)
    assert answer["usage"]["total_tokens"] == read + len(expected.ids)


def test_prompts_come_in_order_and_n_each(client):
    prompts = [PROMPT, "A garden", "Nobody"]
    together = ask(client, prompt=prompts, n=2, temperature=1.0, seed=7, max_tokens=8)["choices"]
    assert [one["index"] for one in together] == list(range(6))
    for place, prompt in enumerate(prompts):
        alone = ask(client, prompt=prompt, n=2, temperature=1.0, seed=7, max_tokens=8)["choices"]
        assert [one["text"] for one in alone] == [one["text"] for one in together[2 * place : 2 * place + 2]]
        assert alone[0]["text"] != alone[1]["text"]


def test_a_seed_that_was_drawn_is_told(client):
    first = ask(client, temperature=1.0, max_tokens=10)
    again = ask(client, temperature=1.0, max_tokens=10, seed=first["seed"])
    assert again["choices"] == first["choices"]


def test_ids_are_taken_as_they_are(client, local):
    tokenizer = local["causal"].loaded.tokenizer
    ids = opened(tokenizer, tokenizer.encode(PROMPT))
    by_text, by_ids, by_lists = (ask(client, prompt=one)["choices"] for one in (PROMPT, ids, [ids]))
    assert by_text == by_ids == by_lists
    assert client.problem("/v1/completions", {"model": "causal", "prompt": [10**6]})["param"] == "prompt"


def direct_scores(loaded, ids):
    """Log-probabilities `[T - 1, V]` of what follows each token, by the model itself."""
    with torch.no_grad():
        hidden = loaded.model(torch.tensor([ids]))
        return loaded.model.logits(hidden[0])[:-1].float().log_softmax(-1)


@pytest.mark.parametrize("most", [0, 1, 3])
def test_echo_scores_every_token_of_the_prompt(client, local, most):
    loaded = local["causal"].loaded
    ids = opened(loaded.tokenizer, loaded.tokenizer.encode("The old ship waits in the harbour — 🌊."))
    answer = ask(client, prompt=ids, echo=True, logprobs=2, max_tokens=most)
    (choice,) = answer["choices"]
    found = choice["logprobs"]
    scores = direct_scores(loaded, ids)
    assert found["token_logprobs"][0] is None
    assert found["top_logprobs"][0] is None
    own = scores.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()
    assert found["token_logprobs"][1 : len(ids)] == pytest.approx(own, abs=1e-4)
    for row, top in zip(scores, found["top_logprobs"][1 : len(ids)], strict=True):
        assert max(top.values()) == pytest.approx(float(row.max()), abs=1e-4)
    written = answer["usage"]["completion_tokens"]
    ended = choice["finish_reason"] == "stop"
    assert {len(found[name]) for name in found} == {len(ids) + written + ended}
    assert choice["text"].startswith("The old ship waits in the harbour — 🌊.")


def test_lm_evals_reading_of_echo(client, local):
    """Its sum over `[ctxlen:-1]` is the log-likelihood of a continuation, its flag whether that is greedy."""
    loaded = local["causal"].loaded
    tokenizer = loaded.tokenizer
    start, rest = (
        opened(tokenizer, tokenizer.encode("The old ship")),
        tokenizer.encode(" waits in the harbour"),
    )
    body = {"prompt": [start + rest], "max_tokens": 1, "echo": True, "logprobs": 1, "seed": 1234}
    (choice,) = ask(client, **body)["choices"]
    counted = choice["logprobs"]["token_logprobs"][len(start) : -1]
    tops = choice["logprobs"]["top_logprobs"][len(start) : -1]
    scores = direct_scores(loaded, start + rest)[len(start) - 1 :]
    expected = scores.gather(1, torch.tensor(rest)[:, None])[:, 0]
    assert len(counted) == len(rest)
    assert sum(counted) == pytest.approx(float(expected.sum()), abs=1e-3)
    greedy = all(own == max(top.values()) for own, top in zip(counted, tops, strict=True))
    assert greedy == bool((scores.argmax(-1) == torch.tensor(rest)).all())
    best = ask(client, prompt=start, max_tokens=3)["choices"][0]["text"]
    again = start + tokenizer.encode(best)
    (choice,) = ask(client, **body | {"prompt": [again]})["choices"]
    if tokenizer.decode(again[len(start) :]) == best and len(again) == len(start) + 3:
        pairs = zip(
            choice["logprobs"]["token_logprobs"][len(start) : -1],
            choice["logprobs"]["top_logprobs"][len(start) : -1],
            strict=True,
        )
        assert all(own == max(top.values()) for own, top in pairs)


def test_a_text_that_ends_has_an_entry_for_its_end(client, local):
    """Else whoever leaves out the written token would leave out one of the prompt's."""
    end = local["causal"].loaded.tokenizer.special.end
    body = {"echo": True, "logprobs": 1, "max_tokens": 1, "logit_bias": {str(end): 100}}
    answer = ask(client, **body)
    (choice,) = answer["choices"]
    assert choice["finish_reason"] == "stop"
    assert len(choice["logprobs"]["tokens"]) == answer["usage"]["prompt_tokens"]  # one opens the text
    assert choice["logprobs"]["token_logprobs"][-1] is not None
    assert choice["text"] == PROMPT


def test_the_echo_of_a_text_is_that_text(client, local):
    """The token that opens every text was not sent: the first one sent has a score, by what stands before."""
    tokenizer = local["causal"].loaded.tokenizer
    ids = opened(tokenizer, tokenizer.encode(PROMPT))
    body = {"echo": True, "logprobs": 1, "max_tokens": 0}
    (of_ids,) = ask(client, prompt=ids, **body)["choices"]
    (of_text,) = ask(client, prompt=PROMPT, **body)["choices"]
    (of_both,) = ask(client, prompt=tokenizer.tokens[ids[0]] + PROMPT, **body)["choices"]
    assert of_both == of_ids
    assert "".join(of_text["logprobs"]["tokens"]) == of_text["text"] == PROMPT
    for name in ("tokens", "token_logprobs", "top_logprobs"):
        assert of_text["logprobs"][name] == of_ids["logprobs"][name][1:]


def test_offsets_count_characters(client):
    (choice,) = ask(client, prompt="Żółć 🌊", echo=True, logprobs=0, max_tokens=6)["choices"]
    offsets = choice["logprobs"]["text_offset"]
    assert offsets == sorted(offsets)
    assert offsets[0] == 0
    assert offsets[-1] <= len(choice["text"])


STOPS = st.lists(
    st.sampled_from(["a", "e", " t", "the", "zz", "\n", ".", "🌊", "in"]), max_size=3, unique=True
)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.floats(0, 2), STOPS, st.integers(1, 40), st.integers(1, 3))
def test_a_stream_is_the_whole_text(client, seed, temperature, stops, most, n):
    body = {"model": "causal", "prompt": [PROMPT, "Ein größer 🌷"], "seed": seed, "temperature": temperature}
    body |= {"stop": stops, "max_tokens": most, "n": n}
    whole = ask(client, **body)
    found = events(client, "/v1/completions", **body, stream_options={"include_usage": True})
    texts = {one["index"]: "" for one in whole["choices"]}
    ends = {}
    for event in found[:-1]:
        (choice,) = event["choices"]
        texts[choice["index"]] += choice["text"]
        assert choice["index"] not in ends
        if choice["finish_reason"]:
            ends[choice["index"]] = choice["finish_reason"]
    assert texts == {one["index"]: one["text"] for one in whole["choices"]}
    assert ends == {one["index"]: one["finish_reason"] for one in whole["choices"]}
    assert found[-1]["choices"] == []
    assert found[-1]["usage"] == whole["usage"]
    assert not any(stop in text for text in texts.values() for stop in stops)


def test_streamed_logprobs_are_the_whole_ones(client):
    body = {
        "model": "causal",
        "prompt": PROMPT,
        "temperature": 0,
        "max_tokens": 8,
        "logprobs": 2,
        "echo": True,
    }
    whole = ask(client, **body)["choices"][0]["logprobs"]
    parts = [event["choices"][0]["logprobs"] for event in events(client, "/v1/completions", **body)]
    assert {name: [one for part in parts for one in part[name]] for name in whole} == whole


def test_encoder_decoders_answer_their_prompt(client, local):
    loaded = local["answers"].loaded
    (expected,) = generate(loaded, [PROMPT], GenerationConfig(max_new_tokens=10, temperature=0.0, top_k=0))
    (choice,) = ask(client, model="answers", max_tokens=10)["choices"]
    assert choice["text"] == expected.text
    refused = client.problem("/v1/completions", {"model": "answers", "prompt": "x", "echo": True})
    assert refused["param"] == "echo"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"suffix": "x"}, "unsupported_value"),
        ({"best_of": 2}, "unsupported_value"),
        ({"n": 10**9}, "unsupported_value"),
        ({"max_tokens": -1}, "unsupported_value"),
        ({"max_tokens": "5"}, "unsupported_value"),
        ({"temperature": -1}, "unsupported_value"),
        ({"stop": [""]}, "unsupported_value"),
        ({"stop": ["x"] * 17}, "unsupported_value"),
        ({"logit_bias": {"no": 1}}, "unsupported_value"),
        ({"logit_bias": {"5": 1000}}, "unsupported_value"),
        ({"logit_bias": {"9" * 5000: 1}}, "unsupported_value"),
        ({"min_tokens": 9, "max_tokens": 3}, "unsupported_value"),
        ({"prompt": []}, "unsupported_value"),
        ({"prompt": [[]]}, "unsupported_value"),
        ({"prompt": "word " * 4000}, "context_length_exceeded"),
        ({"temprature": 1}, "unknown_field"),
        ({"logprobs": 21}, "unsupported_value"),
        ({"stream_options": {"include_usge": True}}, "unknown_field"),
    ],
)
def test_what_is_refused(client, body, code):
    assert client.problem("/v1/completions", {"model": "causal", "prompt": PROMPT} | body)["code"] == code


def test_neutral_fields_are_taken(client):
    ask(
        client,
        suffix=None,
        best_of=1,
        n=1,
        logit_bias={},
        user="me",
        store=False,
        metadata={"a": "b"},
        max_tokens=1,
    )


def test_more_texts_than_may_wait_are_one_request(serving, monkeypatch):
    """Who comes while they wait is told to try again."""
    client = serving("causal", limits=Limits(queued=8))
    many = {"prompt": [PROMPT] * 100, "n": 4, "max_tokens": 2}
    client.post("/v1/completions", many | {"prompt": PROMPT})
    engine = client.application.service.store.residents["causal"].engine
    go_on, step = threading.Event(), engine.scheduler.step

    def held():
        assert go_on.wait(600)
        step()

    monkeypatch.setattr(engine.scheduler, "step", held)

    async def both():
        first = asyncio.ensure_future(client.http.post("/v1/completions", json=many))
        while engine.waiting < 400:
            await asyncio.sleep(0.001)
        second = await client.http.post("/v1/completions", json=many | {"n": 1})
        go_on.set()
        return second, await first

    second, first = client.run(both())
    assert (first.status_code, len(first.json()["choices"])) == (200, 400)
    assert (second.status_code, second.json()["error"]["code"]) == (429, "queue_full")
    assert int(second.headers["retry-after"]) > 0


@pytest.mark.parametrize(
    ("waited", "waits", "refused"),
    [([61.0, 1.0], [True, True], True), ([61.0, 61.0], [False, True], False), ([59.0], [True], False)],
)
def test_only_what_was_never_begun_waited_too_long(waited, waits, refused):
    """A prompt that was begun late, and takes long to read, goes on."""
    writer = Writer.__new__(Writer)
    writer.limits = Limits(queue_seconds=60)
    handles = [SimpleNamespace(queue_seconds=one, waits=two) for one, two in zip(waited, waits, strict=True)]
    writer.rows = [SimpleNamespace(handle=handle) for handle in handles]
    with pytest.raises(RequestError, match="waited 61 seconds") if refused else nullcontext():
        writer._refuse_late()


def test_min_tokens_and_stop_ids(client, local):
    end = local["causal"].loaded.tokenizer.special.end
    body = {"logit_bias": {str(end): 100}, "max_tokens": 6}
    assert ask(client, **body)["usage"]["completion_tokens"] == 0
    assert ask(client, **body, min_tokens=4)["usage"]["completion_tokens"] == 4
    free = ask(client, max_tokens=3, logprobs=0)
    first = local["causal"].loaded.tokenizer.tokens.index(free["choices"][0]["logprobs"]["tokens"][0])
    stopped = ask(client, max_tokens=3, stop_token_ids=[first])
    assert (stopped["choices"][0]["text"], stopped["choices"][0]["finish_reason"]) == ("", "stop")


def test_a_shortest_length_behind_the_end_of_a_schema(client):
    body = {"model": "causal", "prompt": "The", "max_tokens": 40, "min_tokens": 20}
    body["response_format"] = {"type": "json_schema", "json_schema": {"schema": {"const": "sea"}}}
    assert "every token is forbidden" in client.problem("/v1/completions", body)["message"]


def test_a_stream_that_has_nothing_to_tell_says_that_it_lives():
    async def events():
        for event in ({"a": 1}, None, None, {"b": 2}, None):
            yield event

    async def lines(ping_seconds):
        return [line async for line in _lines(events(), RequestRecord("r"), ping_seconds)]

    told = [b'data: {"a":1}\n\n', b'data: {"b":2}\n\n', DONE]
    assert asyncio.run(lines(3600)) == told
    assert asyncio.run(lines(0)) == [told[0], PING, PING, told[1], PING, DONE]


def test_no_infinite_logprob(client):
    answer = client.post(
        "/v1/completions", {"model": "causal", "prompt": PROMPT, "logprobs": 5, "echo": True}
    )
    numbers = answer.json()["choices"][0]["logprobs"]["token_logprobs"][1:]
    assert all(math.isfinite(number) and number >= -9999 for number in numbers)


def generated(client):
    """Tokens written, as `/metrics` tells."""
    registry = client.application.service.metrics.registry
    return registry.get_sample_value("headstart_generation_tokens_total")


def cancelled(client):
    """Requests whose clients left."""
    registry = client.application.service.metrics.registry
    return registry.get_sample_value("headstart_cancelled_total", {"why": "disconnect"}) or 0


def test_a_client_that_leaves_frees_its_row(client):
    """A stream that is left is dropped by the next steps; the others' texts stay the same."""
    body = {
        "model": "causal",
        "prompt": PROMPT,
        "max_tokens": 200,
        "temperature": 0,
        "logit_bias": {"2": -100},
    }
    expected = client.post("/v1/completions", body).json()["choices"]
    engine = client.application.service.store.residents["causal"].engine
    before, left = generated(client), cancelled(client)

    async def leave():
        asked = [
            asyncio.ensure_future(client.http.post("/v1/completions", json=body | {"stream": stream, "n": 3}))
            for stream in (True, False, True)
        ]
        stays = asyncio.ensure_future(client.http.post("/v1/completions", json=body))
        while engine.running < 4 or generated(client) < before + 20:
            await asyncio.sleep(0.001)
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        return await stays

    resident = client.application.service.store.residents["causal"]
    assert client.run(leave()).json()["choices"] == expected
    for _ in range(500):
        if engine.scheduler.idle and not resident.users:
            break
        client.post("/v1/completions", body | {"max_tokens": 1})
    assert engine.cache_use == 0
    assert generated(client) > before + 200  # what was written for those who left is counted too
    assert cancelled(client) == left + 3
    assert resident.users == 0


def test_an_engine_that_ends_ends_streams_with_an_error(serving):
    client = serving("causal", limits=Limits())
    body = {"prompt": PROMPT, "max_tokens": 250, "stream": True, "logit_bias": {"2": -100}}

    async def end():
        asked = asyncio.ensure_future(client.http.post("/v1/completions", json=body))
        while not (resident := client.application.service.store.residents.get("causal")):
            await asyncio.sleep(0.001)
        while not resident.engine.running:
            await asyncio.sleep(0.001)
        await asyncio.to_thread(resident.close)
        return await asked

    lines = [line for line in client.run(end()).text.split("\n\n") if line]
    last = json.loads(lines[-1].removeprefix("data: "))
    assert last["error"]["code"] == "shutting_down"


def test_tokens_and_back(client, local):
    tokenizer = local["causal"].loaded.tokenizer
    text = "Żółć waits — 🌊."
    answer = client.post("/tokenize", {"model": "causal", "prompt": text, "return_token_strs": True}).json()
    assert answer["tokens"] == tokenizer.with_special(tokenizer.encode(text))[0]
    assert answer["count"] == len(answer["tokens"]) == len(answer["offsets"]) == len(answer["token_strs"])
    spans = [text[start:end] for start, end in answer["offsets"]]
    assert "waits" in "".join(spans)
    plain = client.post("/tokenize", {"model": "causal", "prompt": text, "add_special_tokens": False}).json()
    assert plain["tokens"] == tokenizer.encode(text)
    back = client.post("/detokenize", {"model": "causal", "tokens": answer["tokens"]}).json()
    assert back == {"prompt": text}
    info = client.get("/tokenizer_info?model=causal").json()
    assert info["eos_token_id"] == tokenizer.special.end
    assert info["vocab_size"] == tokenizer.vocab_size
