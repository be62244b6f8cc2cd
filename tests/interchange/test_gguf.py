"""GGUF files: transformers reads ours and computes the same, we read them back, damaged ones are refused."""

import math

import gguf
import numpy as np
import pytest
import sentencepiece
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.generation.chat import chat_ids
from headstart.generation.config import ModelIds
from headstart.interchange.gguf_file import write_gguf
from headstart.interchange.gguf_reading import read_gguf
from headstart.interchange.model_folder import load_model, save_model
from headstart.interchange.transfer import export_model, import_model
from headstart.models.config import LayerPlan, RotaryScaling
from headstart.models.parts.positions import rotary_frequencies
from headstart.models.registry import make_config
from headstart.models.transformer import Transformer, build
from headstart.tokenizer.folder import open_tokenizer
from headstart.tokenizer.sentencepiece_file import read_sentencepiece

HEADED = {"kv_heads": 2, "width": 64, "layers": 6}
TODAY = {
    "mistral": HEADED,
    "qwen2": HEADED,
    "qwen3": HEADED | {"head_width": 128},
    "phi3": {"kv_heads": 2, "plan": (LayerPlan(window=64),)},
    "gemma2": HEADED | {"head_width": 256, "plan": (LayerPlan(window=20), LayerPlan())},
    "gemma3": HEADED
    | {"head_width": 256, "plan": (*[LayerPlan(window=20, rotary_base=1e4)] * 5, LayerPlan())},
    "olmo2": HEADED,
    "smollm3": {"kv_heads": 2, "plan": (*[LayerPlan()] * 3, LayerPlan(rotary_base=0.0)), "layers": 4},
    "gpt-neox": {"rotary_width": 4},
}
"""Sizes in which llama.cpp computes what the family does."""
READ_THERE = ("mistral", "qwen2", "qwen3", "phi3", "gemma2", "gemma3")
"""Architectures that transformers reads from GGUF, too."""
LLAMAS = {
    "llama": {"kv_heads": 2},
    "headstart-decoder": {"kv_heads": 1},
    "gpt2": {"context": 1024, "feedforward_width": 256},  # transformers takes these for granted
}


def stirred(family: str, **sizes) -> Transformer:
    usual = {"vocab_size": 600, "layers": 2, "width": 64, "heads": 4, "feedforward_width": 96, "context": 64}
    model = build(make_config(family, usual | sizes), 0)
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=random))
    return model.eval()


@pytest.mark.parametrize("family", LLAMAS)
def test_transformers_computes_the_same(family, tokenizer, tmp_path) -> None:
    from transformers import AutoModelForCausalLM

    model = stirred(family, **LLAMAS[family])
    save_model(tmp_path / "m", model, tokenizer, "causal", "card")
    ids = torch.randint(4, 600, (2, 30), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = model.logits(model(ids))
        for numbers, tolerance in (("float32", 1e-5), ("float16", 1e-2), ("bfloat16", 5e-2), ("q8_0", 5e-2)):
            facts = export_model(tmp_path / "m", tmp_path / f"{numbers}.gguf", "gguf", numbers)
            assert facts["difference"] <= 1e-5
            theirs = AutoModelForCausalLM.from_pretrained(
                tmp_path, gguf_file=f"{numbers}.gguf", dtype=torch.float32
            )
            reference = theirs(ids).logits
            assert float((ours - reference).abs().max() / reference.abs().max()) < tolerance, numbers
            import_model(tmp_path / f"{numbers}.gguf", tmp_path / f"from-{numbers}")
            again = load_model(tmp_path / f"from-{numbers}")
            mine = again.model.eval().logits(again.model(ids))
            assert float((mine - reference).abs().max() / reference.abs().max()) < 1e-5, numbers
    text = "Emma Woodhouse, handsome — clever, 2,500 & rich 🙂"
    assert again.tokenizer.encode(text) == tokenizer.encode(text)
    assert again.tokenizer.special.end == tokenizer.special.end


@pytest.mark.parametrize("family", TODAY)
@torch.no_grad()
def test_todays_decoders_go_there_and_back(family, tokenizer, tmp_path) -> None:
    """The configuration that is read means the same, transformers computes it, and the weights are ours."""
    model = stirred(family, **TODAY[family])
    write_gguf(tmp_path / "m.gguf", model, tokenizer, "f32", "small")
    again, _ = read_gguf(tmp_path / "m.gguf")
    ids = torch.randint(4, 600, (2, 40), generator=torch.Generator().manual_seed(0))
    ours = model.logits(model(ids))
    assert torch.equal(ours, again.eval().logits(again(ids))) or family.startswith("gemma")
    assert float((ours - again.logits(again(ids))).abs().max() / ours.abs().max()) < 1e-5
    for layer in range(model.config.layers):
        assert again.config.layer(layer) == model.config.layer(layer)
    if family in READ_THERE:
        from transformers import AutoModelForCausalLM

        theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype=torch.float32)
        reference = theirs.eval()(ids[:, :20]).logits
        mine = model.logits(model(ids[:, :20]))  # within the windows, which transformers does not read of all
        assert float((mine - reference).abs().max() / reference.abs().max()) < 1e-5


