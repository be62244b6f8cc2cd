"""BART computes what transformers' BART computes, with the same weights, under every head."""

import json

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
from parity import assert_close, assert_weights_go_back, ours_from, stir
from safetensors.torch import load_file, save_file

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.models.families.bart import BART
from headstart.models.heads import Head

START = END  # the decoder begins with the end of a text

SHAPES = st.fixed_dictionaries(
    {
        "encoder_layers": st.integers(1, 3),
        "decoder_layers": st.integers(1, 3),
        "heads": st.sampled_from([1, 3, 4]),
        "head_width": st.sampled_from([8, 9, 16]),
        "feedforward_width": st.integers(3, 70),
        "activation_function": st.sampled_from(["gelu", "relu", "gelu_new"]),
        "scale_embedding": st.booleans(),
    }
)


def theirs_of(kind: type, shape: dict) -> transformers.PreTrainedModel:
    shape = dict(shape)
    heads, inner = shape.pop("heads"), shape.pop("feedforward_width")
    config = transformers.BartConfig(
        vocab_size=VOCABULARY,
        d_model=heads * shape.pop("head_width"),
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=inner,
        decoder_ffn_dim=inner,
        max_position_embeddings=40,
        num_labels=3,
        pad_token_id=PAD,
        bos_token_id=2,
        eos_token_id=END,
        forced_eos_token_id=END,
        decoder_start_token_id=START,
        **shape,
    )
    return stir(kind(config))


@settings(max_examples=12)
@given(shape=SHAPES, **LENGTHS)
def test_states_logits_and_gradients(shape, source, target, padded, seed) -> None:
    theirs = theirs_of(transformers.BartForConditionalGeneration, shape)
    assert_pairs_equal(theirs, "bart", pair(source, target, padded, seed))


@settings(max_examples=8)
@given(shape=SHAPES, head=st.sampled_from(["classification", "spans"]), **LENGTHS)
def test_heads(shape, head, source, target, padded, seed) -> None:
    kinds = {
        "classification": transformers.BartForSequenceClassification,
        "spans": transformers.BartForQuestionAnswering,
    }
    assert_head_equal(theirs_of(kinds[head], shape), "bart", head, pair(source, target, padded, seed), START)


@torch.no_grad()
def test_bare_model() -> None:
    shape = {"encoder_layers": 2, "decoder_layers": 1, "heads": 2, "head_width": 8, "feedforward_width": 20}
    theirs = theirs_of(transformers.BartModel, shape)
    ours, _ = ours_from(theirs, "bart", "features")
    assert_weights_go_back(ours, None, theirs, "features")
    rows = pair(9, 12, (1, 2), 0)
    expected = theirs(input_ids=rows.source, attention_mask=rows.source_mask, decoder_input_ids=rows.target)
    seen = rows.target_mask.bool()
    assert_close(states(ours, rows)[seen], expected.last_hidden_state[seen])


@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_folders(tiny, tokenizer, tmp_path, tied) -> None:
    ours = stir(tiny("bart", encoder_layers=1, feedforward="relu", tied=tied))
    save_model(tmp_path / "m", ours, tokenizer, "text-to-text", "card")
    theirs = in_transformers(transformers.AutoModelForSeq2SeqLM, tmp_path / "m")
    assert theirs.generation_config.decoder_start_token_id == tokenizer.special.end
    assert theirs.generation_config.forced_eos_token_id is None
    rows = pair(11, 14, (2, 3), 0)
    seen = rows.target_mask.bool()
    expected = theirs(
        input_ids=rows.source, attention_mask=rows.source_mask, decoder_input_ids=rows.target
    ).logits[seen]
    theirs.save_pretrained(tmp_path / "theirs")
    (tmp_path / "theirs" / "tokenizer.json").write_bytes((tmp_path / "m" / "tokenizer.json").read_bytes())
    for folder in ("m", "theirs"):
        again = load_model(tmp_path / folder).model.eval()
        assert again.config == ours.config
        assert_close(again.logits(states(again, rows))[seen], expected)


@torch.no_grad()
def test_folders_of_heads(tiny, tokenizer, tmp_path) -> None:
    ours = stir(tiny("bart"))
    ids = torch.randint(4, 600, (2, 15), generator=torch.Generator().manual_seed(0))
    ids[:, -1] = tokenizer.special.end
    head = Head(32, BART.heads["classification"], 3).eval()
    task = LoadedModel(ours, tokenizer, "classification", head.weights(), ["a", "b", "c"])
    save_model(tmp_path / "c", task, "card")
    theirs = in_transformers(transformers.AutoModelForSequenceClassification, tmp_path / "c")
    mask = torch.ones_like(ids)
    shifted = torch.cat((torch.full((2, 1), tokenizer.special.end), ids[:, :-1]), 1)
    hidden = states(ours, Pair(ids, mask, shifted, mask))
    assert_close(head(ours, hidden[:, -1]), theirs(input_ids=ids).logits)
    save_model(tmp_path / "bare", ours, tokenizer, "features", "card")
    theirs = in_transformers(transformers.AutoModel, tmp_path / "bare")
    assert_close(hidden, theirs(input_ids=ids, decoder_input_ids=shifted).last_hidden_state)


def test_a_bias_of_the_output_is_refused(tiny, tokenizer, tmp_path) -> None:
    save_model(tmp_path / "m", tiny("bart"), tokenizer, "text-to-text", "card")
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    tensors["final_logits_bias"] = torch.zeros(1, 600)
    save_file(tensors, tmp_path / "m" / "model.safetensors")
    load_model(tmp_path / "m")
    tensors["final_logits_bias"][0, 7] = 1
    save_file(tensors, tmp_path / "m" / "model.safetensors")
    with pytest.raises(HeadstartError, match="final_logits_bias that is not all zeros"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize(
    "changes",
    [
        {"decoder_attention_heads": 2},
        {"encoder_ffn_dim": 7},
        {"tie_word_embeddings": False},
        {"activation_function": "swish"},
    ],
)
def test_what_is_not_computed_is_refused(tiny, tokenizer, tmp_path, changes) -> None:
    save_model(tmp_path / "m", tiny("bart"), tokenizer, "text-to-text", "card")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(HeadstartError, match="which headstart does not compute"):
        load_model(tmp_path / "m")


def test_heads_that_do_not_fill_the_width_are_refused(tiny) -> None:
    with pytest.raises(HeadstartError, match="leave head_width out"):
        tiny("bart", head_width=5)
    with pytest.raises(HeadstartError, match="no gate"):
        tiny("bart", feedforward="swiglu")
