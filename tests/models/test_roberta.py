"""RoBERTa computes what transformers' RoBERTa computes, with the same weights, under every head."""

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from pairs import in_transformers
from parity import assert_close, assert_gradients, assert_weights_go_back, ours_from, stir

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.models.families.roberta import ROBERTA
from headstart.models.heads import Head

SHAPES = st.fixed_dictionaries(
    {
        "num_hidden_layers": st.integers(1, 3),
        "num_attention_heads": st.sampled_from([1, 3, 4]),
        "head_width": st.sampled_from([8, 9, 16]),
        "intermediate_size": st.integers(3, 70),
        "pad_token_id": st.sampled_from([0, 1, 2]),
        "type_vocab_size": st.sampled_from([1, 2]),
    }
)
ROWS = {
    "length": st.integers(2, 37),
    "padded": st.integers(0, 1),
    "left": st.booleans(),
    "seed": st.integers(0, 99),
}


def theirs_of(kind: type, shape: dict, labels: int = 3) -> transformers.PreTrainedModel:
    shape = dict(shape)
    width = shape.pop("head_width") * shape["num_attention_heads"]
    config = transformers.RobertaConfig(
        vocab_size=97, hidden_size=width, max_position_embeddings=40, num_labels=labels, **shape
    )
    return stir(kind(config))


def inputs(theirs, length: int, padded: int, left: bool, seed: int):
    """Ids and attention mask of two rows, the second `padded` tokens shorter."""
    ids = torch.randint(3, 97, (2, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[1, slice(0, padded) if left else slice(length - padded, length)] = 0
    return ids.masked_fill(mask == 0, theirs.config.pad_token_id), mask


@settings(max_examples=10)
@given(shape=SHAPES, **ROWS)
def test_masked_model_states_and_gradients(shape, length, padded, left, seed) -> None:
    theirs = theirs_of(transformers.RobertaForMaskedLM, shape)
    ours, _ = ours_from(theirs, "roberta", "masked")
    assert_weights_go_back(ours, None, theirs, "masked")
    ids, mask = inputs(theirs, length, padded, left, seed)
    states = []
    for block in ours.encoder.blocks:
        block.register_forward_hook(lambda _, __, out: states.append(out))
    reference = theirs(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    hidden = ours(ids, mask - 1)
    seen = mask.bool()
    for layer, state in enumerate(states):
        assert_close(state[seen], reference.hidden_states[layer + 1][seen], f"layer {layer}")
    logits = ours.logits(hidden)
    assert_close(logits[seen], reference.logits[seen], "logits")
    loss, other = (scores[seen].logsumexp(-1).sum() for scores in (logits, reference.logits))
    assert_gradients(ours, None, theirs, "masked", loss, other)


HEADS = {
    "classification": transformers.RobertaForSequenceClassification,
    "tagging": transformers.RobertaForTokenClassification,
    "spans": transformers.RobertaForQuestionAnswering,
}


@settings(max_examples=8)
@given(shape=SHAPES, head=st.sampled_from(sorted(HEADS)), **ROWS)
def test_heads(shape, head, length, padded, left, seed) -> None:
    theirs = theirs_of(HEADS[head], shape, labels=2 if head == "spans" else 3)
    ours, own_head = ours_from(theirs, "roberta", head)
    assert_weights_go_back(ours, own_head, theirs, head)
    ids, mask = inputs(theirs, length, padded, left and head != "classification", seed)
    reference = theirs(input_ids=ids, attention_mask=mask)
    hidden = ours(ids, mask - 1)
    seen = mask.bool()
    if head == "classification":
        scores, expected = own_head(ours, hidden[:, 0]), reference.logits
    elif head == "tagging":
        scores, expected = own_head(ours, hidden)[seen], reference.logits[seen]
    else:
        both = torch.stack((reference.start_logits, reference.end_logits), -1)
        scores, expected = own_head(ours, hidden)[seen], both[seen]
    assert_close(scores, expected, head)
    assert_gradients(ours, own_head, theirs, head, scores.square().sum(), expected.square().sum())


def test_the_bare_model_has_a_pooler() -> None:
    shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "head_width": 8, "intermediate_size": 20}
    theirs = theirs_of(transformers.RobertaModel, shape)
    ours, _ = ours_from(theirs, "roberta", "features")
    assert ours.config.pooler
    assert_weights_go_back(ours, None, theirs, "features")
    ids, mask = inputs(theirs, 9, 1, False, 0)
    reference = theirs(input_ids=ids, attention_mask=mask)
    hidden = ours(ids, mask - 1)
    assert_close(hidden[mask.bool()], reference.last_hidden_state[mask.bool()])
    assert_close(ours.pooled(hidden[:, 0]), reference.pooler_output)


@torch.no_grad()
def test_folders(tiny, tokenizer, tmp_path) -> None:
    """transformers reads what is saved and computes the same, positions of padded rows included."""
    pad = tokenizer.special.pad
    ours = stir(tiny("roberta", position_offset=pad + 1))
    save_model(tmp_path / "masked", ours, tokenizer, "masked", "card")
    theirs = in_transformers(transformers.AutoModelForMaskedLM, tmp_path / "masked")
    ids, mask = inputs(theirs, 20, 5, True, 0)
    assert (ids == pad).sum() >= 5
    expected = theirs(input_ids=ids, attention_mask=mask).logits[mask.bool()]
    assert_close(ours.logits(ours(ids, mask - 1))[mask.bool()], expected)
    again = load_model(tmp_path / "masked").model.eval()
    assert again.config == ours.config
    assert_close(again.logits(again(ids, mask - 1))[mask.bool()], expected)

    head = Head(32, ROBERTA.heads["classification"], 3)
    labels = ["ham", "spam", "ünknown"]
    save_model(tmp_path / "c", LoadedModel(ours, tokenizer, "classification", head.weights(), labels), "card")
    theirs = in_transformers(transformers.AutoModelForSequenceClassification, tmp_path / "c")
    assert list(theirs.config.id2label.values()) == labels
    ids, mask = inputs(theirs, 20, 5, False, 0)
    scores = head.eval()(ours, ours(ids, mask - 1)[:, 0])
    assert_close(scores, theirs(input_ids=ids, attention_mask=mask).logits)


def test_a_tokenizer_whose_padding_does_not_fit_is_refused(tiny, tokenizer, tmp_path) -> None:
    with pytest.raises(HeadstartError, match="padding has the id 6 in transformers"):
        save_model(tmp_path / "m", tiny("roberta", position_offset=7), tokenizer, "masked", "card")
    assert not (tmp_path / "m").exists()


def test_other_activations_are_refused(tiny) -> None:
    with pytest.raises(HeadstartError, match="gelu"):
        tiny("roberta", feedforward="relu")
