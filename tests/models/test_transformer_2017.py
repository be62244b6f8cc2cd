"""The Transformer of 2017 computes what transformers' Marian computes, with the same weights."""

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import END, LENGTHS, PAD, VOCABULARY, assert_pairs_equal, in_transformers, pair, states
from parity import assert_close, assert_weights_go_back, ours_from, stir
from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

from headstart.interchange.model_folder import load_model, save_model
from headstart.models.families.transformer_2017 import TRANSFORMER_2017
from headstart.models.parts.positions import sinusoids

SHAPES = st.fixed_dictionaries(
    {
        "encoder_layers": st.integers(1, 3),
        "decoder_layers": st.integers(1, 3),
        "heads": st.sampled_from([1, 3, 4]),
        "head_width": st.sampled_from([8, 9, 16]),
        "feedforward_width": st.integers(3, 70),
        "activation_function": st.sampled_from(["gelu", "relu"]),
        "scale_embedding": st.booleans(),
    }
)


def theirs_of(kind: type, shape: dict) -> transformers.PreTrainedModel:
    shape = dict(shape)
    heads, inner = shape.pop("heads"), shape.pop("feedforward_width")
    config = transformers.MarianConfig(
        vocab_size=VOCABULARY,
        d_model=heads * shape.pop("head_width"),
        encoder_attention_heads=heads,
        decoder_attention_heads=heads,
        encoder_ffn_dim=inner,
        decoder_ffn_dim=inner,
        max_position_embeddings=600,
        pad_token_id=PAD,
        eos_token_id=END,
        forced_eos_token_id=END,
        decoder_start_token_id=PAD,
        **shape,
    )
    return stir(kind(config))


@settings(max_examples=12)
@given(shape=SHAPES, **LENGTHS)
def test_states_logits_and_gradients(shape, source, target, padded, seed) -> None:
    theirs = theirs_of(transformers.MarianMTModel, shape)
    assert_pairs_equal(theirs, "transformer-2017", pair(source, target, padded, seed))


TWO_HEADS = {"encoder_layers": 2, "decoder_layers": 1, "heads": 2, "head_width": 8, "feedforward_width": 20}


@pytest.mark.parametrize("width", [2, 9, 64])
def test_sinusoids_of_far_positions(width) -> None:
    """Marian makes its tables in double precision."""
    theirs = MarianSinusoidalPositionalEmbedding(5000, width).create_weight()
    assert (sinusoids(torch.arange(5000), width, torch.float32) - theirs).abs().max() < 1e-6


def test_far_positions() -> None:
    assert_pairs_equal(
        theirs_of(transformers.MarianMTModel, TWO_HEADS), "transformer-2017", pair(600, 500, (7, 9), 0)
    )


@torch.no_grad()
def test_bare_model() -> None:
    theirs = theirs_of(transformers.MarianModel, TWO_HEADS)
    ours, _ = ours_from(theirs, "transformer-2017", "features")
    assert_weights_go_back(ours, None, theirs, "features")
    rows = pair(9, 12, (1, 2), 0)
    expected = theirs(input_ids=rows.source, attention_mask=rows.source_mask, decoder_input_ids=rows.target)
    seen = rows.target_mask.bool()
    assert_close(states(ours, rows)[seen], expected.last_hidden_state[seen])


@torch.no_grad()
def test_folders(tiny, tokenizer, tmp_path) -> None:
    """The tables of sinusoids are in no file of ours, and in none of theirs that we need."""
    ours = stir(tiny("transformer-2017", encoder_layers=1))
    save_model(tmp_path / "m", ours, tokenizer, "text-to-text", "card")
    theirs = in_transformers(transformers.AutoModelForSeq2SeqLM, tmp_path / "m")
    assert theirs.generation_config.decoder_start_token_id == tokenizer.special.pad
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
    save_model(tmp_path / "bare", ours, tokenizer, "features", "card")
    theirs, report = transformers.AutoModel.from_pretrained(tmp_path / "bare", output_loading_info=True)
    assert report["missing_keys"] == {"encoder.embed_positions.weight", "decoder.embed_positions.weight"}
    assert not report["unexpected_keys"]
    expected = theirs.eval()(
        input_ids=rows.source, attention_mask=rows.source_mask, decoder_input_ids=rows.target
    )
    assert_close(states(ours, rows)[seen], expected.last_hidden_state[seen])


def test_two_vocabularies_are_refused() -> None:
    with pytest.raises(ValueError, match="share_encoder_decoder_embeddings"):
        TRANSFORMER_2017.from_hf({"share_encoder_decoder_embeddings": False})
