"""Encoders of today and BERT's relatives: states, logits, gradients, heads, folders as in transformers."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers
from decoders import VOCABULARY
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from parity import assert_close, assert_gradients, assert_weights_go_back, ours_from, stir

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import LoadedModel, load_model, save_model
from headstart.models.heads import Head
from headstart.models.registry import FAMILIES

QUICK = (Phase.explicit, Phase.generate)  # to shrink a failing shape takes minutes
LAYERS = 3
KINDS = st.lists(st.sampled_from(["full_attention", "sliding_attention"]), min_size=LAYERS, max_size=LAYERS)
BERTS = {
    "hidden_size": st.sampled_from([16, 24]),
    "num_hidden_layers": st.just(LAYERS),
    "num_attention_heads": st.sampled_from([2, 4]),
    "intermediate_size": st.integers(3, 40),
    "max_position_embeddings": st.just(42),
    "type_vocab_size": st.just(1),
    "pad_token_id": st.just(1),
}
SHAPES: dict[str, tuple[type, dict[str, Any]]] = {
    "xlm-roberta": (transformers.XLMRobertaConfig, BERTS),
    "camembert": (transformers.CamembertConfig, BERTS),
    "distilbert": (
        transformers.DistilBertConfig,
        {
            "dim": st.sampled_from([16, 24]),
            "n_layers": st.just(LAYERS),
            "n_heads": st.sampled_from([2, 4]),
            "hidden_dim": st.integers(3, 40),
            "activation": st.sampled_from(["gelu", "relu"]),
            "max_position_embeddings": st.just(40),
            "pad_token_id": st.just(0),
        },
    ),
    "deberta-v3": (
        transformers.DebertaV2Config,
        {
            "hidden_size": st.sampled_from([16, 24]),
            "num_hidden_layers": st.just(LAYERS),
            "num_attention_heads": st.sampled_from([2, 4]),
            "intermediate_size": st.integers(3, 40),
            "max_position_embeddings": st.just(40),
            "position_buckets": st.sampled_from([4, 6, 16, 64]),
            "max_relative_positions": st.sampled_from([-1, 24]),
            "type_vocab_size": st.sampled_from([0, 2]),
            "relative_attention": st.just(True),
            "position_biased_input": st.just(False),
            "pos_att_type": st.sampled_from(["p2c|c2p", ["c2p", "p2c"]]),
            "share_att_key": st.just(True),
            "norm_rel_ebd": st.just("layer_norm"),
            "legacy": st.just(False),
            "pad_token_id": st.just(0),
        },
    ),
    "modernbert": (
        transformers.ModernBertConfig,
        {
            "hidden_size": st.sampled_from([16, 32]),
            "num_hidden_layers": st.just(LAYERS),
            "num_attention_heads": st.sampled_from([2, 4]),
            "intermediate_size": st.integers(3, 40),
            "max_position_embeddings": st.just(40),
            "layer_types": KINDS,
            "local_attention": st.sampled_from([2, 7, 10]),
            "attention_bias": st.booleans(),
            "norm_bias": st.booleans(),
            "classifier_pooling": st.sampled_from(["cls", "mean"]),
            "rope_parameters": st.builds(
                lambda full, local: {
                    "full_attention": {"rope_type": "default", "rope_theta": full},
                    "sliding_attention": {"rope_type": "default", "rope_theta": local},
                },
                st.sampled_from([100.0, 160_000.0]),
                st.sampled_from([50.0, 10_000.0]),
            ),
            "pad_token_id": st.just(0),
        },
    ),
}
NAMES = sorted(SHAPES)
ROWS = {"length": st.integers(3, 30), "padded": st.integers(0, 2), "seed": st.integers(0, 99)}


def theirs_of(name: str, head: str, shape: dict[str, Any]) -> transformers.PreTrainedModel:
    config = SHAPES[name][0](vocab_size=VOCABULARY, num_labels=2 if head == "spans" else 3, **shape)
    hf_class = FAMILIES[name].heads[head].hf_class
    return stir(getattr(transformers, hf_class)(config))


def draw(data: Any, name: str) -> dict[str, Any]:
    return data.draw(st.fixed_dictionaries(SHAPES[name][1]))


def inputs(length: int, padded: int, seed: int, padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask of two rows, the second `padded` tokens shorter."""
    ids = torch.randint(2, VOCABULARY, (2, length), generator=torch.Generator().manual_seed(seed))
    mask = torch.ones_like(ids)
    mask[1, length - padded :] = 0
    return ids.masked_fill(mask == 0, padding), mask


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=10, phases=QUICK)
@given(data=st.data(), **ROWS)
def test_states_logits_and_gradients(name, data, length, padded, seed) -> None:
    theirs = theirs_of(name, "masked", draw(data, name))
    ours, _ = ours_from(theirs, name, "masked")
    assert_weights_go_back(ours, None, theirs, "masked")
    ids, mask = inputs(length, padded, seed, theirs.config.pad_token_id)
    states: list[torch.Tensor] = []
    for block in ours.encoder.blocks:
        block.register_forward_hook(lambda _, __, out: states.append(out))
    reference = theirs(input_ids=ids, attention_mask=mask, output_hidden_states=True)
    hidden = ours(ids, mask - 1)
    seen = mask.bool()
    for layer, state in enumerate(states[:-1]):
        assert_close(state[seen], reference.hidden_states[layer + 1][seen], f"layer {layer}")
    logits = ours.logits(hidden)
    assert_close(logits[seen], reference.logits[seen], "logits")
    loss, other = (answer[seen].logsumexp(-1).square().sum() for answer in (logits, reference.logits))
    assert_gradients(ours, None, theirs, "masked", loss, other)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6, phases=QUICK)