@pytest.mark.parametrize(
    ("family", "sizes", "what"),
    [
        ("mistral", {"plan": (LayerPlan(window=8),)}, "layer 0 of a mistral model"),
        ("gemma2", {"plan": (LayerPlan(), LayerPlan(window=8))}, "layer 0 of a gemma2"),
        ("gemma3", TODAY["gemma3"] | {"query_scalar": 20.0}, "query_scalar=0.0, not 20"),
        ("smollm3", {"plan": (LayerPlan(),), "layers": 4}, "layer 3 of a smollm3"),
        ("phi3", {"kv_heads": 2, "plan": (LayerPlan(window=63),)}, "passes over the window of 63 tokens"),
        ("llama", {"rotary_scaling": RotaryScaling(2.0, original_context=64, kind="dynamic")}, "no dynamic"),
        ("llama", {"rotary_scaling": RotaryScaling(2.0, 1, 16, 64, "yarn")}, "rotary_scaling="),
    ],
)
def test_what_llama_cpp_would_compute_otherwise_is_not_written(
    family, sizes, what, tokenizer, tmp_path
) -> None:
    with pytest.raises(HeadstartError, match=what):
        write_gguf(tmp_path / "m.gguf", stirred(family, **sizes), tokenizer, "f32", "small")


LONG = tuple(1.0 + place for place in range(8))
SCALINGS = [
    ("llama", RotaryScaling(4.0, kind="linear")),
    ("qwen2", RotaryScaling(4.0, 1.0, 32.0, 16, "yarn", magnitude=1.0 + 0.1 * math.log(4.0))),
    ("phi3", RotaryScaling(4.0, 1.0, 4.0, 16, "longrope", LONG, LONG[::-1], 1.25)),
]


@pytest.mark.parametrize(("family", "scaling"), SCALINGS)
def test_stretched_positions_come_back(family, scaling, tokenizer, tmp_path) -> None:
    model = stirred(family, rotary_scaling=scaling)
    write_gguf(tmp_path / "m.gguf", model, tokenizer, "f32", "small")
    again, _ = read_gguf(tmp_path / "m.gguf")
    found = again.config.rotary_scaling
    lengths = torch.tensor(40)
    expected = rotary_frequencies(model.config.rotaries[0], lengths)
    assert torch.allclose(rotary_frequencies(again.config.rotaries[0], lengths), expected)
    assert found.kind == scaling.kind
    assert found.magnitude == pytest.approx(scaling.magnitude)


def test_sentencepieces_of_a_model_go_there_and_back(tmp_path) -> None:
    """A Llama 2 folder's own tokenizer; one whose merges SentencePiece did not train is refused."""
    lines = [f"The quick brown fox number {n} jumps over the dog, naïve {n * 37}." for n in range(200)]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(tmp_path / "m"), vocab_size=400, minloglevel=2,
        model_type="bpe", byte_fallback=True, remove_extra_whitespaces=False,
        normalization_rule_name="identity",
    )  # fmt: skip
    (tmp_path / "t").mkdir()
    (tmp_path / "m.model").rename(tmp_path / "t" / "tokenizer.model")
    (tmp_path / "t" / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    own = open_tokenizer(tmp_path / "t")
    save_model(tmp_path / "m", stirred("llama", vocab_size=400), own, "causal", "card")
    export_model(tmp_path / "m", tmp_path / "m.gguf", "gguf")
    library = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "t" / "tokenizer.model"))
    again = load_model(tmp_path / "m.gguf").tokenizer
    for text in ["The quick fox", "  two  blanks", "Größe 你好", *lines[:4]]:
        assert again.encode(text) == own.encode(text) == library.encode(text)
    assert again.with_special([9])[0] == own.with_special([9])[0]
    assert again.special == own.special


