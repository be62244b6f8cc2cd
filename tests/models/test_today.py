"""Today's architectures compute what transformers' classes compute: states, gradients, text, folders."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
import transformers
from decoders import (
    ROWS,
    VOCABULARY,
    assert_folder,
    assert_reading_changes_nothing,
    compare_causal,
    compare_head,
    every_weight_has_a_name,
)
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from parity import assert_close, ours_from, stir

from headstart.generation.beam import beam_search
from headstart.generation.config import GenerationConfig, ModelIds
from headstart.generation.cpu_decoder import make_decoder
from headstart.generation.incremental import CPUReader, ModelReader
from headstart.models.registry import FAMILIES
from headstart.models.transformer import Transformer

QUICK = (Phase.explicit, Phase.generate)  # to shrink a failing shape takes minutes


@dataclass
class Theirs:
    """How transformers builds a family, of which random shapes are drawn."""

    config: type
    shapes: dict[str, Any]
    """Its own fields, drawn beside those that all have."""
    attention: str = "sdpa"
    head_width: bool = True
    """Whether the width of a head is a field."""
    kv_heads: bool = True
    fixed: dict[str, Any] = field(default_factory=dict)


def ropes(*kinds: dict[str, Any]) -> st.SearchStrategy:
    plain = st.builds(lambda base: {"rope_type": "default", "rope_theta": base}, st.sampled_from([1e4, 5e5]))
    return st.one_of(plain, st.sampled_from(kinds)) if kinds else plain


LLAMA_3 = {
    "rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8,
}  # fmt: skip
LINEAR = {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
YARN = {
    "rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "beta_fast": 2, "beta_slow": 0.5,
    "original_max_position_embeddings": 10,
}  # fmt: skip
YARN_OF_DEEPSEEK = YARN | {"mscale": 1.5, "mscale_all_dim": 0.7, "truncate": False}
KINDS = st.lists(st.sampled_from(["full_attention", "sliding_attention"]), min_size=3, max_size=3)


def longrope(share: float) -> dict[str, Any]:
    """For heads of 8 numbers; the rows of the tests are shorter and longer than its first context."""
    pairs = int(8 * share) // 2
    return {
        "rope_type": "longrope", "rope_theta": 1e4, "partial_rotary_factor": share,
        "short_factor": [1.0 + place for place in range(pairs)],
        "long_factor": [2.0 + 3 * place for place in range(pairs)],
        "original_max_position_embeddings": 12, "factor": 40 / 12,
    }  # fmt: skip


FAMILIES_TODAY = {
    "mistral": Theirs(
        transformers.MistralConfig,
        {
            "sliding_window": st.sampled_from([None, 3, 8]),
            "rope_parameters": ropes(LLAMA_3, LINEAR, YARN, DYNAMIC),
        },
    ),
    "qwen2": Theirs(
        transformers.Qwen2Config,
        {
            "use_sliding_window": st.booleans(),
            "sliding_window": st.sampled_from([3, 8]),
            "max_window_layers": st.integers(0, 3),
            "rope_parameters": ropes(LLAMA_3, YARN),
        },
        head_width=False,
    ),
    "qwen3": Theirs(
        transformers.Qwen3Config,
        {
            "use_sliding_window": st.just(True),
            "sliding_window": st.sampled_from([3, 8]),
            "layer_types": KINDS,
            "attention_bias": st.booleans(),
            "rope_parameters": ropes(LINEAR, YARN, YARN_OF_DEEPSEEK),
        },
    ),
    "olmo2": Theirs(
        transformers.Olmo2Config,
        {"attention_bias": st.booleans(), "rope_parameters": ropes(LLAMA_3)},
        head_width=False,
    ),
    "phi3": Theirs(
        transformers.Phi3Config,
        {
            "sliding_window": st.sampled_from([None, 3, 8]),
            "rope_parameters": st.one_of(
                st.sampled_from([longrope(1.0), longrope(0.75)]),
                st.builds(
                    lambda share: {
                        "rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": share,
                    },
                    st.sampled_from([1.0, 0.75, 0.5]),
                ),
            ),
        },
        head_width=False,
    ),
    "gpt-neox": Theirs(
        transformers.GPTNeoXConfig,
        {
            "use_parallel_residual": st.booleans(),
            "attention_bias": st.booleans(),
            "hidden_act": st.sampled_from(["gelu", "relu", "gelu_new"]),
            "rope_parameters": st.builds(
                lambda share: {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": share},
                st.sampled_from([0.25, 0.5, 1.0]),
            ),
        },
        head_width=False,
        kv_heads=False,
    ),
    "gemma2": Theirs(
        transformers.Gemma2Config,
        {
            "layer_types": KINDS,
            "sliding_window": st.sampled_from([3, 8]),
            "query_pre_attn_scalar": st.sampled_from([8, 25]),
            "attn_logit_softcapping": st.sampled_from([None, 2.0]),
            "final_logit_softcapping": st.sampled_from([None, 3.0]),
            "attention_bias": st.booleans(),
            "rope_parameters": ropes(LLAMA_3),
        },
        attention="eager",
    ),
    "gemma3": Theirs(
        transformers.Gemma3TextConfig,
        {
            "layer_types": KINDS,
            "sliding_window": st.sampled_from([3, 8]),
            "query_pre_attn_scalar": st.sampled_from([8, 25]),
            "final_logit_softcapping": st.sampled_from([None, 3.0]),
            "rope_parameters": st.builds(
                lambda full, local: {
                    "full_attention": full,
                    "sliding_attention": {"rope_type": "default", "rope_theta": local},
                },
                ropes(LINEAR, YARN),
                st.sampled_from([100.0, 1e4]),
            ),
        },
        attention="eager",
    ),
    "smollm3": Theirs(
        transformers.SmolLM3Config,
        {
            "no_rope_layers": st.lists(st.sampled_from([0, 1]), min_size=3, max_size=3),
            "use_sliding_window": st.booleans(),
            "sliding_window": st.sampled_from([3, 8]),
            "attention_bias": st.booleans(),
            "mlp_bias": st.booleans(),
            "rope_parameters": ropes(LLAMA_3),
        },
    ),
}  # fmt: skip
CAUSAL = sorted(FAMILIES_TODAY)


@st.composite
def shapes(draw: Any, name: str) -> dict[str, Any]:
    theirs = FAMILIES_TODAY[name]
    heads, kv_heads = draw(st.sampled_from([(2, 1), (2, 2), (4, 2)]))
    if not theirs.kv_heads:
        kv_heads = heads
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 8 * heads,
        "num_hidden_layers": 3,
        "num_attention_heads": heads,
        "intermediate_size": draw(st.integers(3, 40)),
        "max_position_embeddings": 40,
        "tie_word_embeddings": draw(st.booleans()),
        "num_labels": 3,
        "pad_token_id": 0,
    }
    if theirs.kv_heads:
        shape["num_key_value_heads"] = kv_heads
    if theirs.head_width:
        shape["head_dim"] = draw(st.sampled_from([8, 16]))
    return shape | {key: draw(strategy) for key, strategy in theirs.shapes.items()}


def class_of(name: str, head: str) -> type | None:
    found = FAMILIES[name].heads[head].hf_class
    return None if found is None else getattr(transformers, found)


def theirs_of(name: str, head: str, shape: dict[str, Any]) -> transformers.PreTrainedModel:
    theirs = FAMILIES_TODAY[name]
    torch.manual_seed(0)  # transformers draws from the global generator; near a tie another token may win
    model = class_of(name, head)(theirs.config(**shape))
    model.set_attn_implementation(theirs.attention)
    return stir(model)


@pytest.mark.parametrize("name", CAUSAL)
@settings(max_examples=10, phases=QUICK)
@given(data=st.data(), rows=ROWS)
def test_logits_states_and_gradients(name, data, rows) -> None:
    shape = data.draw(shapes(name))
    theirs = theirs_of(name, "causal", shape)
    if shape["rope_parameters"].get("rope_type") in ("longrope", "dynamic"):
        rows |= {"padded": 0}  # there the longest row of a batch chooses the angles of all; here each its own
    ours = compare_causal(theirs, name, **rows)
    every_weight_has_a_name(ours)


@pytest.mark.parametrize("name", CAUSAL)
@settings(max_examples=4, phases=QUICK)
@given(data=st.data(), rows=ROWS)
def test_heads(name, data, rows) -> None:
    known = [head for head in ("features", "classification", "tagging", "spans") if class_of(name, head)]
    head = data.draw(st.sampled_from(known))
    shape = data.draw(shapes(name))
    if shape["rope_parameters"].get("rope_type") in ("longrope", "dynamic"):
        rows |= {"padded": 0}
    compare_head(theirs_of(name, head, shape), name, head, **rows)


def example(name: str, **more: Any) -> dict[str, Any]:
    """A shape with windows and whatever else the family has."""
    theirs = FAMILIES_TODAY[name]
    fields = {
        "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 40, "max_position_embeddings": 40,
        "sliding_window": 5, "use_sliding_window": True, "max_window_layers": 1, "pad_token_id": 0,
        "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8,
        "sliding_window_pattern": 2, "num_labels": 2,
    }  # fmt: skip
    own = {key for kind in theirs.config.__mro__ for key in getattr(kind, "__annotations__", {})}
    kept = {key: value for key, value in fields.items() if key in own or key == "sliding_window_pattern"}
    if name == "gemma3":
        kept.pop("attn_logit_softcapping")
    return kept | more


@pytest.mark.parametrize("name", CAUSAL)
@torch.no_grad()
def test_text_is_theirs(name, tokenizer) -> None:
    """Greedy, through the cache, past the windows; in a batch of rows of different lengths, too."""
    theirs = theirs_of(name, "causal", example(name))
    ours, _ = ours_from(theirs, name, "causal")
    ids = torch.randint(1, VOCABULARY, (1, 7), generator=torch.Generator().manual_seed(0))
    expected = theirs.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, min_new_tokens=24, do_sample=False
    )
    assert continued(ours, ids, 24) == expected[0].tolist()


@pytest.mark.parametrize("beams", [1, 2])
@torch.no_grad()
def test_text_that_grows_beyond_the_first_context_of_longrope(beams) -> None:
    """There every key turns otherwise: what was read is read again, as in transformers' Phi3ForCausalLM."""
    shape = example("phi3", rope_parameters=longrope(1.0), original_max_position_embeddings=12)
    theirs = theirs_of("phi3", "causal", shape)
    ours, _ = ours_from(theirs, "phi3", "causal")
    ids = torch.randint(1, VOCABULARY, (1, 7), generator=torch.Generator().manual_seed(0))
    expected = theirs.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, min_new_tokens=20, do_sample=False,
        num_beams=beams,
    )  # fmt: skip
    if beams == 1:
        assert continued(ours, ids, 20) == expected[0].tolist()
    found = beam_search(
        ModelReader(ours),
        [ids[0].tolist()],
        GenerationConfig(beams=beams, min_new_tokens=20, temperature=0),
        ModelIds(frozenset(), (), None, None, None),
        20,
    )
    assert list(found[0].ids) == expected[0, 7:].tolist()


