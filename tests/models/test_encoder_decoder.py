"""Encoder-decoders: what packing, padding and the cache change about a pair of texts (nothing)."""

import math

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import stir

from headstart.errors import HeadstartError
from headstart.models.parts.cache import KeyValueCache
from headstart.models.registry import FAMILIES, count_parameters, make_config, preset_config
from headstart.models.transformer import Transformer, build

NAMES = ["t5", "bart", "transformer-2017"]
FAMILY = pytest.mark.parametrize("family", NAMES)


def ids(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(4, 600, shape, generator=torch.Generator().manual_seed(seed))


def decoded(model: Transformer, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return model(target, encoder_states=model.encode(source))


def assert_same(one: torch.Tensor, other: torch.Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=2e-5)


def assert_packed_pairs_equal_alone(model: Transformer, documents: list[tuple[int, int]]) -> None:
    sources = [ids(1, length, seed=number) for number, (length, _) in enumerate(documents)]
    targets = [ids(1, length, seed=99 + number) for number, (_, length) in enumerate(documents)]
    source_segments, target_segments = (
        torch.cat([torch.full((1, row.shape[1]), number) for number, row in enumerate(rows)], 1)
        for rows in (sources, targets)
    )
    encoder_states = model.encode(torch.cat(sources, 1), source_segments)
    packed = model(
        torch.cat(targets, 1),
        target_segments,
        encoder_states=encoder_states,
        encoder_segments=source_segments,
    )
    for number, (source, target) in enumerate(zip(sources, targets, strict=True)):
        assert_same(encoder_states[source_segments == number], model.encode(source)[0])
        assert_same(packed[target_segments == number], decoded(model, source, target)[0])


@FAMILY
@settings(max_examples=8)
@given(documents=st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=4))
@torch.no_grad()
def test_packed_pairs_equal_separate_rows(tiny, family, documents) -> None:
    """Attention and cross-attention stay inside a pair, and positions start again with it."""
    assert_packed_pairs_equal_alone(stir(tiny(family, encoder_layers=1)), documents)


@FAMILY
@torch.no_grad()
def test_packed_rows_may_be_longer_than_the_context(tiny, family) -> None:
    assert_packed_pairs_equal_alone(stir(tiny(family, context=16)), [(16, 3), (9, 16), (16, 16)])


@FAMILY
@pytest.mark.parametrize("left", [False, True])
@torch.no_grad()
def test_padded_batches_equal_single_rows(tiny, family, left) -> None:
    model = stir(tiny(family))
    source, target = ids(3, 20), ids(3, 15, seed=1)
    segments = []
    for rows, lengths in ((source, (20, 7, 1)), (target, (3, 15, 9))):
        place = torch.arange(rows.shape[1])
        place = place.flip(0) if left else place
        segments.append(torch.stack([(place < length).long() - 1 for length in lengths]))
    seen_source, seen = segments[0] == 0, segments[1] == 0
    encoder_states = model.encode(source, segments[0])
    batch = model(target, segments[1], encoder_states=encoder_states, encoder_segments=segments[0])
    assert batch.isfinite().all()
    for row in range(3):
        alone = decoded(model, source[row, seen_source[row]][None], target[row, seen[row]][None])
        assert_same(batch[row, seen[row]], alone[0])


@FAMILY
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_padding_beside_a_whole_source_has_finite_gradients(tiny, family, dtype) -> None:
    """A padded target's last places are in no document of the source: nothing there may become NaN."""
    model = tiny(family)
    model.dtype = dtype
    source, target = ids(2, 12), ids(2, 10, seed=1)
    whole, cut = torch.zeros_like(source), torch.zeros_like(target)
    cut[1, 4:] = -1
    hidden = model(target, cut, encoder_states=model.encode(source, whole), encoder_segments=whole)
    model.logits(hidden[cut == 0]).float().logsumexp(-1).sum().backward()
    assert all(
        parameter.grad.isfinite().all() for parameter in model.parameters() if parameter.grad is not None
    )


@FAMILY
@pytest.mark.parametrize("cuts", [[12], [1] * 12, [5, 1, 1, 4, 1]])
@torch.no_grad()
def test_the_cache_gives_what_reading_everything_again_gives(tiny, family, cuts) -> None:
    model = stir(tiny(family, encoder_layers=1))
    source, target = ids(2, 9), ids(2, 12, seed=1)
    encoder_states = model.encode(source)
    calls = []
    for block in model.decoder.blocks:
        block.cross_attention.key.register_forward_hook(lambda *_: calls.append(1))
    whole = model(target, encoder_states=encoder_states)
    assert len(calls) == len(model.decoder.blocks)
    cache, pieces, done = KeyValueCache(), [], 0
    for width in cuts:
        pieces.append(model(target[:, done : done + width], cache=cache, encoder_states=encoder_states))
        done += width
    assert_same(torch.cat(pieces, 1), whole)
    assert len(calls) == 2 * len(model.decoder.blocks)  # once more, however many steps


@FAMILY
@torch.no_grad()
def test_the_cache_of_unequal_pairs_and_of_chosen_rows(tiny, family) -> None:
    """Sources of unequal length, prompts padded on the left, rows exchanged on the way, as a beam does."""
    model = stir(tiny(family))
    source, target = ids(2, 9), ids(2, 8, seed=1)
    source_segments, target_segments = torch.zeros_like(source), torch.zeros_like(target)
    source_segments[0, 5:] = source_segments[1, 8:] = -1
    target_segments[1, :3] = -1
    encoder_states = model.encode(source, source_segments)
    whole = model(target, target_segments, encoder_states=encoder_states, encoder_segments=source_segments)
    cache = KeyValueCache()
    first = model(
        target[:, :5],
        target_segments[:, :5],
        cache,
        encoder_states=encoder_states,
        encoder_segments=source_segments,
    )
    assert_same(first[0], whole[0, :5])
    assert_same(first[1, 3:], whole[1, 3:5])
    rows = torch.tensor([1, 0, 1])
    cache.reorder(rows)
    for step in range(5, 8):
        one = model(
            target[rows, step : step + 1],
            cache=cache,
            encoder_states=encoder_states[rows],
            encoder_segments=source_segments[rows],
        )
        assert_same(one[:, 0], whole[rows, step])


@FAMILY
@torch.no_grad()
def test_the_decoder_sees_all_of_the_source_and_nothing_to_the_right(tiny, family) -> None:
    model = stir(tiny(family))
    source, target = ids(1, 10), ids(1, 10, seed=1)
    before = decoded(model, source, target)
    changed = target.clone()
    changed[:, 6:] = ids(1, 4, seed=2)
    after = decoded(model, source, changed)
    assert torch.equal(before[:, :6], after[:, :6])
    for place in (0, 9):
        other = source.clone()
        other[0, place] = 4 + (other[0, place] - 3) % 596
        assert not torch.isclose(before, decoded(model, other, target)).all(-1).any()


@FAMILY
def test_a_decoder_without_a_source_is_refused(tiny, family) -> None:
    with pytest.raises(HeadstartError, match="needs the states of the encoder"):
        tiny(family)(ids(1, 4))


SIZES = {"vocab_size": 2000, "layers": 4, "width": 128, "heads": 4, "feedforward_width": 512}
FIRST = {
    "t5": {"feedforward": "geglu_tanh", "tied": False, "output_scale": False},
    "bart": {},
    "transformer-2017": {},
}


@FAMILY
@torch.no_grad()
def test_first_loss_is_near_that_of_a_guess(family) -> None:
    """But for T5 v1.0: embeddings of deviation 1 that are the output too first repeat what they read."""
    model = build(make_config(family, SIZES | FIRST[family]), 0).eval()
    logits = model.logits(decoded(model, ids(8, 16), ids(8, 16, seed=1)))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids(8, 16, seed=2).flatten())
    assert abs(float(loss) - math.log(2000)) < 1.0, loss


PUBLISHED = [(family, name) for family in ("roberta", *NAMES) for name in sorted(FAMILIES[family].presets)]


@pytest.mark.parametrize(("family", "name"), PUBLISHED)
def test_presets_have_the_parameters_of_the_reference(family, name) -> None:
    module, config = FAMILIES[family], preset_config(name)
    kinds = {
        "roberta": (transformers.RobertaConfig, transformers.RobertaForMaskedLM),
        "t5": (transformers.T5Config, transformers.T5ForConditionalGeneration),
        "bart": (transformers.BartConfig, transformers.BartForConditionalGeneration),
        "transformer-2017": (transformers.MarianConfig, transformers.MarianMTModel),
    }
    settings_of, kind = kinds[family]
    ids_ = {"pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
    fields = module.to_hf(config) | (ids_ if family != "roberta" else {})
    with torch.device("meta"):
        theirs = kind(settings_of(**fields))
    theirs.tie_weights()
    reference = sum(parameter.numel() for parameter in theirs.parameters() if parameter.requires_grad)
    if not config.tied:  # which transformers would see in the files
        reference += config.vocab_size * config.width
    assert count_parameters(config) == module.presets[name].parameters == reference