def test_sizes_and_weights_come_back(tokenizer, tmp_path) -> None:
    model = stirred(
        "llama",
        kv_heads=2,
        head_width=12,
        rotary_base=500_000.0,
        rotary_scaling=RotaryScaling(factor=32.0, original_context=8192),
        context=16_384,
        tied=True,
        vocab_size=640,  # more rows than the tokenizer has tokens
    )
    write_gguf(tmp_path / "m.gguf", model, tokenizer, "f32", "small")
    again, fields = read_gguf(tmp_path / "m.gguf")
    assert again.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name
    assert fields["general.name"] == "small"
    import_model(tmp_path / "m.gguf", tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded.tokenizer.vocab_size == 600
    assert loaded.model.config.vocab_size == 640


def test_the_reference_reader_agrees(tokenizer, tmp_path) -> None:
    model = stirred("llama")
    write_gguf(tmp_path / "m.gguf", model, tokenizer, "f32", "small", chat_template="{{ messages }}")
    reader = gguf.GGUFReader(tmp_path / "m.gguf")
    fields = {name: part.contents() for name, part in reader.fields.items()}
    assert fields["tokenizer.ggml.model"] == "gpt2"
    assert fields["tokenizer.ggml.pre"] == "gpt-2"
    assert fields["tokenizer.chat_template"] == "{{ messages }}"
    assert len(fields["tokenizer.ggml.tokens"]) == 600
    down = next(t for t in reader.tensors if t.name == "blk.1.ffn_down.weight")
    assert np.array_equal(down.data, model.decoder.blocks[1].feedforward.down.weight.detach().numpy())


@pytest.fixture(scope="module")
def whole(tokenizer, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("gguf") / "m.gguf"
    write_gguf(path, stirred("llama", layers=1, width=16, feedforward_width=32), tokenizer, "f32", "small")
    return path.read_bytes()


@settings(max_examples=40)
@given(data=st.data())
def test_damaged_files_are_refused(whole, tmp_path_factory, data) -> None:
    path = tmp_path_factory.mktemp("damaged") / "m.gguf"
    cut = data.draw(st.integers(0, len(whole) - 4000))
    path.write_bytes(whole[:cut])
    with pytest.raises(HeadstartError):
        read_gguf(path)


def test_what_gguf_does_not_know(tokenizer, tmp_path) -> None:
    with pytest.raises(HeadstartError, match="not for a bert model"):
        write_gguf(tmp_path / "m.gguf", stirred("bert"), tokenizer, "f32", "small")
    (tmp_path / "text.gguf").write_text("no model at all")
    with pytest.raises(HeadstartError, match="no GGUF file"):
        read_gguf(tmp_path / "text.gguf")
    with pytest.raises(HeadstartError, match="there is no file"):
        read_gguf(tmp_path / "nowhere.gguf")


# --- Files of others --------------------------------------------------------------------------------


def foreign(path, tokens, kinds, fields=(), merges=None, scores=None, kind="gpt2", pre="gpt-2", **how):
    """A file of a small Llama as llama.cpp's converter writes it, by the reference's writer."""
    random = np.random.default_rng(0)
    writer = gguf.GGUFWriter(path, "llama", **how)
    for add, value in (
        (writer.add_context_length, 64),
        (writer.add_embedding_length, 64),
        (writer.add_block_count, 1),
        (writer.add_feed_forward_length, 96),
        (writer.add_head_count, 4),
        (writer.add_rope_freq_base, 10_000.0),
        (writer.add_layer_norm_rms_eps, 1e-5),
        (writer.add_tokenizer_model, kind),
        (writer.add_tokenizer_pre, pre),
        (writer.add_token_list, tokens),
        (writer.add_token_types, kinds),
    ):
        add(value)
    if merges is not None:
        writer.add_token_merges(merges)
    if scores is not None:
        writer.add_token_scores(scores)
    for name, value in fields:
        getattr(writer, f"add_{name}")(value)
    shapes = {"token_embd": (len(tokens), 64), "output_norm": (64,)} | {
        f"blk.0.{name}": shape
        for name, shape in {
            "attn_norm": (64,), "ffn_norm": (64,), "attn_q": (64, 64), "attn_k": (64, 64), "attn_v": (64, 64),
            "attn_output": (64, 64), "ffn_gate": (96, 64), "ffn_up": (96, 64), "ffn_down": (64, 96),
        }.items()
    }  # fmt: skip
    weights = {}
    for name, shape in shapes.items():
        weights[name] = random.normal(size=shape).astype(np.float32)
        writer.add_tensor(f"{name}.weight", weights[name])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return weights


@pytest.fixture
def bytes_tokenizer(kinds):
    """Tokens, their types and merges of a GPT-2 tokenizer."""
    model = kinds["gpt2"].definition["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    types = [3 if token == "<|endoftext|>" else 1 for token in tokens]
    return tokens, types, [" ".join(pair) for pair in model["merges"]]


def test_the_rules_of_splitting_are_those_of_the_published_tokenizers(bytes_tokenizer, tmp_path) -> None:
    """Each rule loads, and cuts as the words of its own name do."""
    from headstart.interchange.gguf_tokenizer import SPLITS

    tokens, types, merges = bytes_tokenizer
    text = "Hello  WORLD'S 12345 x's\n\n don't—café 你好 a_b(c) !ab"
    for pre in SPLITS:
        foreign(tmp_path / "m.gguf", tokens, types, merges=merges, pre=pre)
        loaded = load_model(tmp_path / "m.gguf")
        assert loaded.tokenizer.decode(loaded.tokenizer.encode(text)) == text, pre
    foreign(tmp_path / "m.gguf", tokens, types, merges=merges, pre="unheard-of")
    with pytest.raises(HeadstartError, match=r"splits text by the rule unheard-of.*known: gpt-2"):
        load_model(tmp_path / "m.gguf")


@pytest.mark.parametrize("pre", ["llama-bpe", "falcon3", "tekken", "gpt-2", "qwen2"])
@pytest.mark.parametrize("said", [None, True, False])
def test_whether_a_text_begins_with_the_start_token(bytes_tokenizer, tmp_path, pre, said) -> None:
    """Files of Llama 3 seldom say it: llama.cpp takes it from the name of the rule."""
    tokens, types, merges = bytes_tokenizer
    fields = [("bos_token_id", len(tokens)), ("eos_token_id", len(tokens) + 1)]
    fields += [("add_bos_token", said)] if said is not None else []
    more = [*tokens, "<|begin|>", "<|end_of_text|>"]
    foreign(tmp_path / "m.gguf", more, [*types, 3, 3], fields, merges, pre=pre)
    opens = pre not in ("gpt-2", "qwen2") if said is None else said
    tokenizer = load_model(tmp_path / "m.gguf").tokenizer
    assert tokenizer.with_special([7])[0] == [len(tokens)] * opens + [7]


def test_words_of_the_user_and_ends_of_turns(bytes_tokenizer, tmp_path) -> None:
    tokens, types, merges = bytes_tokenizer
    size = len(tokens)
    more = [*tokens, "<think>", "<|im_end|>", "[PAD702]"]
    end = tokens.index("<|endoftext|>")
    fields = [("eos_token_id", end), ("chat_template", "{{ messages[0].content }}<|im_end|>")]
    foreign(tmp_path / "m.gguf", more, [*types, 4, 3, 5], fields, merges)
    loaded = load_model(tmp_path / "m.gguf")
    assert loaded.tokenizer.encode("<think>so<|im_end|>")[0] == size
    assert size + 1 not in loaded.tokenizer.encode("<|im_end|>")
    assert ModelIds.of(loaded).stop == {end, size + 1}
    assert chat_ids(loaded.tokenizer, [{"role": "user", "content": "a"}])[-1] == size + 1
    import_model(tmp_path / "m.gguf", tmp_path / "m")
    assert ModelIds.of(load_model(tmp_path / "m")).stop == {end, size + 1}
    assert load_model(tmp_path / "m").tokenizer.encode("<think>so") == loaded.tokenizer.encode("<think>so")


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sentencepiece_in_a_file(tmp_path, kind) -> None:
    lines = [f"The quick brown fox number {n} jumps over the dog, naïve {n * 37}." for n in range(200)]
    normal = (
        {"remove_extra_whitespaces": False, "normalization_rule_name": "identity"} if kind == "bpe" else {}
    )
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(tmp_path / "m"), vocab_size=380, minloglevel=2,
        model_type=kind, byte_fallback=True, user_defined_symbols=["<think>"], **normal,
    )  # fmt: skip
    model = read_sentencepiece(tmp_path / "m.model")
    library = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "m.model"))
    fields = [("bos_token_id", 1), ("eos_token_id", 2), ("unk_token_id", 0)]
    if model.characters:
        fields.append(("precompiled_charsmap", model.characters))
    what = "llama" if kind == "bpe" else "t5"
    foreign(tmp_path / "m.gguf", model.tokens, model.kinds, fields, scores=model.scores, kind=what)
    tokenizer = load_model(tmp_path / "m.gguf").tokenizer
    for text in ["The quick fox", "Größe 你好", *lines[:4]]:
        assert tokenizer.encode(text) == library.encode(text)
    ids = tokenizer.encode("a<think>b")
    assert library.piece_to_id("<think>") in ids
    assert tokenizer.special.all == {0, 1, 2}
    framed = tokenizer.with_special([9])[0]
    assert framed == ([1, 9] if kind == "bpe" else [9, 2])


