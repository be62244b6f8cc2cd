"""The same model writes the same tokens as in transformers, greedily and by beam search."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from twin_models import PROMPTS

from headstart.generation.config import GenerationConfig
from headstart.generation.text import Generated, generate
from headstart.generation.text_stream import TextStream

FAMILIES = pytest.mark.parametrize("family", ["gpt2", "llama", "t5", "bart"])

# Our name for a setting, and theirs.
NAMES = {"beams": "num_beams", "no_repeat_ngram": "no_repeat_ngram_size"}
SETTINGS = st.fixed_dictionaries(
    {
        "max_new_tokens": st.integers(1, 24),
        "beams": st.sampled_from([1, 2, 3, 5]),
        "length_penalty": st.sampled_from([-1.0, 0.0, 1.0, 2.0]),
        "early_stopping": st.sampled_from([True, False, "never"]),
        "repetition_penalty": st.sampled_from([1.0, 1.0, 1.5]),
        "no_repeat_ngram": st.sampled_from([0, 0, 2]),
        "min_new_tokens": st.integers(0, 8),
    }
)


def ours(both, prompts: list[str], **given) -> list[Generated]:
    return generate(both.ours, prompts, GenerationConfig.of(both.ours, **{"temperature": 0} | given))


@FAMILIES
@hypothesis_settings(max_examples=12)
@given(given=SETTINGS, prompts=st.permutations(PROMPTS), rows=st.integers(1, 3))
def test_tokens_are_those_of_transformers(twins, family, given, prompts, rows) -> None:
    given["min_new_tokens"] = min(given["min_new_tokens"], given["max_new_tokens"])
    both = twins(family)
    written = ours(both, prompts[:rows], **given)
    expected = both.write(prompts[:rows], **{NAMES.get(name, name): value for name, value in given.items()})
    assert [one.ids for one in written] == expected


@FAMILIES
def test_texts_end_sooner_and_later(twins, family) -> None:
    """The test above would show little if no text ended before its time."""
    written = [
        one for beams in (1, 4) for one in ours(twins(family), PROMPTS, max_new_tokens=22, beams=beams)
    ]
    assert any(1 < len(one.ids) < 21 and one.finish == "stop" for one in written)
    assert any(len(one.ids) > 10 for one in written)


@FAMILIES
def test_the_text_is_what_their_tokenizer_makes_of_the_tokens(twins, family, documents) -> None:
    both = twins(family)
    for document in documents[::20]:
        ids = both.ours.tokenizer.encode(document["text"])
        written = TextStream(opens=True)
        text = "".join(written.push(both.ours.tokenizer.pieces[id]) for id in ids) + written.finish()
        assert text == both.reader.decode(ids, skip_special_tokens=True).removeprefix(" ")


@FAMILIES
@pytest.mark.parametrize("beams", [1, 3])
def test_log_probabilities_are_the_models(twins, family, beams) -> None:
    both = twins(family)
    one = ours(both, PROMPTS[:1], max_new_tokens=9, beams=beams, repetition_penalty=1.4, logprobs=True)[0]
    source = both.reader(PROMPTS[:1], return_tensors="pt")["input_ids"]
    with torch.no_grad():
        if family in ("t5", "bart"):
            start = [both.theirs.generation_config.decoder_start_token_id]
            read = torch.tensor([start + one.ids])
            logits = both.theirs(input_ids=source, decoder_input_ids=read).logits[0]
        else:
            logits = both.theirs(torch.cat((source, torch.tensor([one.ids])), 1)).logits[
                0, source.shape[1] - 1 :
            ]
    expected = logits.log_softmax(-1)[range(len(one.ids)), one.ids]
    assert one.logprobs == pytest.approx(expected.tolist(), abs=1e-4)
    assert ours(both, PROMPTS[:1], beams=beams)[0].logprobs is None


@FAMILIES
def test_the_folders_settings_are_taken(twins, family) -> None:
    both = twins(family)
    said = both.ours.generation
    told = said | {"num_beams": 3, "length_penalty": 0.5, "suppress_tokens": list(range(4, 600, 2))}
    told |= {"forced_bos_token_id": 5} if family == "bart" else {}
    try:
        both.ours.generation = told
        config = GenerationConfig.of(both.ours, max_new_tokens=10)
        assert (config.beams, config.length_penalty, config.temperature) == (3, 0.5, 0)
        written = generate(both.ours, PROMPTS, config)
        sampled = GenerationConfig.of(both.ours, temperature=0.5)
    finally:
        both.ours.generation = said
    extra = {key: value for key, value in told.items() if said.get(key) != value}
    assert [one.ids for one in written] == both.write(PROMPTS, max_new_tokens=10, **extra)
    assert (sampled.beams, sampled.temperature) == (1, 0.5)
