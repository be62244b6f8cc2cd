"""Whatever comes and goes at the same time, each text is bitwise what it is alone."""

import random
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import pytest
import torch
from random_models import DECODER, random_model, some_ids

from headstart.generation.config import GenerationConfig, ModelIds
from headstart.generation.cpu_decoder import CPUDecoder, make_decoder
from headstart.generation.cpu_library import BLOCK
from headstart.generation.engine.blocks import BlockPool, next_key
from headstart.generation.engine.compiled_rows import CompiledRows
from headstart.generation.engine.model_rows import ModelRows
from headstart.generation.engine.request import Event, GenerationRequest
from headstart.generation.engine.scheduler import PATIENCE, EngineSettings, Scheduler
from headstart.generation.engine.sequence import Sequence as Text
from headstart.models.transformer import Transformer

IDS = ModelIds(frozenset({1, 5, 9}), (0,), None, None, None)
SCHEDULES = 200
PROMPTS = [some_ids(length) for length in (1, 5, 63, 64, 65, 140)]
"""They begin alike."""
PROMPTS += [[7, *prompt] for prompt in PROMPTS[2:]]
CONFIGS = [
    GenerationConfig(temperature=0.0, max_new_tokens=12),
    GenerationConfig(temperature=1.2, top_k=0, max_new_tokens=30, seed=4),
    GenerationConfig(temperature=0.8, top_p=0.9, repetition_penalty=1.2, max_new_tokens=9, min_new_tokens=3),
    GenerationConfig(temperature=1.0, min_p=0.05, frequency_penalty=0.4, max_new_tokens=70, seed=2),
]


@pytest.fixture(scope="module")
def model() -> Transformer:
    return random_model(replace(DECODER, initial_deviation=0.4), torch.bfloat16)


@pytest.fixture(scope="module")
def decoder(model) -> CPUDecoder:
    made = make_decoder(model)
    if made is None:
        pytest.skip("no C++ compiler here")
    return made


def scheduler(decoder: CPUDecoder, blocks: int = 200, **settings) -> Scheduler:
    backend = CompiledRows(decoder, blocks * decoder.block_size * decoder.model.dtype.itemsize)
    return Scheduler(backend, EngineSettings(queue=None, **settings))


def answers(scheduler: Scheduler, requests: Sequence[GenerationRequest]) -> list[list[Event]]:
    """Of requests that come at the same time."""
    events: list[list[Event]] = [[] for _ in requests]
    for request, own in zip(requests, events, strict=True):
        scheduler.submit(request, own.append)
    while not scheduler.idle:
        scheduler.step()
    return events


@pytest.fixture(scope="module")
def asked() -> list[GenerationRequest]:
    """Every prompt with every way to draw, some twice with another index, some with log-probabilities."""
    draw = random.Random(1)
    return [
        GenerationRequest(
            prompt,
            config,
            IDS,
            index=draw.choice([0, 0, 1, 2]),
            top_logprobs=draw.choice([None, None, 0, 3]),
            prompt_logprobs=draw.random() < 0.2,
            logit_bias=draw.choice([{}, {}, {3: 2.0, 4: -50.0}]),
            salt=draw.choice(["", "", "other"]),
            slides=draw.random() < 0.2,
        )
        for prompt in PROMPTS
        for config in CONFIGS
        for _ in range(2)
    ]


@pytest.fixture(scope="module")
def alone(decoder, asked) -> list[tuple[list[Event], list]]:
    """What is answered to each request by an engine that has nothing else to do, its prompt read at once."""
    found = []
    for request in asked:
        fresh, events = scheduler(decoder, budget=256), []
        text = fresh.submit(request, events.append)
        while not fresh.idle:
            fresh.step()
        found.append((events, text.prompt_scores))
    return found