def test_a_kind_of_tokenizer_that_is_not_read(bytes_tokenizer, tmp_path) -> None:
    tokens, types, merges = bytes_tokenizer
    foreign(tmp_path / "m.gguf", tokens, types, merges=merges, kind="bert")
    with pytest.raises(HeadstartError, match="of the kind 'bert'"):
        load_model(tmp_path / "m.gguf")


def test_a_model_in_parts(bytes_tokenizer, tmp_path) -> None:
    tokens, types, merges = bytes_tokenizer
    weights = foreign(tmp_path / "m.gguf", tokens, types, merges=merges, split_max_tensors=4)
    parts = sorted(tmp_path.glob("m-*.gguf"))
    assert len(parts) == 3
    for part in parts:
        found = load_model(part).model.embedding.weight.detach().numpy()
        assert np.array_equal(found, weights["token_embd"])
    parts[1].rename(tmp_path / "elsewhere.gguf")
    with pytest.raises(HeadstartError, match="is a part of a model in 3 files, and m-00002-of-00003"):
        load_model(parts[0])
    with pytest.raises(HeadstartError, match="part of a model in 3 files, but not named"):
        load_model(tmp_path / "elsewhere.gguf")


def test_the_other_byte_order(bytes_tokenizer, tmp_path) -> None:
    tokens, types, merges = bytes_tokenizer
    weights = foreign(tmp_path / "m.gguf", tokens, types, merges=merges, endianess=gguf.GGUFEndian.BIG)
    found = load_model(tmp_path / "m.gguf").model.state_dict()
    assert np.array_equal(found["embedding.weight"].numpy(), weights["token_embd"])
    assert np.array_equal(found["decoder.blocks.0.feedforward.up.weight"].numpy(), weights["blk.0.ffn_up"])


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ([("rope_scaling_type", gguf.RopeScalingType.LONGROPE), ("rope_scaling_factor", 4.0)], "by longrope"),
        ([("expert_count", 8)], "mixture of experts"),
    ],
)
def test_what_is_not_computed_is_said(bytes_tokenizer, tmp_path, fields, what) -> None:
    tokens, types, merges = bytes_tokenizer
    foreign(tmp_path / "m.gguf", tokens, types, fields, merges)
    with pytest.raises(HeadstartError, match=what):
        load_model(tmp_path / "m.gguf")
