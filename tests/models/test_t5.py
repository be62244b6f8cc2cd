"""T5 computes what transformers' T5 computes, with the same weights: both versions, every head."""

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import (
    END,
    LENGTHS,
    PAD,
    VOCABULARY,
    Pair,
    assert_head_equal,
    assert_pairs_equal,
    in_transformers,
    pair,
    states,
)
from parity import assert_close, assert_gradients, assert_weights_go_back, ours_from, stir

from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.models.families.t5 import T5
from headstart.models.heads import Head

SHAPES = st.fixed_dictionaries(
    {
        "num_layers": st.integers(1, 3),
        "num_decoder_layers": st.integers(1, 3),
        "num_heads": st.sampled_from([1, 3, 4]),
        "d_kv": st.sampled_from([4, 7, 16]),
        "d_model": st.sampled_from([8, 13, 32]),
        "d_ff": st.integers(3, 70),
        "feed_forward_proj": st.sampled_from(["relu", "gated-gelu", "gelu", "gated-silu", "gelu_new"]),
        "relative_attention_num_buckets": st.sampled_from([8, 32]),
        "relative_attention_max_distance": st.sampled_from([18, 128]),
    }
)


def theirs_of(kind: type, shape: dict, tied: bool = True) -> transformers.PreTrainedModel:
    config = transformers.T5Config(
        vocab_size=VOCABULARY,
        num_labels=3 if kind is not transformers.T5ForQuestionAnswering else 2,
        tie_word_embeddings=tied,
        pad_token_id=PAD,
        eos_token_id=END,
        decoder_start_token_id=PAD,
        **shape,
    )
    theirs = kind(config)
    if not tied:  # transformers sees that an output is not tied by the weights that it loads
        theirs.lm_head.weight = torch.nn.Parameter(theirs.shared.weight.detach().flip(0) / 4)
    return stir(theirs)


@settings(max_examples=12)
@given(shape=SHAPES, tied=st.booleans(), left=st.booleans(), **LENGTHS)
def test_states_logits_and_gradients(shape, tied, left, source, target, padded, seed) -> None:
    theirs = theirs_of(transformers.T5ForConditionalGeneration, shape, tied)
    assert_pairs_equal(theirs, "t5", pair(source, target, padded, seed, left))


def test_far_beyond_the_last_bucket() -> None:
    shape = {"num_layers": 1, "num_heads": 2, "d_kv": 8, "d_model": 16, "d_ff": 20}
    theirs = theirs_of(transformers.T5ForConditionalGeneration, shape)
    assert_pairs_equal(theirs, "t5", pair(300, 200, (7, 9), 0))


@settings(max_examples=8)
@given(shape=SHAPES, head=st.sampled_from(["classification", "spans"]), **LENGTHS)
def test_heads_on_the_decoder(shape, head, source, target, padded, seed) -> None:
    kinds = {
        "classification": transformers.T5ForSequenceClassification,
        "spans": transformers.T5ForQuestionAnswering,
    }
    assert_head_equal(theirs_of(kinds[head], shape), "t5", head, pair(source, target, padded, seed), PAD)


@settings(max_examples=6)
@given(shape=SHAPES, left=st.booleans(), **LENGTHS)
def test_tagging_has_an_encoder_alone(shape, left, source, target, padded, seed) -> None:
    theirs = theirs_of(transformers.T5ForTokenClassification, shape)
    ours, head = ours_from(theirs, "t5", "tagging")
    assert ours.decoder is None
    assert_weights_go_back(ours, head, theirs, "tagging")
    given_ = pair(source, target, padded, seed, left)
    seen = given_.source_mask.bool()
    expected = theirs(input_ids=given_.source, attention_mask=given_.source_mask).logits[seen]
    scores = head(ours, ours(given_.source, given_.source_mask - 1))[seen]
    assert_close(scores, expected)
    assert_gradients(ours, head, theirs, "tagging", scores.square().sum(), expected.square().sum())


@torch.no_grad()
def test_bare_model() -> None:
    shape = {"num_layers": 2, "num_heads": 2, "d_kv": 8, "d_model": 16, "d_ff": 20}
    theirs = theirs_of(transformers.T5Model, shape)
    ours, _ = ours_from(theirs, "t5", "features")
    assert_weights_go_back(ours, None, theirs, "features")
    rows = pair(9, 12, (1, 2), 0)
    expected = theirs(input_ids=rows.source, attention_mask=rows.source_mask, decoder_input_ids=rows.target)
    seen = rows.target_mask.bool()
    assert_close(states(ours, rows)[seen], expected.last_hidden_state[seen])