@pytest.mark.parametrize("rope", [longrope(1.0), DYNAMIC])
@torch.no_grad()
def test_a_text_keeps_its_angles_beside_longer_ones(rope) -> None:
    """Padded, packed and written in a batch it is what it is alone: its own length chooses the angles."""
    shape = example("phi3" if "short_factor" in rope else "mistral", rope_parameters=rope)
    name = "phi3" if "short_factor" in rope else "mistral"
    if name == "phi3":
        shape |= {"original_max_position_embeddings": 12}
    else:
        shape |= {"max_position_embeddings": 12}
    ours, _ = ours_from(theirs_of(name, "causal", shape), name, "causal")
    long, short = torch.randint(1, VOCABULARY, (2, 30), generator=torch.Generator().manual_seed(0))
    alone = [ours(long[None])[0], ours(short[None, :9])[0]]
    assert float((ours(short[None])[0, :9] - alone[1]).abs().max()) > 1e-3  # its length matters
    packed = ours(torch.cat((short[:9], long))[None], torch.tensor([[0] * 9 + [1] * 30]))[0]
    assert_close(packed[:9], alone[1], "packed")
    assert_close(packed[9:], alone[0], "packed")
    both = torch.stack((long, torch.cat((long[:21], short[:9]))))
    padded = ours(both, torch.tensor([[0] * 30, [-1] * 21 + [0] * 9]))
    assert_close(padded[0], alone[0], "padded")
    assert_close(padded[1, 21:], alone[1], "padded")
    if name == "phi3":
        reader, one = ModelReader(ours), ModelReader(ours)
        for length in range(8, 16):
            texts = [long[: length + 2].tolist(), short[:length].tolist()]
            new = texts if length == 8 else [text[-1:] for text in texts]
            alone_now = one.read(new[1:])
            assert_close(reader.read(new)[1:], alone_now, f"{length} tokens, in a batch")
            whole = ours.logits(ours(short[None, :length])[:, -1])
            assert_close(alone_now, whole, f"{length} tokens, in one piece")


