"""Looking into a model: what is seen is what was computed, in every family and in several threads at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from headstart.errors import HeadstartError
from headstart.models.observe import Observation, observe
from headstart.models.registry import FAMILIES
from headstart.models.transformer import Transformer

WANT = ("attention", "states", "norms", "gates", "lens")


def texts(model: Transformer, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor | None]:
    drawn = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 600, (1, 12), generator=drawn)
    source = torch.randint(5, 600, (1, 9), generator=drawn)
    return ids, source if model.config.architecture == "encoder-decoder" else None


def look(model: Transformer, seed: int = 0) -> Observation:
    ids, source = texts(model, seed)
    return observe(model, ids, source, WANT)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_is_seen_is_what_is_computed(family: str, tiny) -> None:
    model = tiny(family, feedforward_width=128).eval()
    ids, source = texts(model)
    with torch.no_grad():
        plain = model(ids, encoder_states=None if source is None else model.encode(source))
    seen = look(model)
    assert torch.equal(seen.hidden, plain)
    stack = model.decoder or model.encoder
    name = "encoder" if model.decoder is None else "decoder"
    assert {f"{name}.{n}.self" for n in range(len(stack.blocks))} <= set(seen.attention)
    assert (f"{name}.0.cross" in seen.attention) == (source is not None)
    for key, weights in seen.attention.items():
        assert torch.allclose(weights.sum(-1), torch.ones(()), atol=1e-5), key
        if model.decoder is not None and key.startswith("decoder") and key.endswith("self"):
            assert float(weights.triu(1).max()) == 0, "the future is not looked at"
    last = seen.states[f"{name}.{len(stack.blocks) - 1}"]
    assert torch.equal(stack.final_norm(last), plain)
    assert torch.equal(seen.lens[f"{name}.{len(stack.blocks) - 1}"][:, -1], model.logits(plain[:, -1]))
    assert set(seen.gates) == (
        {f"{name}.{n}" for n in range(len(stack.blocks))} if model.config.gated else set()
    )
    assert torch.allclose(seen.norms[f"{name}.embedding"], seen.states[f"{name}.embedding"].norm(dim=-1))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_row_comes_about_step_by_step(family: str, tiny) -> None:
    """A row worked out by hand is the row of the map, and its values make what the head hands on."""
    shared = {"kv_heads": 2} if family in ("llama", "qwen3") else {}
    model = tiny(family, feedforward_width=128, **shared).eval()
    seen = look(model)
    for name, weights in seen.attention.items():
        for head in (0, 3):
            row = seen.row(name, head, 7)
            assert torch.allclose(row.weights, weights[0, head, 7], atol=1e-5), name
            assert torch.allclose(row.mixed, weights[0, head, 7] @ row.values, atol=1e-5)
            assert float(row.weights[~row.visible].sum()) == 0


def test_threads_do_not_see_each_other(tiny) -> None:
    """Twenty looks from four threads at two models give what each gives alone."""
    models = [tiny("headstart-decoder", seed=seed).eval() for seed in (0, 1)]
    alone = {(which, seed): look(models[which], seed) for which in (0, 1) for seed in range(5)}
    jobs = [(which, seed) for seed in range(5) for which in (0, 1)] * 2
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda job: look(models[job[0]], job[1]), jobs))
    for job, seen in zip(jobs, found, strict=True):
        assert torch.equal(seen.hidden, alone[job].hidden)
        for name, weights in alone[job].attention.items():
            assert torch.equal(seen.attention[name], weights)


def test_a_model_in_training_goes_on_training(tiny) -> None:
    model = tiny("gpt2", dropout=0.5).train()
    first, second = look(model), look(model)
    assert model.training
    assert torch.equal(first.hidden, second.hidden), "what is looked at has no dropout"


def test_what_is_not_there_is_said(tiny) -> None:
    model = tiny("headstart-decoder")
    with pytest.raises(HeadstartError, match="nothing called dreams can be observed"):
        observe(model, torch.zeros(1, 2, dtype=torch.long), want=("dreams",))  # type: ignore[arg-type]
    seen = look(model)
    with pytest.raises(HeadstartError, match=r"no attention 'decoder\.9\.self'"):
        seen.row("decoder.9.self", 0, 0)
    with pytest.raises(HeadstartError, match="there is no head 4 with place 0"):
        seen.row("decoder.0.self", 4, 0)
