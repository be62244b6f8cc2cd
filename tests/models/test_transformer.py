"""The stack: who sees whom, where positions come from, and that short cuts change nothing."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headstart.errors import HeadstartError
from headstart.models.config import Rotary, TransformerConfig
from headstart.models.parts import attention
from headstart.models.parts.attention import attend
from headstart.models.parts.cache import KeyValueCache
from headstart.models.parts.positions import rotary_table, rotate
from headstart.models.registry import FAMILIES, make_config
from headstart.models.transformer import Transformer, build

ENCODER, DECODER = "headstart-encoder", "headstart-decoder"
BOTH = pytest.mark.parametrize("family", [ENCODER, DECODER])


def ids(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(4, 600, shape, generator=torch.Generator().manual_seed(seed))


@BOTH
@torch.no_grad()
def test_documents_of_a_row_do_not_see_each_other(tiny, family) -> None:
    model = tiny(family)
    row = ids(2, 40)
    segments = torch.tensor([[0] * 13 + [1] * 20 + [2] * 7, [5] * 30 + [9] * 10])
    changed = row.clone()
    changed[0, 13:33] = ids(20, seed=1)
    before, after = model(row, segments), model(changed, segments)
    same = segments != 1
    assert torch.equal(before[same], after[same])
    assert not torch.isclose(before[~same], after[~same]).all(-1).any()


@BOTH
@torch.no_grad()
def test_a_document_is_the_same_alone_and_packed(tiny, family) -> None:
    model = tiny(family)
    row, segments = ids(1, 40), torch.tensor([[0] * 13 + [1] * 20 + [2] * 7])
    packed = model(row, segments)
    for number in range(3):
        alone = model(row[:, segments[0] == number])
        torch.testing.assert_close(packed[:, segments[0] == number], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_decoder_never_sees_what_comes_later(tiny) -> None:
    model = tiny(DECODER)
    row = ids(3, 32)
    for place in (1, 17, 31):
        changed = row.clone()
        changed[:, place:] = ids(3, 32 - place, seed=place)
        before, after = model.logits(model(row)), model.logits(model(changed))
        assert torch.equal(before[:, :place], after[:, :place])
        assert not torch.equal(before[:, place], after[:, place])


@torch.no_grad()
def test_an_encoder_sees_both_sides(tiny) -> None:
    model = tiny(ENCODER)
    row = ids(1, 32)
    for place in (0, 31):
        changed = row.clone()
        changed[0, place] = 4 + (changed[0, place] - 3) % 596
        assert not torch.isclose(model(row), model(changed)).all(-1).any()


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@torch.no_grad()
def test_cache_gives_what_reading_everything_again_gives(tiny, kv_heads) -> None:
    model = tiny(DECODER, kv_heads=kv_heads)
    row = ids(2, 30)
    whole = model(row)
    for cuts in ([30], [1] * 30, [10, 1, 1, 15, 3]):
        cache, pieces, done = KeyValueCache(), [], 0
        for width in cuts:
            pieces.append(model(row[:, done : done + width], cache=cache))
            done += width
            assert cache.length == done
        torch.testing.assert_close(torch.cat(pieces, 1), whole, rtol=1e-4, atol=1e-5)


@settings(max_examples=25)
@given(
    shift=st.integers(0, 3000),
    first=st.integers(0, 400),
    second=st.integers(0, 400),
    half=st.integers(1, 16),
    seed=st.integers(0, 100),
)
def test_rotary_products_depend_on_distance_alone(shift, first, second, half, seed) -> None:
    random = torch.Generator().manual_seed(seed)
    query, key = torch.randn(2, 1, 1, 1, 2 * half, generator=random)

    def product(at: int, to: int) -> float:
        tables = [
            rotary_table(torch.tensor([place]), Rotary(2 * half, 10_000.0), torch.float32)
            for place in (at, to)
        ]
        return float((rotate(query, tables[0]) * rotate(key, tables[1])).sum())

    size = float(query.norm() * key.norm())
    assert product(first, second) == pytest.approx(product(first + shift, second + shift), abs=2e-3 * size)
    assert product(first, first) == pytest.approx(float((query * key).sum()), abs=1e-5 * size)


def test_rotation_keeps_lengths() -> None:
    x = torch.randn(2, 3, 50, 8)
    turned = rotate(x, rotary_table(torch.arange(50), Rotary(8, 10_000.0), torch.float32))
    torch.testing.assert_close(turned.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(turned[:, :, 0], x[:, :, 0])


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("masked", [False, True])
def test_bfloat16_attention_is_close_to_the_fused_kernel(kv_heads, masked, monkeypatch) -> None:
    torch.manual_seed(0)
    query = torch.randn(2, 4, 40, 8)
    key, value = torch.randn(2, 2, kv_heads, 40, 8)
    mask = torch.ones(40, 40).tril().bool() if masked else None
    exact = attend(query, key, value, mask)
    short = attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), mask)
    monkeypatch.setattr(attention, "SHORT_ROW", 0)
    fused = attend(query.bfloat16(), key.bfloat16(), value.bfloat16(), mask)
    assert short.dtype == fused.dtype == torch.bfloat16
    torch.testing.assert_close(short.float(), exact, rtol=0.02, atol=0.04)
    torch.testing.assert_close(fused.float(), exact, rtol=0.02, atol=0.04)


@BOTH
def test_bfloat16_model_is_close_and_keeps_float32_weights(tiny, family) -> None:
    exact = tiny(family)
    rough = Transformer(exact.config, torch.bfloat16)
    rough.load_state_dict(exact.state_dict())
    row = ids(2, 40)
    hidden = rough(row)
    assert hidden.dtype == torch.bfloat16
    assert {parameter.dtype for parameter in rough.parameters()} == {torch.float32}
    torch.testing.assert_close(hidden.float(), exact(row), rtol=0.05, atol=0.15)
    rough.logits(hidden).float().logsumexp(-1).sum().backward()
    for name, parameter in rough.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


@BOTH
@pytest.mark.parametrize(
    "sizes", [{}, {"width": 128, "layers": 6, "vocab_size": 4000, "feedforward_width": 352}]
)
@torch.no_grad()
def test_first_loss_is_that_of_guessing(tiny, family, sizes) -> None:
    for seed in range(3):
        model = tiny(family, seed=seed, **sizes)
        size = model.config.vocab_size
        row = torch.randint(4, size, (8, 64), generator=torch.Generator().manual_seed(seed))
        logits = model.logits(model(row))
        loss = float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), row.roll(-1, 1).flatten()))
        assert loss == pytest.approx(math.log(size), rel=0.03)


@BOTH
def test_weights_come_from_the_seed(tiny, family) -> None:
    first, again, other = (tiny(family, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["embedding.weight"], other["embedding.weight"])


@BOTH
def test_every_weight_gets_a_gradient(tiny, family) -> None:
    model = tiny(family)
    model.logits(model(ids(2, 20))).logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert float(parameter.grad.abs().sum()) > 0, name


def test_parameter_count_of_the_decoder(tiny) -> None:
    model = tiny(DECODER, kv_heads=2)
    width, half, inner, layers = 32, 16, 48, 2
    block = 2 * width * width + 2 * width * half + 3 * width * inner + 2 * width
    assert sum(parameter.numel() for parameter in model.parameters()) == 600 * width + layers * block + width


SIZES = {"vocab_size": 600, "layers": 1, "width": 32, "heads": 4, "kv_heads": 4, "feedforward_width": 128}
SIZES |= {"context": 64}


@pytest.mark.parametrize(
    ("family", "change", "words"),
    [
        (DECODER, {"heads": 5, "kv_heads": 5}, "not a multiple of its 5 heads"),
        (DECODER, {"kv_heads": 3}, "cannot share 3 key-value heads"),
        (DECODER, {"width": 36, "heads": 4}, "even head width"),
        (ENCODER, {"kv_heads": 2}, "as many key-value heads as heads"),
        ("headstart-encodr", {}, "did you mean 'headstart-encoder'"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(family, change, words) -> None:
    with pytest.raises(HeadstartError, match=words):
        make_config(family, SIZES | change)


def test_a_family_fixes_what_the_configuration_leaves_open() -> None:
    for name, family in FAMILIES.items():
        config = make_config(name, SIZES)
        assert isinstance(config, TransformerConfig)
        assert family.heads
        assert build(config, 0).config == config
