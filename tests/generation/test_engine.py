"""The engine: many requests at once, each answered as if it were alone."""

import threading
from dataclasses import replace

import pytest
import torch
from random_models import DECODER, random_model, some_ids

from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig, ModelIds
from headstart.generation.cpu_decoder import CPUDecoder, make_decoder
from headstart.generation.engine.engine import Engine
from headstart.generation.engine.request import (
    ContextExceeded,
    EngineFailed,
    Event,
    GenerationRequest,
    QueueFull,
    ShuttingDown,
)
from headstart.generation.engine.scheduler import EngineSettings
from headstart.models.transformer import Transformer

IDS = ModelIds(frozenset(), (0,), None, None, None)
STOPS = replace(IDS, stop=frozenset({1}))
GREEDY = GenerationConfig(temperature=0.0, max_new_tokens=12)


@pytest.fixture(scope="module")
def model() -> Transformer:
    return random_model(replace(DECODER, initial_deviation=0.4))


@pytest.fixture(scope="module", params=["compiled", "model"])
def decoder(request, model) -> CPUDecoder | None:
    if request.param == "model":
        return None
    made = make_decoder(model)
    if made is None:
        pytest.skip("no C++ compiler here")
    return made


@pytest.fixture
def engine(model, decoder):
    made = Engine(model, decoder)
    yield made
    made.close()


def request(ids: list[int], **fields) -> GenerationRequest:
    return GenerationRequest(ids, **{"config": GREEDY, "model_ids": IDS} | fields)


def tokens(events: list[Event]) -> list[int]:
    return [event.scored.token for event in events if event.scored is not None]


@torch.no_grad()
def direct_logprobs(model: Transformer, ids: list[int]) -> torch.Tensor:
    """`[T, V]`, by one forward pass."""
    return model.logits(model(torch.tensor([ids])))[0].log_softmax(-1)


def test_greedy_text_and_its_logprobs_are_the_models(engine, model) -> None:
    prompt = some_ids(9)
    events = list(engine.submit(request(prompt, top_logprobs=3)))
    written = tokens(events)
    assert [event.finish for event in events] == [None] * 11 + ["length"]
    logprobs = direct_logprobs(model, [*prompt, *written])[8:-1]
    for event, row in zip(events, logprobs, strict=True):
        assert event.scored.logprob == pytest.approx(float(row[event.scored.token]), abs=1e-4)
        best = row.topk(3)
        assert [token for token, _ in event.scored.top] == best.indices.tolist()
        assert [number for _, number in event.scored.top] == pytest.approx(best.values.tolist(), abs=1e-4)
        row[0] = float("-inf")  # never written
        assert event.scored.token == int(row.argmax())


def test_prompts_are_scored(engine, model) -> None:
    """Exactly the log-probabilities of one forward pass; the likeliest and the actual token by one array."""
    prompt = some_ids(70)
    asked = request(prompt, prompt_logprobs=True, top_logprobs=1, writes=False)
    handle = engine.submit(asked)
    assert [(event.scored, event.finish) for event in handle] == [(None, "length")]
    scores, logprobs = handle.prompt_scores, direct_logprobs(model, prompt)
    assert [one.token for one in scores] == prompt
    assert (scores[0].logprob, scores[0].top) == (None, ())
    for place, one in enumerate(scores[1:]):
        assert one.logprob == pytest.approx(float(logprobs[place, prompt[place + 1]]), abs=1e-4)
        ((best, number),) = one.top
        assert (best == one.token) == (number == one.logprob)
        assert best == int(logprobs[place].argmax())
    both = engine.submit(replace(asked, writes=True))
    assert len(list(both)) == 12
    assert both.prompt_scores == scores


def test_each_of_n_texts_draws_by_its_index(engine) -> None:
    drawn = replace(GREEDY, temperature=1.5, seed=3)
    asked = [request(some_ids(5), config=drawn, index=index) for index in (0, 1, 2, 1)]
    texts = [tokens(list(handle)) for handle in [engine.submit(one) for one in asked]]
    assert texts[1] == texts[3]
    assert len({tuple(text) for text in texts}) == 3


