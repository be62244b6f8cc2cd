"""The compiled decoder computes what the model does, and for each text the same whatever stands beside it."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from random_models import DECODER, random_model, some_ids
from torch import Tensor, nn

from headstart.errors import HeadstartError
from headstart.generation import cpu_library
from headstart.generation.config import GenerationConfig
from headstart.generation.cpu_decoder import ROWS, CPUDecoder, covers, make_decoder
from headstart.generation.cpu_library import compiled
from headstart.generation.incremental import CPUReader, ModelReader
from headstart.generation.text import generate
from headstart.interchange.model_folder import LoadedModel
from headstart.models.config import LayerPlan, RotaryScaling, TransformerConfig
from headstart.models.transformer import Transformer


@pytest.fixture(scope="module", autouse=True)
def cache_folder(tmp_path_factory):
    """A cache folder of these tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        compiled.cache_clear()
        yield
    compiled.cache_clear()


@pytest.fixture
def compiler(cache_folder):
    if compiled() is None:
        pytest.skip("no C++ compiler here")


@torch.no_grad()
def all_logits(reader: CPUReader | ModelReader, ids: list[int], prompt: int) -> Tensor:
    """Logits `[T - prompt + 1, V]` of a row that is read as a prompt and then token by token."""
    logits = [reader.read([ids[:prompt]])]
    logits += [reader.read([[token]]) for token in ids[prompt:]]
    return torch.cat(logits)


def decoder_of(model: Transformer, weights: torch.dtype | None = None) -> CPUDecoder:
    decoder = make_decoder(model, weights)
    assert decoder is not None
    return decoder


def compiled_logits(
    model: Transformer, ids: list[int], prompt: int, weights: torch.dtype | None = None
) -> Tensor:
    return all_logits(CPUReader(decoder_of(model, weights)), ids, prompt)


def model_logits(model: Transformer, ids: list[int], prompt: int) -> Tensor:
    return all_logits(ModelReader(model), ids, prompt)


PLANS = [
    *((LayerPlan(),),) * 3,
    (LayerPlan(), LayerPlan(window=5)),
    (LayerPlan(window=4),),
    (LayerPlan(window=4, rotary_base=50.0), LayerPlan()),
    (LayerPlan(), LayerPlan(rotary_base=0)),
]


@st.composite
def configs(draw) -> TransformerConfig:
    kv_heads = draw(st.integers(1, 3))
    heads = kv_heads * draw(st.integers(1, 3))
    head_width = draw(st.sampled_from([2, 6, 16, 18, 64, 80]))
    norm = draw(st.sampled_from(["layernorm", "rmsnorm"]))
    return TransformerConfig(
        family="any",
        architecture="decoder",
        vocab_size=draw(st.integers(2, 150)),
        layers=draw(st.integers(1, 3)),
        width=draw(st.integers(1, 70)),
        heads=heads,
        kv_heads=kv_heads,
        head_width=head_width,
        feedforward_width=draw(st.integers(1, 90)),
        context=200,
        position=draw(st.sampled_from(["learned", "sinusoidal", "rotary", "none"])),
        position_offset=draw(st.sampled_from([0, 2])),
        rotary_base=draw(st.sampled_from([100.0, 10_000.0])),
        rotary_scaling=draw(st.sampled_from([None, RotaryScaling(original_context=32)])),
        norm=norm,
        norm_place=draw(st.sampled_from(["pre", "post", "sandwich", "output"])),
        norm_bias=norm == "layernorm" and draw(st.booleans()),
        norm_epsilon=draw(st.sampled_from([1e-5, 1e-2])),
        feedforward=draw(st.sampled_from(["relu", "gelu", "gelu_tanh", "swiglu", "geglu", "geglu_tanh"])),
        feedforward_bias=draw(st.booleans()),
        qkv_bias=draw(st.booleans()),
        out_bias=draw(st.booleans()),
        scaled_attention=draw(st.booleans()),
        plan=draw(st.sampled_from(PLANS)),
        query_scalar=draw(st.sampled_from([0.0, 30.0])),
        query_key_norm=draw(st.sampled_from(["none", "head", "width"])),
        norm_plus_one=norm == "rmsnorm" and draw(st.booleans()),
        attention_cap=draw(st.sampled_from([0.0, 3.0])),
        output_cap=draw(st.sampled_from([0.0, 2.0])),
        rotary_width=draw(st.sampled_from([0, 2])),
        parallel=draw(st.booleans()),
        embedding_norm=draw(st.booleans()),
        embedding_scale=draw(st.booleans()),
        output_bias=draw(st.booleans()),
        tied=draw(st.booleans()),
        initial_deviation=0.2,
    )


