"""Samplers against plain computations, and against transformers' processors."""

import math
from collections import Counter

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor
from transformers.generation import logits_process as theirs

from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig, ModelIds
from headstart.generation.sampling import (
    NEVER,
    choose,
    constrain,
    draw,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalise_counts,
    penalise_repeats,
    repeating,
)

V = 40
NO_IDS = ModelIds(stop=frozenset(), never=(), decoder_start=None, first=None, last=None)
SEEDS = st.integers(0, 10_000)
WRITTEN = st.lists(st.integers(0, 5), max_size=20)


def random_logits(seed: int, rows: int = 3) -> Tensor:
    return torch.randn(rows, V, generator=torch.Generator().manual_seed(seed)) * 3


def same(ours: Tensor, other: Tensor) -> None:
    assert torch.equal(ours == NEVER, other == NEVER)
    torch.testing.assert_close(ours, other)


@given(seed=SEEDS, count=st.integers(0, 2 * V))
def test_top_k(seed, count) -> None:
    logits = random_logits(seed)
    kept = keep_top_k(logits, count)
    if count:
        same(kept, theirs.TopKLogitsWarper(count)(None, logits))
        assert (kept > NEVER).sum(-1).tolist() == [min(count, V)] * 3
    else:
        same(kept, logits)


@given(seed=SEEDS, share=st.floats(0.01, 1), count=st.integers(0, V))
def test_top_p(seed, share, count) -> None:
    logits = keep_top_k(random_logits(seed), count)
    chances = logits.double().softmax(-1).sort(-1, descending=True).values.cumsum(-1)
    assume(float((chances - share).abs().min()) > 1e-5)  # at the border itself, rounding decides
    kept = keep_top_p(logits, share)
    same(kept, theirs.TopPLogitsWarper(share)(None, logits))
    for row, own in enumerate(logits.tolist()):
        order = sorted(range(V), key=lambda index: -own[index])
        total, expected = 0.0, set()
        probabilities = torch.tensor(own).double().softmax(-1)
        for index in order:
            expected.add(index)
            total += float(probabilities[index])
            if total >= share:
                break
        expected = {index for index in expected if own[index] > NEVER}
        assert {index for index in range(V) if kept[row, index] > NEVER} == expected


@given(seed=SEEDS, share=st.floats(0, 1))
def test_min_p(seed, share) -> None:
    logits = random_logits(seed)
    chances = logits.double().softmax(-1)
    ratios = chances / chances.amax(-1, keepdim=True)
    assume(float(((ratios - share).abs() + (ratios == 1)).min()) > 1e-5)
    kept = keep_min_p(logits, share)
    same(kept, theirs.MinPLogitsWarper(share)(None, logits) if share < 1 else kept)
    assert torch.equal(kept > NEVER, (ratios >= share))


@given(seed=SEEDS, seen=st.lists(st.integers(0, V - 1), min_size=1), penalty=st.floats(0.1, 5))
def test_repetition_penalty(seed, seen, penalty) -> None:
    logits = random_logits(seed, 1)
    expected = theirs.RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([seen]), logits)
    same(penalise_repeats(logits[0], seen, penalty), expected[0])
    assert torch.equal(penalise_repeats(logits[0], [], penalty), logits[0])


@given(seed=SEEDS, written=WRITTEN, frequency=st.floats(-2, 2), presence=st.floats(-2, 2))
def test_frequency_and_presence(seed, written, frequency, presence) -> None:
    logits = random_logits(seed, 1)[0]
    counts = Counter(written)
    expected = [
        float(logit) - counts[index] * frequency - (presence if counts[index] else 0)
        for index, logit in enumerate(logits)
    ]
    torch.testing.assert_close(penalise_counts(logits, written, frequency, presence), torch.tensor(expected))


@given(ids=st.lists(st.integers(0, 2), min_size=1, max_size=15), size=st.integers(1, 5))
def test_runs_of_tokens_come_once(ids, size) -> None:
    logits = theirs.NoRepeatNGramLogitsProcessor(size)(torch.tensor([ids]), torch.zeros(1, V))
    banned = set(repeating(ids, size))
    assert banned == {index for index in range(V) if logits[0, index] == NEVER}
    runs = [tuple(ids[start : start + size]) for start in range(len(ids) - size + 1)]
    for token in range(3):
        assert ((*ids, token)[-size:] in runs) == (token in banned)