def test_biases_and_grammar_say_what_comes(engine) -> None:
    class Counting:
        """Tokens 20, 21, 22, then the end."""

        def __init__(self) -> None:
            self.next = 20

        def mask(self, logits: torch.Tensor) -> None:
            allowed = logits[self.next if self.next < 23 else 1].clone()
            logits.fill_(float("-inf"))
            logits[self.next if self.next < 23 else 1] = allowed

        def advance(self, token: int) -> None:
            assert token == self.next
            self.next += 1

    events = list(engine.submit(request(some_ids(5), grammar=Counting(), model_ids=STOPS, top_logprobs=0)))
    assert tokens(events) == [20, 21, 22]
    assert (events[-1].finish, events[-1].stop_token) == ("stop", 1)
    assert all(event.scored.logprob < 0 for event in events[:-1])
    biased = list(engine.submit(request(some_ids(5), logit_bias={33: 1e4})))
    assert tokens(biased) == [33] * 12


def test_a_text_ends_at_the_contexts_end_or_slides(engine, model) -> None:
    long = replace(GREEDY, max_new_tokens=400)
    events = list(engine.submit(request(some_ids(200), config=long)))
    assert len(tokens(events)) == 56
    assert events[-1].finish == "length"
    sliding = request(some_ids(200), config=long, slides=True)
    assert len(tokens(list(engine.submit(sliding)))) == 400
    with pytest.raises(ContextExceeded, match="256 tokens, and this model reads 256"):
        engine.submit(request(some_ids(256)))


def test_a_cancelled_request_leaves_within_a_step(engine) -> None:
    begun, go_on, events = threading.Event(), threading.Event(), []

    def sink(event: Event) -> None:
        events.append(event)
        begun.set()
        go_on.wait(600)

    handle = engine.submit(request(some_ids(5), config=replace(GREEDY, max_new_tokens=200)), sink)
    other = engine.submit(request(some_ids(7)))
    assert begun.wait(600)
    handle.cancel()
    go_on.set()
    assert len(list(other)) == 12
    assert len(events) <= 3
    assert (events[-1].finish, events[-1].scored) == ("cancelled", None)
    assert engine.counters.finished["cancelled"] == 1
    assert (engine.running, engine.waiting, engine.cache_use) == (0, 0, 0)


def test_a_request_that_cannot_go_on_ends_alone(engine) -> None:
    class Forbidding:
        def mask(self, logits: torch.Tensor) -> None:
            logits.fill_(float("-inf"))

        def advance(self, token: int) -> None: ...

    wrong = engine.submit(request(some_ids(5), grammar=Forbidding()))
    right = engine.submit(request(some_ids(6)))
    (event,) = wrong
    assert event.finish == "error"
    assert "every token is forbidden" in event.error
    assert len(list(right)) == 12


def test_draining_ends_what_has_begun(model, decoder) -> None:
    engine = Engine(model, decoder, EngineSettings(most_running=1, queue=2))
    try:
        begun, go_on = threading.Event(), threading.Event()

        def sink(_: Event) -> None:
            begun.set()
            go_on.wait(600)

        engine.submit(request(some_ids(5)), sink)
        assert begun.wait(600)
        handles = [engine.submit(request(some_ids(5))) for _ in range(2)]
        with pytest.raises(QueueFull):
            engine.submit(request(some_ids(5)))
        go_on.set()
        assert engine.drain(60)
        assert [len(tokens(list(handle))) for handle in handles] == [12, 12]
        with pytest.raises(ShuttingDown):
            engine.submit(request(some_ids(5)))
    finally:
        engine.close()


def test_a_sink_that_fails_is_an_asker_that_left(engine) -> None:
    def broken(_: Event) -> None:
        raise RuntimeError("a fault")

    engine.submit(request(some_ids(5)), broken)
    assert len(list(engine.submit(request(some_ids(6))))) == 12
    assert engine.counters.finished["cancelled"] == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_the_engine_is_told_to_all(engine, monkeypatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(engine.scheduler.backend, "read", broken)
    (event,) = engine.submit(request(some_ids(5)))
    assert event.finish == "error"
    with pytest.raises(EngineFailed):
        engine.submit(request(some_ids(5)))
    assert isinstance(engine.failed, RuntimeError)


def test_what_can_never_be_answered_is_refused(model) -> None:
    if (compiled := make_decoder(model)) is None:
        pytest.skip("no C++ compiler here")
    engine = Engine(model, compiled, EngineSettings(cache_bytes=2**15))
    with pytest.raises(ContextExceeded, match="the cache has"):
        engine.submit(request(some_ids(250)))
    engine.close()
    with pytest.raises(HeadstartError, match="beam search"):
        request(some_ids(3), config=GenerationConfig(beams=2, temperature=0))
    with pytest.raises(HeadstartError, match="without tokens"):
        request([])