def test_two_hundred_schedules(decoder, asked, alone) -> None:
    draw = random.Random(0)
    hits = 0
    for _ in range(SCHEDULES):
        engine = scheduler(
            decoder,
            blocks=draw.choice([5, 8, 30]),
            budget=draw.choice([1, 7, 7, 16, 64, 64, 256, 256]),
            most_running=draw.choice([1, 3, 20]),
        )
        coming = [draw.randrange(len(asked)) for _ in range(draw.randint(1, 5))]
        live: list[tuple[int, Text, list[Event], bool]] = []
        while coming or not engine.idle:
            while coming and draw.random() < 0.4:
                number, events = coming.pop(), []
                live.append(
                    (number, engine.submit(asked[number], events.append), events, draw.random() < 0.2)
                )
            for _, text, _, leaves in live:
                text.cancelled |= leaves and draw.random() < 0.1
            engine.step()
        for number, text, events, leaves in live:
            expected, scores = alone[number]
            if leaves and events[-1].finish == "cancelled":
                assert events[:-1] == expected[: len(events) - 1]
            else:
                assert events == expected
                assert text.prompt_scores == scores
        assert engine.backend.cache_use == 0
        hits += engine.counters.prefix_hits
    assert hits > 500


@pytest.mark.parametrize("chunk", [1, 7, 64, 256])
def test_chunks_and_shared_beginnings_change_no_bit(decoder, chunk) -> None:
    """Also of the scores of a prompt, which is always read whole."""
    scored = GenerationRequest(some_ids(200), CONFIGS[0], IDS, prompt_logprobs=True, top_logprobs=2)
    plain = replace(scored, prompt_logprobs=False)
    whole, engine = scheduler(decoder, budget=256), scheduler(decoder, budget=chunk)
    expected, miss, hit, longer = (
        answers(whole, [scored])[0],
        answers(engine, [plain])[0],
        answers(engine, [plain])[0],
        answers(engine, [scored])[0],
    )
    assert expected == miss == hit == longer
    assert engine.counters.prefix_hits == 192
    first, second = ([], [])
    whole_text, chunked = whole.submit(scored, first.append), engine.submit(scored, second.append)
    for one in (whole, engine):
        while not one.idle:
            one.step()
    assert whole_text.prompt_scores == chunked.prompt_scores
    assert chunked.cached_tokens == 0


def test_a_conversation_goes_on_from_what_was_written(decoder) -> None:
    engine = scheduler(decoder)
    free = replace(IDS, stop=frozenset())
    first = GenerationRequest(some_ids(50), replace(CONFIGS[0], max_new_tokens=40), free)
    (events,) = answers(engine, [first])
    said = [*first.ids, *(event.scored.token for event in events), 3, 4, 5]
    text = engine.submit(replace(first, ids=said), lambda _: None)
    engine.step()
    assert text.cached_tokens == BLOCK
    other = engine.submit(replace(first, ids=said, salt="another user"), lambda _: None)
    engine.step()
    assert other.cached_tokens == 0


def test_prompts_do_not_hold_up_texts_and_none_is_forgotten(decoder) -> None:
    """Every step has a token of what is being written; every prompt is read on at least every ninth step."""
    engine = scheduler(decoder, budget=16)
    free = replace(IDS, stop=frozenset())
    written: list[Event] = []
    long = replace(CONFIGS[0], max_new_tokens=250)
    engine.submit(GenerationRequest(some_ids(3), long, free), written.append)
    engine.step()
    texts = [
        engine.submit(GenerationRequest(some_ids(150 + place), CONFIGS[0], free), lambda _: None)
        for place in range(12)
    ]
    passed, steps = [0] * 12, 0
    while any(text.unread > 1 for text in texts):
        before, events = [text.read for text in texts], len(written)
        engine.step()
        steps += 1
        assert len(written) == events + 1
        for place, text in enumerate(texts):
            waits = text.read == before[place] and text.unread > 1
            passed[place] = passed[place] + 1 if waits else 0
            assert passed[place] <= PATIENCE
    short: list[Event] = []
    engine.submit(GenerationRequest(some_ids(200), CONFIGS[0], free, salt="long"), lambda _: None)
    engine.step()
    engine.submit(GenerationRequest(some_ids(8), CONFIGS[0], free), short.append)
    for _ in range(5):
        engine.step()
    assert short


