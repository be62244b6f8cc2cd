"""Text out of a model: reproducible; cache, batch and stream change nothing but the time it takes."""

from copy import copy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from twin_models import PROMPTS

from headstart.errors import HeadstartError
from headstart.generation.config import GenerationConfig, ModelIds
from headstart.generation.incremental import ModelReader
from headstart.generation.text import generate, pieces, sample_prompt, stream
from headstart.interchange.model_folder import LoadedModel
from headstart.models.transformer import Transformer
from headstart.tokenizer.template import parse_template

END = 1
GREEDY = GenerationConfig(temperature=0, max_new_tokens=20)


@pytest.fixture(scope="module")
def decoder(tiny, tokenizer) -> LoadedModel:
    """A decoder whose output is far from uniform, so that choices differ; rows of 64 tokens."""
    model = tiny("headstart-decoder", kv_heads=2)
    with torch.no_grad():
        model.embedding.weight.mul_(8)
    return LoadedModel(model, tokenizer, "causal")


def without_cache(loaded: LoadedModel, prompt: str, count: int) -> list[int]:
    ids = [0, *loaded.tokenizer.encode(prompt)]
    start = len(ids)
    with torch.no_grad():
        while len(ids) < start + count:
            logits = loaded.model.logits(loaded.model(torch.tensor([ids])))[0, -1]
            logits[[0, 2, 3]] = float("-inf")
            if int(logits.argmax()) == END:
                break
            ids.append(int(logits.argmax()))
    return ids[start:]


@pytest.mark.parametrize("prompt", ["", *PROMPTS])
def test_greedy_with_cache_is_greedy_without(decoder, prompt) -> None:
    expected = without_cache(decoder, prompt, 20)
    for config in (GREEDY, replace(GREEDY, seed=5), replace(GREEDY, temperature=1, top_k=1)):
        assert generate(decoder, [prompt], config)[0].ids == expected


def test_seeds(decoder) -> None:
    texts = [
        generate(decoder, ["The"], GenerationConfig(temperature=1, seed=seed))[0].text
        for seed in (0, 0, 1, 2)
    ]
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


