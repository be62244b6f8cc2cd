"""Chinchilla's relative positions are the equation of Dai et al. 2019, and its folders are whole."""

import json
import math

import pytest
import torch
from decoders import (
    VOCABULARY,
    assert_folder,
    assert_reading_changes_nothing,
    every_weight_has_a_name,
    model_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from parity import assert_close

from headstart.errors import HeadstartError
from headstart.interchange.model_folder import load_model, save_model
from headstart.models.parts.attention import Attention
from headstart.models.registry import make_config
from headstart.models.transformer import build


def sinusoid(distance: int, width: int) -> torch.Tensor:
    """R of Dai et al. 2019, appendix B: sines of the distance, then cosines, at falling frequencies."""
    halves = [[], []]
    for index in range(0, width, 2):
        angle = distance / 10_000 ** (index / width)
        halves[0].append(math.sin(angle))
        halves[1].append(math.cos(angle))
    return torch.tensor(halves[0] + halves[1])[:width]


def by_the_equation(attention: Attention, x: torch.Tensor, heads: int) -> torch.Tensor:
    """Attention of one row `[T, D]`, score by score: terms (a) to (d) of Dai et al. 2019, section 3.3."""
    length, width = x.shape
    size = attention.head_width
    relative = attention.relative
    mixed = torch.zeros(length, heads * size)
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        w_q, w_k, w_v = (m.weight[part] for m in (attention.query, attention.key, attention.value))
        w_r, u, v = relative.key.weight[part], relative.content_bias[part], relative.distance_bias[part]
        for i in range(length):
            scores = []
            for j in range(i + 1):
                r = sinusoid(i - j, width)
                content = (w_q @ x[i]) @ (w_k @ x[j])
                distance = (w_q @ x[i]) @ (w_r @ r)
                scores.append(content + distance + u @ (w_k @ x[j]) + v @ (w_r @ r))
            shares = (torch.stack(scores) / math.sqrt(size)).softmax(0)
            mixed[i, part] = sum(share * (w_v @ x[j]) for j, share in enumerate(shares))
    return mixed @ attention.out.weight.T


@settings(max_examples=8)
@given(
    heads=st.sampled_from([1, 2, 3]),
    head_width=st.sampled_from([4, 7]),
    width=st.sampled_from([8, 15]),
    length=st.integers(1, 9),
    seed=st.integers(0, 99),
)
@torch.no_grad()
def test_relative_positions_are_those_of_transformer_xl(heads, head_width, width, length, seed) -> None:
    model = model_of("chinchilla", seed, layers=2, width=width, heads=heads, head_width=head_width)
    ids = torch.randint(1, VOCABULARY, (1, length), generator=torch.Generator().manual_seed(seed))
    seen = []
    for block in model.decoder.blocks:
        block.attention.register_forward_hook(
            lambda attention, arguments, output: seen.append((attention, arguments[0][0], output[0]))
        )
    model(ids)
    assert len(seen) == 2
    for attention, x, output in seen:
        assert_close(output, by_the_equation(attention, x, heads), "attention")


def test_reading_in_pieces_padded_and_packed() -> None:
    assert_reading_changes_nothing(model_of("chinchilla"))


def test_every_weight_moves_the_loss() -> None:
    model = model_of("chinchilla")
    every_weight_has_a_name(model)
    model.logits(model(torch.arange(1, 31)[None])).logsumexp(-1).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize("head", ["causal", "features", "classification", "tagging", "spans"])
def test_folder(head, tokenizer, tmp_path) -> None:
    model = model_of("chinchilla", vocab_size=600, heads=2, head_width=7, tied=head != "tagging")
    assert_folder(tmp_path / "m", model, tokenizer, head)
    assert "library_name: headstart" in (tmp_path / "m" / "README.md").read_text()


def test_a_folder_whose_stamp_is_damaged_is_refused(tokenizer, tmp_path) -> None:
    model = model_of("chinchilla", vocab_size=600)
    save_model(tmp_path / "m", model, tokenizer, "causal", "card")
    config = tmp_path / "m" / "config.json"
    fields = json.loads(config.read_text())
    for stamp, words in (({"family": "chinchilla", "head": "oracle"}, "knows causal"), ({}, "nameless")):
        config.write_text(json.dumps(fields | {"headstart": stamp}))
        with pytest.raises(HeadstartError, match=words):
            load_model(tmp_path / "m")


def test_an_encoder_has_no_such_positions() -> None:
    sizes = {"vocab_size": 97, "layers": 1, "width": 8, "heads": 1, "feedforward_width": 8}
    with pytest.raises(HeadstartError, match="a decoder's alone"):
        make_config("chinchilla", sizes | {"architecture": "encoder"})


@torch.no_grad()
def test_the_first_loss_is_that_of_guessing() -> None:
    model = build(model_of("chinchilla", width=64, heads=4, feedforward_width=256).config, 0)
    row = torch.randint(0, VOCABULARY, (8, 40), generator=torch.Generator().manual_seed(0))
    loss = torch.nn.functional.cross_entropy(
        model.logits(model(row)).flatten(0, 1), row.roll(-1, 1).flatten()
    )
    assert float(loss) == pytest.approx(math.log(VOCABULARY), rel=0.03)