@pytest.mark.usefixtures("compiler")
@settings(max_examples=60)
@given(config=configs(), prompt=st.sampled_from([1, 3, 8, 64, 130]))
def test_logits_are_the_models(config, prompt):
    model = random_model(config)
    assert covers(model)
    ids = some_ids(prompt + 6, config.vocab_size)
    ours, theirs = compiled_logits(model, ids, prompt), model_logits(model, ids, prompt)
    assert (ours - theirs).abs().max() <= 2e-5 * theirs.abs().max()


@pytest.mark.usefixtures("compiler")
@settings(max_examples=60, deadline=None)
@given(config=configs(), weights=st.sampled_from([torch.float32, torch.bfloat16, torch.int8]), data=st.data())
def test_a_text_is_bitwise_the_same_in_any_schedule(config, weights, data):
    """Prompts in parts of any size, any texts side by side, one ending while others go on."""
    model = random_model(config, torch.bfloat16 if weights == torch.bfloat16 else torch.float32)
    assert covers(model)
    decoder = decoder_of(model, weights)
    lengths = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=20), "lengths")
    texts = [some_ids(number + length, config.vocab_size)[number:] for number, length in enumerate(lengths)]
    alone = [decoder.read([decoder.cache()], [text])[0] for text in texts]

    caches, read = [decoder.cache() for _ in texts], [0] * len(texts)
    while unfinished := [text for text in range(len(texts)) if read[text] < lengths[text]]:
        chosen = data.draw(st.lists(st.sampled_from(unfinished), min_size=1, unique=True), "texts of a step")
        ends = [data.draw(st.integers(read[text] + 1, lengths[text]), "up to") for text in chosen]
        parts = [texts[text][read[text] : end] for text, end in zip(chosen, ends, strict=True)]
        logits = decoder.read([caches[text] for text in chosen], parts)
        for row, (text, end) in enumerate(zip(chosen, ends, strict=True)):
            read[text] = end
            if end == lengths[text]:
                assert torch.equal(logits[row], alone[text])


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("weights", [torch.float32, torch.bfloat16, torch.int8])
def test_more_rows_than_one_call_takes(weights):
    model = random_model(replace(DECODER, context=2 * ROWS), torch.float32)
    decoder = decoder_of(model, weights)
    long, short = some_ids(ROWS + 30), some_ids(9)
    together = decoder.read([decoder.cache() for _ in range(3)], [short, long, short])
    assert torch.equal(together[1], decoder.read([decoder.cache()], [long])[0])
    assert torch.equal(together[0], together[2])
    step_by_step = compiled_logits(model, long, 1, weights)
    assert torch.equal(step_by_step[-1], together[1])


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize(
    "config",
    [
        replace(DECODER, norm="rmsnorm", feedforward="swiglu"),
        replace(DECODER, position="learned", kv_heads=4, norm_bias=True, feedforward="gelu_tanh"),
        replace(DECODER, position="sinusoidal", norm_place="post", feedforward="relu"),
    ],
)
def test_bfloat16_rounds_the_weights_and_little_else(config):
    """Activations are float32 here: closer to exact arithmetic on rounded weights than all in bfloat16."""
    model = random_model(config, torch.bfloat16)
    exact = Transformer(config, torch.float64).double()
    exact.load_state_dict({name: tensor.bfloat16().double() for name, tensor in model.state_dict().items()})
    ids = some_ids(60)
    true = model_logits(exact, ids, 4)

    def off(found: Tensor) -> float:
        return float((found - true).square().mean().sqrt())

    assert off(compiled_logits(model, ids, 4)) < 0.8 * off(model_logits(model, ids, 4))


@pytest.mark.usefixtures("compiler")
@settings(max_examples=15)
@given(config=configs())
def test_int8_rounds_rows_of_weights_and_nothing_else(config):
    model, rounded = random_model(config), random_model(replace(config, tied=False))
    assert covers(model)
    rounded.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        rounded.output.weight.copy_(model.output_weight)  # the embedding keeps its precision
        for part in rounded.modules():
            if isinstance(part, nn.Linear):
                scale = part.weight.abs().amax(1, keepdim=True) / 127
                part.weight.copy_((part.weight / scale).round() * scale)
    ids = some_ids(8, config.vocab_size)
    ours, theirs = compiled_logits(model, ids, 4, torch.int8), model_logits(rounded, ids, 4)
    rounded.double()
    rounded.dtype = torch.float64
    with torch.no_grad():
        exact = rounded.logits(rounded(torch.tensor([ids])))[0, -len(ours) :]
    # Some random shapes multiply rounding: there torch itself is as far from what the weights say.
    rounding = (theirs - exact).abs().max()
    assert (ours - exact).abs().max() <= max(2e-5 * exact.abs().max(), 4 * rounding)