@settings(max_examples=15)
@given(
    prompts=st.lists(st.sampled_from([*PROMPTS, "", "a", "It is a truth " * 20]), min_size=1, max_size=4),
    temperature=st.sampled_from([0.0, 0.9]),
    count=st.integers(1, 90),
    stop=st.sampled_from(["e", " th", "\n"]),
)
def test_a_batch_is_its_texts_alone(decoder, prompts, temperature, count, stop) -> None:
    """Also where rows are full at different times, and end at different times."""
    config = GenerationConfig(
        temperature=temperature, max_new_tokens=count, stop=stop, repetition_penalty=1.1, logprobs=True
    )
    alone = [generate(decoder, [prompt], config)[0] for prompt in prompts]
    for one, other in zip(generate(decoder, prompts, config), alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert replace(one, logprobs=None) == replace(other, logprobs=None)
        assert stop not in one.text


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5", "bart"])
def test_a_batch_of_other_families_is_its_texts_alone(twins, family) -> None:
    loaded = twins(family).ours
    config = GenerationConfig(temperature=0.9, max_new_tokens=30, min_new_tokens=5)
    alone = [generate(loaded, [prompt], config)[0] for prompt in PROMPTS]
    assert generate(loaded, PROMPTS, config) == alone


def test_a_stream_is_the_text(decoder, twins) -> None:
    config = GenerationConfig(max_new_tokens=40, stop=(" the",), seed=3)
    parts = list(stream(decoder, "It is", config))
    assert len(parts) > 3
    assert "".join(parts) == generate(decoder, ["It is"], config)[0].text
    bart = twins("bart").ours
    config = GenerationConfig(beams=3, temperature=0, min_new_tokens=4)
    assert "".join(stream(bart, "It is", config)) == generate(bart, ["It is"], config)[0].text


@settings(max_examples=25)
@given(data=st.data())
def test_text_ends_before_a_stop_string(decoder, data) -> None:
    """Any part of what would be written, however it lies over the tokens, ends the text before it."""
    config = GenerationConfig(temperature=1, top_k=0, max_new_tokens=30, seed=data.draw(st.integers(0, 5)))
    whole = generate(decoder, ["It was"], config)[0]
    start = data.draw(st.integers(0, len(whole.text) - 1))
    stop = whole.text[start : start + data.draw(st.integers(1, 6))]
    cut = generate(decoder, ["It was"], replace(config, stop=stop))[0]
    assert cut.finish == "stop"
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.ids == whole.ids[: len(cut.ids)]
    assert stop in decoder.tokenizer.decode(cut.ids)
    assert "\ufffd" in stop or stop not in decoder.tokenizer.decode(cut.ids[:-1])


def test_stop_tokens_and_lengths(decoder) -> None:
    whole = generate(decoder, ["It was"], GREEDY)[0]
    assert (len(whole.ids), whole.finish) == (20, "length")
    cut = generate(decoder, ["It was"], replace(GREEDY, stop_tokens=whole.ids[7]))[0]
    assert (cut.ids, cut.finish) == (whole.ids[: whole.ids.index(whole.ids[7])], "stop")


class Fixed(torch.nn.Module):
    """Stands in for a model that always gives the same logits."""

    def __init__(self, like: Transformer, logits: torch.Tensor) -> None:
        super().__init__()
        self.config, self.embedding, self.scores = like.config, like.embedding, logits
        self.dtype = like.dtype

    def forward(self, ids, segments, cache, **others):
        return torch.zeros(*ids.shape, 1)

    def logits(self, hidden):
        return self.scores.expand(len(hidden), -1)


def test_no_character_is_torn(decoder, tokenizer) -> None:
    """Characters of several tokens come whole, and one that is not finished only at the end."""
    ids = tokenizer.encode("é🙂")
    assert len(ids) > 3

    class Dictated(Fixed):
        def logits(self, hidden):
            self.place = getattr(self, "place", -1) + 1
            return torch.nn.functional.one_hot(torch.tensor([ids[self.place]]), 600).float() * 50

    def dictated(count: int) -> list[str]:
        loaded = replace(decoder, model=Dictated(decoder.model, torch.zeros(600)))
        return list(stream(loaded, "x", replace(GREEDY, max_new_tokens=count)))

    assert dictated(len(ids)) == ["é", "🙂"]
    assert dictated(len(ids) - 1) == ["é", "\ufffd"]


def test_the_model_ends_its_text(decoder) -> None:
    scores = torch.zeros(600)
    scores[END] = 9
    loaded = replace(decoder, model=Fixed(decoder.model, scores))
    assert generate(loaded, ["x", "yy"], GREEDY)[1].text == ""
    later = generate(loaded, ["x"], replace(GREEDY, min_new_tokens=5))[0]
    assert (len(later.ids), later.finish) == (5, "stop")


@pytest.mark.parametrize("loud", [0, 2, 3])
def test_what_is_no_text_is_never_written(decoder, loud) -> None:
    scores = torch.zeros(600)
    scores[loud], scores[400] = 99, 1
    loaded = replace(decoder, model=Fixed(decoder.model, scores))
    assert set(generate(loaded, ["x"], GREEDY)[0].ids) == {400}
    loaded.generation = {"suppress_tokens": []}
    assert set(generate(loaded, ["x"], GREEDY)[0].ids) == {loud}


def test_a_long_prompt_and_a_long_text_stay_inside_the_context(decoder, monkeypatch) -> None:
    """The model was trained on rows of 64 tokens and is never asked about a longer one."""
    lengths = []
    forward = Transformer.forward

    def watch(self, ids, segments=None, cache=None, **others):
        lengths.append((cache.length if cache else 0) + ids.shape[1])
        return forward(self, ids, segments, cache, **others)

    monkeypatch.setattr(Transformer, "forward", watch)
    prompt = "It is a truth universally acknowledged, " * 20
    assert len(decoder.tokenizer.encode(prompt)) > 200
    generate(decoder, [prompt], GenerationConfig(max_new_tokens=150))
    assert max(lengths) == 64
    assert min(lengths[1:]) >= 32, "half of a full row is kept"


def test_only_the_end_of_a_long_prompt_counts(decoder) -> None:
    tail = "universally acknowledged, that a single man in possession of a good fortune " * 8
    assert len(decoder.tokenizer.encode(tail)) > 64
    for config in (GREEDY, replace(GREEDY, beams=2)):
        first, second = generate(decoder, [tail, "So then: " + tail], config)
        assert first == second


def test_beam_search_needs_room_for_the_prompt(decoder) -> None:
    with pytest.raises(HeadstartError, match="lower max_new_tokens"):
        generate(decoder, ["x"], GenerationConfig(beams=2, temperature=0, max_new_tokens=64))


def test_learned_positions_of_an_encoder_decoder_are_used_up(twins) -> None:
    loaded = twins("bart").ours
    config = GenerationConfig(temperature=0, max_new_tokens=100, min_new_tokens=100)
    for beams in (1, 2):
        written = generate(loaded, ["x"], replace(config, beams=beams))[0]
        assert (len(written.ids), written.finish) == (63, "stop"), "the last of 64 has to be the end"
    with pytest.raises(HeadstartError, match="64 learned positions"):
        generate(loaded, ["word " * 100], config)


class StubDecoder:
    """Stands where a compiled decoder does; notes what it is asked to read."""

    block_size = 1

    def __init__(self, model, logits) -> None:
        self.model, self.logits, self.asked = model, logits, []

    def cache(self) -> SimpleNamespace:
        return SimpleNamespace(length=0, ids=[])

    def read_rows(self, caches, tokens, wanted) -> list[torch.Tensor]:
        self.asked.append([list(one) for one in tokens])
        for cache, new in zip(caches, tokens, strict=True):
            cache.ids += new
            cache.length += len(new)
        assert [marks[-1] for marks in wanted] == [True] * len(caches)
        return [self.logits(torch.tensor([cache.ids])) for cache in caches]


@torch.no_grad()
def test_a_compiled_decoder_reads_every_token_once(decoder) -> None:
    model = decoder.model
    stub = StubDecoder(model, lambda ids: model.logits(model(ids)[:, -1]) * 2)
    prompts = ["It was", "The ship sailed"]
    assert generate(decoder, prompts, GREEDY, stub) == generate(decoder, prompts, GREEDY)
    assert len(stub.asked) == 20
    assert {len(new) for step in stub.asked[1:] for new in step} == {1}


@pytest.mark.parametrize(
    ("single", "prompt", "expected"),
    [("<s> A </s>", "a", [0]), ("<s> A", "", [0]), ("A", "a", []), ("A </s>", "", [0])],
)
def test_a_prompt_begins_as_the_tokenizers_template_says(decoder, single, prompt, expected) -> None:
    """Without what closes a text; and some models open none, though they have a token that could."""
    tokenizer = copy(decoder.tokenizer)
    tokenizer.template = parse_template(single, "A B", {"<s>": 0, "</s>": 1})
    stub = StubDecoder(decoder.model, lambda ids: torch.zeros(1, 600))
    generate(replace(decoder, tokenizer=tokenizer), [prompt], GREEDY, stub)
    assert stub.asked[0] == [[*expected, *tokenizer.encode(prompt)]]


def test_cross_attention_is_computed_once(twins, monkeypatch) -> None:
    loaded = twins("t5").ours
    counts = {"encode": 0}
    encode = Transformer.encode

    def watch(self, *arguments):
        counts["encode"] += 1
        return encode(self, *arguments)

    monkeypatch.setattr(Transformer, "encode", watch)
    key = loaded.model.decoder.blocks[1].cross_attention.key
    handle = key.register_forward_hook(lambda *_: counts.update(key=counts.get("key", 0) + 1))
    for beams in (1, 3):
        config = GenerationConfig(temperature=0, beams=beams, min_new_tokens=8)
        generate(loaded, PROMPTS, config)
    handle.remove()
    assert counts == {"encode": 2, "key": 2}


def test_rows_of_a_reader_can_be_taken_again_and_away(twins) -> None:
    """After `keep`, every row goes on as if it had been alone."""
    for family in ("llama", "bart"):
        model = twins(family).ours.model.eval()
        sources = [[5, 6, 7], [8, 9], [10, 11, 12, 13]] if family == "bart" else None
        prompts = [[3], [4, 5], [6]] if family == "llama" else [[2]] * 3
        reader = ModelReader(model, sources)
        with torch.no_grad():
            reader.read(prompts)
            reader.keep([2, 0, 0])
            reader.read([[20], [21], [22]])
            reader.keep([0, 2, 1])
            logits = reader.read([[30], [31], [32]])
            for row, (first, second, third) in enumerate([(2, 20, 30), (0, 22, 31), (0, 21, 32)]):
                alone = ModelReader(model, sources and [sources[first]])
                expected = alone.read([[*prompts[first], second, third]])[0]
                torch.testing.assert_close(logits[row], expected, atol=1e-4, rtol=1e-4)


def test_no_dropout_and_training_goes_on(tiny, tokenizer) -> None:
    model = tiny("gpt2")
    assert model.config.dropout
    loaded = LoadedModel(model.train(), tokenizer, "causal")
    assert generate(loaded, ["x"], GREEDY) == generate(loaded, ["x"], GREEDY)
    assert model.training
    assert sample_prompt(model, tokenizer, "The") == sample_prompt(model, tokenizer, "The")


def test_nothing_to_do_and_nothing_to_go_on_from(decoder, twins) -> None:
    assert generate(decoder, []) == []
    assert list(pieces(decoder, [])) == []
    gpt2 = twins("gpt2").ours
    assert generate(gpt2, [""], GREEDY) == generate(gpt2, [""], GREEDY)


def test_only_what_writes_generates(tiny, tokenizer, decoder) -> None:
    encoder = LoadedModel(tiny("headstart-encoder"), tokenizer, "masked")
    with pytest.raises(HeadstartError, match=r"cannot generate text: it is an encoder.*use fill-mask"):
        generate(encoder, ["x"])
    with pytest.raises(HeadstartError, match="fine-tuned for classification"):
        generate(replace(decoder, head="classification"), ["x"])


def test_ids_come_from_the_folder_first(decoder, twins) -> None:
    assert ModelIds.of(decoder).stop == {END}
    assert ModelIds.of(decoder, (9,)).stop == {END, 9}
    assert ModelIds.of(decoder).never == (0, 2, 3)
    llama3 = replace(decoder, generation={"eos_token_id": [7, 8]})
    assert ModelIds.of(llama3).stop == {7, 8}
    wide = replace(decoder, model=Fixed(decoder.model, torch.zeros(1)))
    wide.model.config = replace(wide.model.config, vocab_size=602)
    assert ModelIds.of(wide).never == (0, 2, 3, 600, 601), "ids without a token"
    t5 = replace(twins("t5").ours, generation={})
    assert ModelIds.of(t5).decoder_start == t5.tokenizer.special.pad
    assert ModelIds.of(t5).stop == {t5.tokenizer.special.end}


def test_settings_come_from_the_user_then_the_folder(decoder, twins) -> None:
    assert GenerationConfig.of(decoder) == GenerationConfig()
    told = replace(decoder, generation={"do_sample": True, "temperature": 0.6, "top_p": 0.9})
    assert GenerationConfig.of(told) == GenerationConfig(temperature=0.6, top_p=0.9)
    assert GenerationConfig.of(told, top_p=1.0, stop="x") == GenerationConfig(temperature=0.6, stop=("x",))
    assert GenerationConfig.of(replace(decoder, generation={"do_sample": False})) == GenerationConfig()
    bart = replace(twins("bart").ours, generation={"max_length": 142, "min_length": 56, "num_beams": 4})
    config = GenerationConfig.of(bart)
    assert (config.beams, config.max_new_tokens, config.min_new_tokens) == (4, 141, 55)
    assert GenerationConfig.of(bart, max_new_tokens=9).max_new_tokens == 9
    assert GenerationConfig.of(twins("t5").ours).temperature == 0, "an answer is the likeliest"
    with pytest.raises(HeadstartError, match="did you mean 'temperature'"):
        GenerationConfig.of(decoder, temprature=1)