VERSIONS = {
    "1.0": {},
    "1.1": {"feedforward": "geglu_tanh", "tied": False, "output_scale": False},
    "1.1 with exact GELU": {"feedforward": "geglu", "tied": False, "output_scale": False},
    "scaled but not tied": {"tied": False},
    "tied but not scaled": {"output_scale": False},
}


@pytest.mark.parametrize("version", sorted(VERSIONS))
@torch.no_grad()
def test_folders_of_both_versions(tiny, tokenizer, tmp_path, version) -> None:
    ours = stir(tiny("t5", encoder_layers=1, head_width=6, **VERSIONS[version]))
    save_model(tmp_path / "m", ours, tokenizer, "text-to-text", "card")
    theirs = in_transformers(transformers.AutoModelForSeq2SeqLM, tmp_path / "m")
    assert theirs.generation_config.decoder_start_token_id == tokenizer.special.pad
    rows = pair(11, 14, (2, 3), 0)
    expected = theirs(
        input_ids=rows.source, attention_mask=rows.source_mask, decoder_input_ids=rows.target
    ).logits[rows.target_mask.bool()]
    for model in (ours, load_model(tmp_path / "m").model.eval()):
        assert model.config == ours.config
        assert_close(model.logits(states(model, rows))[rows.target_mask.bool()], expected)
    theirs.save_pretrained(tmp_path / "theirs")  # as transformers writes it, the config says other things
    (tmp_path / "theirs" / "tokenizer.json").write_bytes((tmp_path / "m" / "tokenizer.json").read_bytes())
    again = load_model(tmp_path / "theirs").model.eval()
    assert (again.config.tied, again.config.output_scale) == (ours.config.tied, ours.config.output_scale)
    assert_close(again.logits(states(again, rows))[rows.target_mask.bool()], expected)


@torch.no_grad()
def test_folders_of_heads(tiny, tokenizer, tmp_path) -> None:
    ours = stir(tiny("t5", **VERSIONS["1.1"]))
    ids = torch.randint(4, 600, (2, 15), generator=torch.Generator().manual_seed(0))
    ids[:, -1] = tokenizer.special.end
    labels = ["ham", "spam", "ünknown"]

    tagger = Head(32, T5.heads["tagging"], 3).eval()
    save_model(
        tmp_path / "tagging", LoadedModel(ours, tokenizer, "tagging", tagger.weights(), labels), "card"
    )
    theirs = in_transformers(transformers.AutoModelForTokenClassification, tmp_path / "tagging")
    expected = theirs(input_ids=ids).logits
    assert_close(tagger(ours, ours.encode(ids)), expected)
    loaded = load_model(tmp_path / "tagging")
    assert loaded.model.decoder is None
    assert_close(tagger(loaded.model, loaded.model.eval()(ids)), expected)
    save_model(tmp_path / "again", loaded, "card")
    assert_close(
        in_transformers(transformers.AutoModelForTokenClassification, tmp_path / "again")(ids).logits,
        expected,
    )

    classifier = Head(32, T5.heads["classification"], 3).eval()
    save_model(
        tmp_path / "c", LoadedModel(ours, tokenizer, "classification", classifier.weights(), labels), "card"
    )
    theirs = in_transformers(transformers.AutoModelForSequenceClassification, tmp_path / "c")
    mask = torch.ones_like(ids)
    shifted = torch.cat((torch.full((2, 1), tokenizer.special.pad), ids[:, :-1]), 1)
    hidden = states(ours, Pair(ids, mask, shifted, mask))
    assert_close(classifier(ours, hidden[:, -1]), theirs(input_ids=ids).logits)

    save_model(tmp_path / "bare", ours, tokenizer, "features", "card")
    theirs = in_transformers(transformers.AutoModel, tmp_path / "bare")
    assert_close(hidden, theirs(input_ids=ids, decoder_input_ids=shifted).last_hidden_state)
    assert load_model(tmp_path / "bare").model.output is None


@pytest.mark.parametrize("changes", [{"feed_forward_proj": "gated-relu"}, {"feed_forward_proj": "tanh"}])
def test_other_activations_are_refused(changes) -> None:
    fields = {"vocab_size": 9, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
    with pytest.raises(ValueError, match="feed_forward_proj"):
        T5.from_hf(fields | changes)