@pytest.mark.usefixtures("compiler")
@torch.no_grad()
def test_same_greedy_text():
    """Past several doublings of the cache."""
    model = random_model(replace(DECODER, tied=False, initial_deviation=0.4))

    def text(reader) -> list[int]:
        token, written = reader.read([some_ids(5)]).argmax(-1), []
        for _ in range(200):
            written.append(int(token))
            token = reader.read([written[-1:]]).argmax(-1)
        return written

    expected = text(ModelReader(model))
    assert len(set(expected)) > 5
    assert text(CPUReader(decoder_of(model))) == expected


@pytest.mark.usefixtures("compiler")
def test_threads_do_not_change_a_bit():
    model, ids, before = random_model(replace(DECODER, width=100)), some_ids(12), torch.get_num_threads()
    decoder, found = decoder_of(model), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(all_logits(CPUReader(decoder), ids, 3))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.usefixtures("compiler")
def test_rows_are_kept_copied_and_left():
    """As beam search does: two beams that go on from one have caches of their own."""
    decoder, ids = decoder_of(random_model(DECODER)), some_ids(20)
    reader = CPUReader(decoder)
    reader.read([ids[:6], ids[3:5], ids[2:10]])
    reader.keep([2, 0, 0])
    logits = reader.read([ids[10:11], ids[6:7], ids[8:9]])
    for row, text in enumerate([ids[2:11], ids[:7], [*ids[:6], ids[8]]]):
        assert torch.equal(logits[row], decoder.read([decoder.cache()], [text])[0])
    reader.forget()
    assert torch.equal(reader.read([ids[:4]])[0], decoder.read([decoder.cache()], [ids[:4]])[0])


@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("settings_", [{}, {"temperature": 1.3, "seed": 3}, {"beams": 3}], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_generated_texts_do_not_depend_on_each_other(tokenizer, settings_, dtype):
    """Some end early, some slide past the context."""
    config = replace(DECODER, vocab_size=tokenizer.vocab_size, context=24, initial_deviation=0.4)
    loaded = LoadedModel(random_model(config, dtype), tokenizer, "causal")
    decoder = make_decoder(loaded.model)
    length = 8 if "beams" in settings_ else 40
    given = GenerationConfig(**{"max_new_tokens": length, "temperature": 0.0, "logprobs": True} | settings_)
    prompts = [
        "It was a",
        "The ship sailed to the harbour and",
        "A",
        "Nobody knew the name of it",
    ]
    together = generate(loaded, prompts, given, decoder)
    assert together == [generate(loaded, [prompt], given, decoder)[0] for prompt in prompts]
    assert len({one.text for one in together}) > 1


def test_a_place_that_was_not_learned_is_refused():
    model = random_model(replace(DECODER, position="learned", context=8))
    if (decoder := make_decoder(model)) is None:
        pytest.skip("no C++ compiler here")
    with pytest.raises(HeadstartError, match="a text of 9 tokens is longer than this model's 8 learned"):
        decoder.read([decoder.cache()], [some_ids(9)])


def test_only_what_is_covered():
    assert covers(random_model(DECODER))
    assert not covers(random_model(replace(DECODER, position="relative")))
    assert not covers(random_model(replace(DECODER, position="relative-xl")))
    assert not covers(random_model(replace(DECODER, architecture="encoder-decoder", encoder_layers=1)))
    assert not covers(random_model(replace(DECODER, prediction_head=True)))

    class Adapted(nn.Module):
        def __init__(self, inside: nn.Module) -> None:
            super().__init__()
            self.inside = inside

        def forward(self, x: Tensor) -> Tensor:
            return 2 * self.inside(x)

    model = random_model(DECODER)
    attention = model.decoder.blocks[1].attention
    attention.query = Adapted(attention.query)
    assert not covers(model)
    assert make_decoder(model) is None


@pytest.mark.parametrize("broken", ["missing", "failing"])
def test_without_a_compiler_the_model_does_it(broken, tmp_path, monkeypatch, caplog):
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho 'error: no such processor' >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / broken))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compiled.cache_clear()
    try:
        for _ in range(2):
            assert make_decoder(random_model(DECODER)) is None
    finally:
        compiled.cache_clear()
    assert len(caplog.records) == 1
    said = caplog.records[0].getMessage()
    assert ("no such processor" if broken == "failing" else "No such file") in said
    assert "install g++" in said
    assert not list((tmp_path / "cache").rglob("*.so*"))


@pytest.mark.usefixtures("compiler")
def test_processes_that_compile_at_once(tmp_path):
    script = "from headstart.generation.cpu_library import compiled; assert compiled() is not None"
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    processes = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert [file.suffix for file in (tmp_path / "headstart").iterdir()] == [".so"]


@pytest.mark.usefixtures("compiler")
def test_compiled_once(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("compiled again")

    compiled.cache_clear()
    monkeypatch.setattr(cpu_library.subprocess, "run", fail)
    assert compiled() is not None