@given(seed=SEEDS, prompt=WRITTEN, written=WRITTEN, most=st.integers(1, 30))
def test_constraints_together(seed, prompt, written, most) -> None:
    written = written[: most - 1]
    logits = random_logits(seed, 1)
    config = GenerationConfig(repetition_penalty=1.3, min_new_tokens=4, max_new_tokens=60, no_repeat_ngram=3)
    ids = ModelIds(stop=frozenset({7}), never=(9, 11), decoder_start=None, first=8, last=7)
    before = logits.clone()
    allowed = constrain(logits, [prompt], [written], config, ids, most)[0]
    assert torch.equal(logits, before), "the logits themselves stay"
    if len(written) == most - 1 or not written:
        assert (allowed > NEVER).nonzero().flatten().tolist() == [7 if len(written) == most - 1 else 8]
        return
    assert (allowed[7] == NEVER) == (len(written) < 4)
    assert (allowed[[9, 11]] == NEVER).all()
    free = [index for index in range(12, V) if index not in {*prompt, *written}]
    assert torch.equal(allowed[free], logits[0, free])


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([[NEVER, 0.0, NEVER, 1.0, 2.0, NEVER]]).expand(5000, -1)
    uniforms = (torch.arange(5000) + 0.5) / 5000
    shares = torch.bincount(draw(logits, uniforms), minlength=6) / 5000
    torch.testing.assert_close(shares, logits[0].softmax(-1), atol=3e-4, rtol=0)


@given(seed=SEEDS, uniform=st.floats(0, 1), kept=st.sets(st.integers(0, V - 1), min_size=1))
def test_what_is_impossible_is_never_drawn(seed, uniform, kept) -> None:
    logits = random_logits(seed, 1)
    logits[0, [index for index in range(V) if index not in kept]] = NEVER
    assert int(draw(logits, torch.tensor([uniform], dtype=torch.double))) in kept


@given(
    seed=SEEDS,
    temperature=st.sampled_from([1e-40, 1e-3, 0.5, 1.0, 100.0]),
    top_k=st.integers(1, V),
    top_p=st.floats(0.1, 1),
    min_p=st.floats(0, 1),
    uniform=st.floats(0, 1, exclude_max=True),
)
def test_the_whole_way(seed, temperature, top_k, top_p, min_p, uniform) -> None:
    """Whatever is drawn survives transformers' processors in their order (within rounding at the borders)."""
    logits = random_logits(seed, 1)
    config = GenerationConfig(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    token = int(choose(logits, config, [uniform]))
    assert int((logits > logits[0, token]).sum()) < top_k
    chances = keep_top_k(((logits - logits.max()).double() / temperature), top_k).softmax(-1)[0]
    likelier = float(chances[chances > chances[token]].sum())
    assert likelier < top_p + 1e-6
    assert chances[token] >= min_p * chances.max() * (1 - 1e-6)
    greedy = GenerationConfig(temperature=0)
    assert int(choose(logits, greedy, [uniform])) == int(logits.argmax())
    if temperature < 1e-30 or top_k == 1:
        assert token == int(logits.argmax())


def test_temperature_is_transformers() -> None:
    logits = random_logits(3, 1)
    expected = theirs.TemperatureLogitsWarper(0.7)(None, logits).softmax(-1)[0]
    config = GenerationConfig(temperature=0.7, top_k=0)
    uniforms = ((torch.arange(20_000) + 0.5) / 20_000).tolist()
    drawn = choose(logits.expand(20_000, -1), config, uniforms)
    shares = torch.bincount(drawn, minlength=V) / 20_000
    torch.testing.assert_close(shares, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"temperature": -1}, "a number of at least 0"),
        ({"temperature": math.nan}, "temperature=nan"),
        ({"temperature": "hot"}, "temperature='hot'"),
        ({"top_k": -1}, "a whole number of at least 0"),
        ({"top_k": 1.5}, "a whole number"),
        ({"top_p": 0}, "above 0 and at most 1"),
        ({"min_p": 1.1}, "from 0 to 1"),
        ({"max_new_tokens": 0}, "at least 1"),
        ({"max_new_tokens": True}, "at least 1"),
        ({"repetition_penalty": 0}, "above 0"),
        ({"frequency_penalty": math.inf}, "frequency_penalty=inf"),
        ({"stop": ""}, "empty stop string"),
        ({"stop": [3]}, "no text"),
        ({"stop_tokens": ["x"]}, "no token id"),
        ({"beams": 2}, "set temperature=0"),
        ({"early_stopping": "soon"}, "never"),
        ({"min_new_tokens": 70}, "more than max_new_tokens=60"),
    ],
)
def test_settings_that_are_not_possible(setting, words) -> None:
    with pytest.raises(HeadstartError, match=words):
        GenerationConfig(**setting)
