"""BERT computes what transformers' BERT computes, with the same weights, under every head."""

import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import assert_close, assert_gradients, assert_weights_go_back, ours_from, stir

SHAPES = st.fixed_dictionaries(
    {
        "num_hidden_layers": st.integers(1, 3),
        "num_attention_heads": st.sampled_from([1, 3, 4]),
        "head_width": st.sampled_from([4, 7, 16]),
        "intermediate_size": st.integers(3, 70),
        "hidden_act": st.sampled_from(["gelu", "relu", "gelu_new"]),
        "type_vocab_size": st.sampled_from([1, 2]),
    }
)


def theirs_of(kind: type, shape: dict, **more) -> transformers.PreTrainedModel:
    shape = dict(shape)
    width = shape.pop("head_width") * shape["num_attention_heads"]
    config = transformers.BertConfig(
        vocab_size=97, hidden_size=width, max_position_embeddings=40, num_labels=2, **shape, **more
    )
    return stir(kind(config))


def inputs(theirs, length: int, padded: int, seed: int):
    """Ids, types and attention mask of two rows, the second `padded` tokens shorter."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 97, (2, length), generator=random)  # their padding, 0, gets no gradient
    mask = torch.ones_like(ids)
    mask[1, length - padded :] = 0
    types = torch.randint(0, theirs.config.type_vocab_size, ids.shape, generator=random)
    return ids, mask, types


ROWS = {"length": st.integers(2, 40), "padded": st.integers(0, 1), "seed": st.integers(0, 99)}


@settings(max_examples=12)
@given(shape=SHAPES, **ROWS)
def test_pretraining_outputs_states_and_gradients(shape, length, padded, seed) -> None:
    theirs = theirs_of(transformers.BertForPreTraining, shape)
    ours, _ = ours_from(theirs, "bert", "pretraining")
    assert_weights_go_back(ours, None, theirs, "pretraining")
    ids, mask, types = inputs(theirs, length, padded, seed)
    states = []
    for block in ours.encoder.blocks:
        block.register_forward_hook(lambda _, __, out: states.append(out))
    reference = theirs(input_ids=ids, attention_mask=mask, token_type_ids=types, output_hidden_states=True)
    hidden = ours(ids, mask - 1, token_types=types)
    seen = mask.bool()
    for layer, state in enumerate(states):
        assert_close(state[seen], reference.hidden_states[layer + 1][seen], f"layer {layer}")
    logits = ours.logits(hidden)
    follows = ours.next_sentence(ours.pooled(hidden[:, 0]))
    assert_close(logits[seen], reference.prediction_logits[seen], "logits")
    assert_close(follows, reference.seq_relationship_logits, "next sentence")
    loss = logits[seen].logsumexp(-1).sum() + follows.logsumexp(-1).sum()
    other = (
        reference.prediction_logits[seen].logsumexp(-1).sum()
        + reference.seq_relationship_logits.logsumexp(-1).sum()
    )
    assert_gradients(ours, None, theirs, "pretraining", loss, other)


HEADS = {
    "classification": transformers.BertForSequenceClassification,
    "tagging": transformers.BertForTokenClassification,
    "spans": transformers.BertForQuestionAnswering,
}


@settings(max_examples=8)
@given(shape=SHAPES, head=st.sampled_from(sorted(HEADS)), **ROWS)
def test_heads(shape, head, length, padded, seed) -> None:
    theirs = theirs_of(HEADS[head], shape)
    ours, own_head = ours_from(theirs, "bert", head)
    assert_weights_go_back(ours, own_head, theirs, head)
    ids, mask, types = inputs(theirs, length, padded, seed)
    reference = theirs(input_ids=ids, attention_mask=mask, token_type_ids=types)
    hidden = ours(ids, mask - 1, token_types=types)
    if head == "classification":
        scores, expected = own_head(ours, hidden[:, 0]), reference.logits
    else:
        seen = mask.bool()
        whole = reference.logits if head == "tagging" else None
        if whole is None:
            whole = torch.stack((reference.start_logits, reference.end_logits), -1)
        scores, expected = own_head(ours, hidden)[seen], whole[seen]
    assert_close(scores, expected, head)
    assert_gradients(ours, own_head, theirs, head, scores.square().sum(), expected.square().sum())


def test_masked_model_and_bare_model_without_a_pooler() -> None:
    shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "head_width": 8, "intermediate_size": 20}
    masked = theirs_of(transformers.BertForMaskedLM, shape)
    ours, _ = ours_from(masked, "bert", "masked")
    assert not ours.config.pooler
    assert_weights_go_back(ours, None, masked, "masked")
    bare = theirs_of(transformers.BertModel, shape)
    ours, _ = ours_from(bare, "bert", "features")
    assert ours.config.pooler
    assert_weights_go_back(ours, None, bare, "features")
    ids, mask, types = inputs(bare, 9, 1, 0)
    reference = bare(input_ids=ids, attention_mask=mask, token_type_ids=types)
    hidden = ours(ids, mask - 1, token_types=types)
    assert_close(hidden[mask.bool()], reference.last_hidden_state[mask.bool()])
    assert_close(ours.pooled(hidden[:, 0]), reference.pooler_output)