def continued(model: Transformer, ids: torch.Tensor, tokens: int) -> list[int]:
    """What the model writes behind ids `[1, T]`, token by token, as generation does it."""
    decoder = make_decoder(model)
    reader = ModelReader(model) if decoder is None else CPUReader(decoder)
    written = ids[0].tolist()
    unread = written[:]
    for _ in range(tokens):
        unread = [int(reader.read([unread]).argmax())]
        written += unread
    return written


@pytest.mark.parametrize("name", CAUSAL)
def test_reading_in_pieces_padded_and_packed(name) -> None:
    ours, _ = ours_from(theirs_of(name, "causal", example(name)), name, "causal")
    assert_reading_changes_nothing(ours)


AUTOS = {
    "causal": transformers.AutoModelForCausalLM,
    "features": transformers.AutoModel,
    "classification": transformers.AutoModelForSequenceClassification,
    "tagging": transformers.AutoModelForTokenClassification,
    "spans": transformers.AutoModelForQuestionAnswering,
}


@pytest.mark.parametrize("head", AUTOS)
@pytest.mark.parametrize("name", CAUSAL)
def test_folder(name, head, tokenizer, tmp_path) -> None:
    shape = example(name, vocab_size=600)
    ours, _ = ours_from(theirs_of(name, "causal", shape), name, "causal")
    found = class_of(name, head)
    assert_folder(tmp_path / "m", ours, tokenizer, head, found and AUTOS[head])