@given(data=st.data(), head=st.sampled_from(["classification", "tagging", "spans"]), **ROWS)
def test_heads(name, data, head, length, padded, seed) -> None:
    shape = draw(data, name)
    theirs = theirs_of(name, head, shape)
    means = head == "classification" and shape.get("classifier_pooling") == "mean"
    head = "mean-classification" if means else head
    ours, own_head = ours_from(theirs, name, head)
    assert_weights_go_back(ours, own_head, theirs, head)
    ids, mask = inputs(length, padded, seed, theirs.config.pad_token_id)
    reference, hidden = theirs(input_ids=ids, attention_mask=mask), ours(ids, mask - 1)
    seen = mask.bool()
    if means:
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        scores, expected = own_head(ours, mean), reference.logits
    elif head == "classification":
        scores, expected = own_head(ours, hidden[:, 0]), reference.logits
    elif head == "tagging":
        scores, expected = own_head(ours, hidden)[seen], reference.logits[seen]
    else:
        spans = torch.stack((reference.start_logits, reference.end_logits), -1)
        scores, expected = own_head(ours, hidden)[seen], spans[seen]
    assert_close(scores, expected, head)
    assert_gradients(ours, own_head, theirs, head, scores.square().sum(), expected.square().sum())


AUTOS = {
    "masked": transformers.AutoModelForMaskedLM,
    "features": transformers.AutoModel,
    "classification": transformers.AutoModelForSequenceClassification,
    "tagging": transformers.AutoModelForTokenClassification,
}


@pytest.mark.parametrize("head", AUTOS)
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_folder(name, head, tiny, tokenizer, tmp_path) -> None:
    """What is saved here loads whole there and here, and gives the same numbers."""
    offset = {"position_offset": tokenizer.special.pad + 1} if FAMILIES[name].prefix == "roberta." else {}
    model = stir(tiny(name, **offset))
    shape = FAMILIES[name].heads[head]
    own_head = stir(Head(model.config.width, shape, 2)) if shape.weights else None
    weights = own_head.weights() if own_head else {}
    loaded = LoadedModel(model, tokenizer, head, weights, ["a", "b"] if own_head else [])
    save_model(tmp_path / "m", loaded, "card")
    again = load_model(tmp_path / "m")
    assert again.head == head
    assert again.model.config.family == name
    theirs, report = AUTOS[head].from_pretrained(tmp_path / "m", output_loading_info=True)
    for complaint in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        # A body for task heads has no pooler.
        found = {one for one in report[complaint] if not str(one).startswith("pooler.")}
        assert not found, (complaint, found)
    ids, mask = inputs(20, 0, 0, tokenizer.special.pad)
    ids = ids.clamp(min=5)
    answer, hidden = theirs.eval()(input_ids=ids, attention_mask=mask), again.model.eval()(ids, mask - 1)
    if head == "features":
        assert_close(hidden, answer.last_hidden_state, head)
    elif head == "masked":
        assert_close(again.model.logits(hidden), answer.logits, head)
    elif head == "tagging":
        assert_close(own_head(model, hidden), answer.logits, head)
    else:
        assert_close(own_head(model, hidden[:, 0]), answer.logits, head)


@torch.no_grad()
def test_the_older_output_of_deberta() -> None:
    """transformers calls it otherwise where `legacy` is not false; one that is not the embedding is not
    passed over, and version 2's convolution is refused."""
    shape = {
        "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 20,
        "max_position_embeddings": 40, "position_buckets": 8, "relative_attention": True,
        "position_biased_input": False, "pos_att_type": "p2c|c2p", "share_att_key": True,
        "norm_rel_ebd": "layer_norm", "pad_token_id": 0,
    }  # fmt: skip
    theirs = theirs_of("deberta-v3", "masked", shape | {"legacy": True})
    ours, _ = ours_from(theirs, "deberta-v3", "masked")
    ids, mask = inputs(20, 0, 0, 0)
    reference = theirs(input_ids=ids, attention_mask=mask)
    assert_close(ours.logits(ours(ids, mask - 1)), reference.logits, "logits")
    family = FAMILIES["deberta-v3"]
    fields = theirs.config.to_dict()
    for changed in (
        {"conv_kernel_size": 3}, {"share_att_key": False}, {"pos_att_type": ["c2p"]},
        {"norm_rel_ebd": "none"}, {"position_biased_input": True}, {"relative_attention": False},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=next(iter(changed))):
            family.from_hf(fields | changed)
    with pytest.raises(HeadstartError, match="output of a deberta-v3 model is its embedding"):
        family.to_hf(replace(ours.config, tied=False))