@pytest.mark.parametrize(("seconds", "calls"), [(10.0, 4), (1e-4, 1)])
def test_a_slow_machine_still_reads_prompts_by_many_rows(decoder, monkeypatch, seconds, calls) -> None:
    """By this clock every step takes so long; weights are read once a step, so few rows would cost more."""
    ticks = count(step=seconds)
    monkeypatch.setattr("headstart.generation.engine.scheduler.monotonic", lambda: float(next(ticks)))
    engine = scheduler(decoder)
    for length in (250, 250):
        before = engine.counters.steps
        short = replace(CONFIGS[0], max_new_tokens=1)
        answers(engine, [GenerationRequest(some_ids(length), short, IDS, salt=str(before))])
    assert engine.counters.steps - before == calls


def test_room_is_never_more_than_there_is() -> None:
    """Blocks of texts, and of what is kept for later ones, at random."""
    draw, pool = random.Random(3), BlockPool(20, lambda: torch.empty(1))
    texts: list[list] = []
    for _ in range(3000):
        if draw.random() < 0.55:
            kind, length = draw.randrange(4), draw.randint(1, 9)
            keys = [b""]
            for block in range(length):
                keys.append(next_key(keys[-1], [kind, block]))
            shared = pool.find(keys[1:length])
            blocks = pool.take(shared, length)
            if blocks is None:
                assert length - len(shared) > 20 - pool.used - sum(not block.users for block in shared)
                continue
            assert len(blocks) == length
            assert len({id(block.memory) for block in blocks}) == length
            for block, key in zip(blocks, keys[1:], strict=True):
                if block not in shared:
                    assert block.users == 1
                    block.memory.fill_(float(int.from_bytes(key[:2])))
                assert float(block.memory) == int.from_bytes(key[:2])
                pool.publish(block, key)
            texts.append(blocks)
        elif texts:
            pool.give_back(texts.pop(draw.randrange(len(texts))))
        assert pool.made <= 20
        assert pool.used == len({id(block) for text in texts for block in text})


@pytest.mark.parametrize("shape", ["rotary", "learned", "relative", "encoder-decoder"])
def test_the_model_itself_writes_the_same_in_any_company(shape) -> None:
    """Up to rounding, through PyTorch: rows join a batch that others have begun, and leave it."""
    config = replace(DECODER, initial_deviation=0.4, position="relative" if shape == "relative" else "rotary")
    if shape == "learned":
        config = replace(config, position="learned", context=200)
    if shape == "encoder-decoder":
        config = replace(config, architecture="encoder-decoder", encoder_layers=2)
    model, draw = random_model(config).eval(), random.Random(2)
    ids = replace(IDS, decoder_start=2)
    asked = [
        GenerationRequest(prompt, config, ids, top_logprobs=1) for prompt in PROMPTS for config in CONFIGS[:3]
    ]

    def run(numbers: list[int], chance: float) -> list[list[Event]]:
        engine, found = Scheduler(ModelRows(model, 2**24), EngineSettings(queue=None, budget=64)), []
        while numbers or not engine.idle:
            while numbers and draw.random() < chance:
                found.append([])
                engine.submit(asked[numbers.pop(0)], found[-1].append)
            engine.step()
        return found

    order = draw.sample(range(len(asked)), 20)
    for number, together in zip(order, run(order[:], 0.3), strict=True):
        (single,) = run([number], 1.0)
        assert [event.finish for event in together] == [event.finish for event in single]
        for one, other in zip(together, single, strict=True):
            if one.scored is not None:
                assert one.scored.token == other.scored.token
                assert one.scored.logprob == pytest.approx(other.scored.logprob, abs=1e-3)
