"""Text out of a model: reproducible, and the cache is only a short cut."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.generation.text import fill_mask, generate, pick
from headstart.models.transformer import Transformer
from headstart.tokenizer.bpe import END_ID, MASK_ID, START_ID, Tokenizer


@pytest.fixture(scope="module")
def decoder(tiny) -> Transformer:
    """A decoder whose output is far from uniform, so that choices differ."""
    model = tiny("headstart-decoder")
    with torch.no_grad():
        model.embedding.weight.mul_(8)
    return model


@pytest.fixture(scope="module")
def encoder(tiny) -> Transformer:
    return tiny("headstart-encoder")


def greedy_without_cache(model: Transformer, tokenizer: Tokenizer, prompt: str, count: int) -> str:
    ids = [START_ID, *tokenizer.encode(prompt)]
    start = len(ids)
    with torch.no_grad():
        while len(ids) < start + count:
            logits = model.logits(model(torch.tensor([ids])))[0, -1]
            logits[[0, 2, 3]] = float("-inf")
            if int(logits.argmax()) == END_ID:
                break
            ids.append(int(logits.argmax()))
    return tokenizer.decode(ids[start:])


@pytest.mark.parametrize("prompt", ["", "The king ", "It is a truth universally acknowledged"])
def test_greedy_with_cache_is_greedy_without(decoder, tokenizer, prompt) -> None:
    text = generate(decoder, tokenizer, prompt, max_new_tokens=20, temperature=0)
    assert text == greedy_without_cache(decoder, tokenizer, prompt, 20)
    assert text == generate(decoder, tokenizer, prompt, max_new_tokens=20, temperature=0, seed=5)
    assert text == generate(decoder, tokenizer, prompt, max_new_tokens=20, temperature=1.0, top_k=1)


def test_seeds(decoder, tokenizer) -> None:
    texts = [generate(decoder, tokenizer, "The", temperature=1.0, seed=seed) for seed in (0, 0, 1, 2)]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


def test_a_long_prompt_and_a_long_text_stay_inside_the_context(decoder, tokenizer, monkeypatch) -> None:
    """The model was trained on rows of 64 tokens and is never asked about a longer one."""
    lengths = []
    forward = Transformer.forward

    def watch(self, ids, segments=None, cache=None):
        lengths.append((cache.length if cache else 0) + ids.shape[1])
        return forward(self, ids, segments, cache)

    monkeypatch.setattr(Transformer, "forward", watch)
    prompt = "It is a truth universally acknowledged, " * 20
    assert len(tokenizer.encode(prompt)) > 200
    generate(decoder, tokenizer, prompt, max_new_tokens=150)
    assert max(lengths) == 64
    assert min(lengths[1:]) >= 32, "half of a full row is kept"


def test_only_the_end_of_a_long_prompt_counts(decoder, tokenizer) -> None:
    tail = "universally acknowledged, that a single man in possession of a good fortune " * 8
    assert len(tokenizer.encode(tail)) > 64
    first, second = (generate(decoder, tokenizer, start + tail, temperature=0) for start in ("", "So then: "))
    assert first == second


class Fixed(torch.nn.Module):
    """Stands in for a model that always gives the same logits."""

    def __init__(self, config, logits) -> None:
        super().__init__()
        self.config, self.scores = config, logits

    def forward(self, ids, cache=None):
        return torch.zeros(*ids.shape, 1)

    def logits(self, hidden):
        return self.scores


def test_stops_at_the_end_of_the_text(decoder, tokenizer) -> None:
    scores = torch.zeros(600)
    scores[END_ID] = 9
    assert generate(Fixed(decoder.config, scores), tokenizer, "x", temperature=0) == ""


def test_length_is_counted_in_tokens(decoder, tokenizer) -> None:
    scores = torch.zeros(600)
    scores[tokenizer.encode("a")[0]] = 9
    assert generate(Fixed(decoder.config, scores), tokenizer, "x", max_new_tokens=7, temperature=0) == "a" * 7


@given(
    seed=st.integers(0, 1000),
    temperature=st.sampled_from([1e-40, 1e-3, 0.5, 1.0, 100.0]),
    k=st.integers(1, 700),
)
def test_pick_draws_only_what_it_may(seed, temperature, k) -> None:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(600, generator=random) * 5
    logits[[0, 2, 3]] += 100
    index = pick(logits.clone(), temperature, k, random)
    assert index not in (START_ID, 2, MASK_ID)
    allowed = logits.clone()
    allowed[[0, 2, 3]] = float("-inf")
    assert int((allowed > allowed[index]).sum()) < k
    assert pick(logits, 0, k, random) == int(allowed.argmax())


def test_pick_follows_the_probabilities() -> None:
    logits = torch.full((600,), float("-inf"))
    logits[10], logits[11] = 0.0, 1.0
    random = torch.Generator().manual_seed(0)
    n = 3000
    for temperature in (1.0, 2.0):
        share = float(torch.tensor(1 / temperature).sigmoid())
        hits = sum(pick(logits, temperature, 50, random) == 11 for _ in range(n))
        assert abs(hits - n * share) < 5 * (n * share * (1 - share)) ** 0.5


@pytest.mark.parametrize("setting", [{"temperature": -1}, {"top_k": 0}, {"max_new_tokens": 0}])
def test_settings_out_of_range(decoder, tokenizer, setting) -> None:
    with pytest.raises(HeadstartError):
        generate(decoder, tokenizer, "x", **setting)


def test_each_refuses_the_other_kind(decoder, encoder, tokenizer) -> None:
    with pytest.raises(HeadstartError, match="encoder cannot generate"):
        generate(encoder, tokenizer, "x")
    with pytest.raises(HeadstartError, match="cannot fill gaps"):
        fill_mask(decoder, tokenizer, "a <mask>")
    with pytest.raises(HeadstartError, match="has no <mask>"):
        fill_mask(encoder, tokenizer, "no gap")


def test_fill_mask_looks_at_the_gap(encoder, tokenizer) -> None:
    answers = fill_mask(encoder, tokenizer, "the <mask> of France", count=600)
    assert sum(chance for _, chance in answers) == pytest.approx(1, abs=1e-4)
    assert [chance for _, chance in answers] == sorted((chance for _, chance in answers), reverse=True)
    ids = [START_ID, *tokenizer.encode("the"), MASK_ID, *tokenizer.encode(" of France"), END_ID]
    with torch.no_grad():
        chances = encoder.logits(encoder(torch.tensor([ids])))[0, ids.index(MASK_ID)].softmax(-1)
    assert answers[0] == (
        tokenizer.token_text(int(chances.argmax())),
        pytest.approx(float(chances.max()), rel=1e-5),
    )
