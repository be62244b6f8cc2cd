"""The compiled step computes what the model does, for every configuration that it covers."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from headstart.generation import cpu_decoder
from headstart.generation.cpu_decoder import compiled, covers, decoding_step
from headstart.models.config import LayerPlan, RotaryScaling, TransformerConfig
from headstart.models.parts.cache import KeyValueCache
from headstart.models.transformer import Transformer, build

DECODER = TransformerConfig(
    family="any",
    architecture="decoder",
    vocab_size=101,
    layers=2,
    width=24,
    heads=4,
    kv_heads=2,
    feedforward_width=50,
    context=256,
    position="rotary",
)


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


def random_model(config: TransformerConfig, dtype: torch.dtype = torch.float32, seed: int = 0) -> Transformer:
    """Weights at random, biases and norms too, large enough for attention to have a say."""
    model = build(config, seed, dtype).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.3)
        model.embedding.weight.mul_(20)
    return model


def through_model(model: Transformer):
    return lambda ids, cache: model.logits(model(ids, cache=cache)[:, -1]).float()


@torch.no_grad()
def all_logits(step, ids: Tensor, prompt: int) -> Tensor:
    """Logits `[T - prompt + 1, V]` of a row that is read as a prompt and then token by token."""
    cache = KeyValueCache()
    logits = [step(ids[:, :prompt], cache)]
    logits += [step(ids[:, place : place + 1], cache) for place in range(prompt, ids.shape[1])]
    return torch.cat(logits)


def some_ids(tokens: int, vocab_size: int = DECODER.vocab_size) -> Tensor:
    return torch.randint(vocab_size, (1, tokens), generator=torch.Generator().manual_seed(7))


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
    head_width = 2 * draw(st.integers(1, 9))
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
        norm_place=draw(st.sampled_from(["pre", "pre", "post", "post", "sandwich", "output"])),
        norm_bias=norm == "layernorm" and draw(st.booleans()),
        norm_epsilon=draw(st.sampled_from([1e-5, 1e-2])),
        feedforward=draw(st.sampled_from(["relu", "gelu", "gelu_tanh", "swiglu", "geglu", "geglu_tanh"])),
        feedforward_bias=draw(st.booleans()),
        qkv_bias=draw(st.booleans()),
        out_bias=draw(st.booleans()),
        scaled_attention=draw(st.booleans()),
        plan=draw(st.sampled_from(PLANS)),
        query_scalar=draw(st.sampled_from([0.0, 30.0])),
        query_key_norm=draw(st.sampled_from(["none", "none", "none", "head", "width"])),
        output_cap=draw(st.sampled_from([0.0, 0.0, 0.0, 2.0])),
        parallel=draw(st.sampled_from([False, False, False, True])),
        embedding_norm=draw(st.booleans()),
        embedding_scale=draw(st.booleans()),
        output_bias=draw(st.booleans()),
        tied=draw(st.booleans()),
        initial_deviation=0.2,
    )


@pytest.mark.usefixtures("compiler")
@settings(max_examples=60)
@given(config=configs(), prompt=st.integers(1, 8))
def test_logits_are_the_models(config, prompt):
    model = random_model(config)
    ids = some_ids(prompt + 6, config.vocab_size)
    ours = all_logits(decoding_step(model), ids, prompt)
    theirs = all_logits(through_model(model), ids, prompt)
    assert (ours - theirs).abs().max() <= 2e-5 * theirs.abs().max()


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
    ids, step = some_ids(60), decoding_step(model)
    true = all_logits(through_model(exact), ids, 4)[1:]

    def off(found: Tensor) -> float:
        return float((found - true).square().mean().sqrt())

    assert off(all_logits(step, ids, 4)[1:]) < 0.8 * off(all_logits(through_model(model), ids, 4)[1:])


@pytest.mark.usefixtures("compiler")
@settings(max_examples=15)
@given(config=configs())
def test_int8_rounds_rows_of_weights_and_nothing_else(config):
    model, rounded = random_model(config), random_model(replace(config, tied=False))
    assume(covers(model))
    rounded.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        rounded.output.weight.copy_(model.output_weight)  # the embedding keeps its precision
        for part in rounded.modules():
            if isinstance(part, nn.Linear):
                scale = part.weight.abs().amax(1, keepdim=True) / 127
                part.weight.copy_((part.weight / scale).round() * scale)
    ids = some_ids(8, config.vocab_size)
    # The step reads the prompt through the model as it is; here both read it so, and one token otherwise.
    cache, other = KeyValueCache(), KeyValueCache()
    step = decoding_step(model, torch.int8)
    with torch.no_grad():
        for through in (cache, other):
            model(ids[:, :7], cache=through)
        ours, theirs = step(ids[:, 7:], cache), through_model(rounded)(ids[:, 7:], other)
    assert (ours - theirs).abs().max() <= 2e-5 * theirs.abs().max()


@pytest.mark.usefixtures("compiler")
def test_same_greedy_text_and_same_cache():
    """Past several doublings of the cache, and whoever reads the next token."""
    model = random_model(replace(DECODER, tied=False, initial_deviation=0.4))
    step, slow = decoding_step(model), through_model(model)

    def text(steps) -> list[int]:
        cache, ids, written = KeyValueCache(), some_ids(5), []
        with torch.no_grad():
            for number in range(200):
                ids = steps[number % len(steps)](ids, cache).argmax(-1, keepdim=True)
                written.append(int(ids))
        assert cache.length == 204
        return written

    expected = text([slow])
    assert len(set(expected)) > 5
    assert text([step]) == expected
    assert text([step, slow, slow, step]) == expected


@pytest.mark.usefixtures("compiler")
def test_threads_do_not_change_a_bit():
    model, ids, before = random_model(replace(DECODER, width=100)), some_ids(12), torch.get_num_threads()
    step, found = decoding_step(model), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append(all_logits(step, ids, 1)[1:])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.usefixtures("compiler")
def test_batches_and_several_documents_go_through_the_model():
    model = random_model(DECODER)
    step, ids = decoding_step(model), some_ids(10).view(2, 5)
    cache = KeyValueCache()
    with torch.no_grad():
        step(ids[:, :4], cache)
        together = step(ids[:, 4:], cache)
    for row in range(2):
        alone = all_logits(step, ids[row : row + 1], 4)[-1]
        assert torch.allclose(together[row], alone, atol=1e-5)

    one, two = some_ids(4), some_ids(9)[:, 4:]
    cache = KeyValueCache()
    with torch.no_grad():
        model(torch.cat((one, two), 1), torch.tensor([[0] * 4 + [1] * 5]), cache=cache)
        after = step(some_ids(1), cache)
    assert torch.allclose(after, all_logits(step, torch.cat((two, some_ids(1)), 1), 5)[-1], atol=1e-5)


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
    ids = some_ids(6)
    assert torch.equal(all_logits(decoding_step(model), ids, 2), all_logits(through_model(model), ids, 2))


@pytest.mark.parametrize("broken", ["missing", "failing"])
def test_without_a_compiler_the_model_does_it(broken, tmp_path, monkeypatch, caplog):
    failing = tmp_path / "failing"
    failing.write_text("#!/bin/sh\necho 'error: no such processor' >&2\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setenv("CXX", str(tmp_path / broken))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    compiled.cache_clear()
    model, ids = random_model(DECODER), some_ids(6)
    try:
        for _ in range(2):
            ours = all_logits(decoding_step(model), ids, 2)
    finally:
        compiled.cache_clear()
    assert torch.equal(ours, all_logits(through_model(model), ids, 2))
    assert len(caplog.records) == 1
    said = caplog.records[0].getMessage()
    assert ("no such processor" if broken == "failing" else "No such file") in said
    assert "install g++" in said
    assert not list((tmp_path / "cache").rglob("*.so*"))


@pytest.mark.usefixtures("compiler")
def test_processes_that_compile_at_once(tmp_path):
    script = "from headstart.generation.cpu_decoder import compiled; assert compiled() is not None"
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    processes = [subprocess.Popen([sys.executable, "-c", script], env=environment) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert [file.suffix for file in (tmp_path / "headstart").iterdir()] == [".so"]


@pytest.mark.usefixtures("compiler")
def test_compiled_once(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("compiled again")

    compiled.cache_clear()
    monkeypatch.setattr(cpu_decoder.subprocess, "run", fail)
    assert compiled() is not None
