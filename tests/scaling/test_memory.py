"""The inventory of memory is what autograd really keeps, and sharding divides what it should."""

from dataclasses import replace

import pytest
import torch

from headstart.models.config import TransformerConfig
from headstart.models.parameters import cache_bytes, parameters
from headstart.models.registry import FAMILIES, make_config
from headstart.models.transformer import build
from headstart.objectives.cross_entropy import cross_entropy_sum
from headstart.scaling.memory import Layout, generation_memory, training_memory

SIZES = {"vocab_size": 128, "layers": 2, "width": 64, "heads": 4, "feedforward_width": 256, "context": 640}
LLAMA_70B = make_config(
    "llama",
    {"vocab_size": 128_256, "layers": 80, "width": 8192, "heads": 64, "kv_heads": 8, "context": 8192,
     "feedforward_width": 28_672},
)  # fmt: skip


def kept_by_autograd(config: TransformerConfig, rows: int, row: int, dtype: torch.dtype) -> int:
    """Bytes of all tensors that a forward pass saves for the backward pass, weights apart."""
    model = build(config, 0, dtype).train()
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    saved: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = tensor
        return tensor

    ids = torch.randint(0, config.vocab_size, (rows, row))
    segments = (torch.arange(row) * 3 // row).expand(rows, row)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        memory = model.encode(ids, segments) if config.encoder_layers else None
        hidden = model(
            ids, segments, encoder_states=memory, encoder_segments=None if memory is None else segments
        )
    assert hidden.requires_grad
    return sum(tensor.untyped_storage().nbytes() for tensor in saved.values())


@pytest.mark.parametrize("row", [48, 520])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_activations_are_those_that_autograd_keeps(family: str, precision: str, row: int) -> None:
    config = make_config(family, SIZES)
    rows = 96 // min(row, 96)
    parts = training_memory(
        config, rows, row, precision=precision, target_share=0, source=row, device="cpu", documents=True
    ).parts
    output = 2 * config.vocab_size * config.width if precision == "bfloat16" else 0
    expected = parts["activations"] + parts.get("casts of weights", 0.0) - output
    assert expected == pytest.approx(kept_by_autograd(config, rows, row, getattr(torch, precision)), rel=0.1)


@pytest.mark.parametrize("row", [48, 520])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("family", ["gemma2", "gemma3", "olmo2", "qwen3"])
def test_norms_and_caps_of_wide_heads_that_share_keys(
    family: str, dropout: float, precision: str, row: int
) -> None:
    shape = {"kv_heads": 2} | ({} if family == "olmo2" else {"head_width": 32})
    config = replace(make_config(family, SIZES | shape), dropout=dropout)
    rows = 96 // min(row, 96)
    parts = training_memory(
        config, rows, row, precision=precision, target_share=0, device="cpu", documents=True
    ).parts
    output = 2 * config.vocab_size * config.width if precision == "bfloat16" else 0
    expected = parts["activations"] + parts.get("casts of weights", 0.0) - output
    kept = kept_by_autograd(config, rows, row, getattr(torch, precision))
    assert expected == pytest.approx(kept, rel=0.03)


@pytest.mark.parametrize("row", [48, 520])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_disentangled_positions_of_wide_heads(dropout: float, precision: str, row: int) -> None:
    config = replace(make_config("deberta-v3", SIZES | {"width": 128, "heads": 2}), dropout=dropout)
    rows = 96 // min(row, 96)
    parts = training_memory(
        config, rows, row, precision=precision, target_share=0, device="cpu", documents=True
    ).parts
    output = 2 * config.vocab_size * config.width if precision == "bfloat16" else 0
    expected = parts["activations"] + parts.get("casts of weights", 0.0) - output
    kept = kept_by_autograd(config, rows, row, getattr(torch, precision))
    assert expected == pytest.approx(kept, rel=0.06)


def test_a_cap_of_the_output_keeps_what_its_tanh_gives() -> None:
    hidden, weight = torch.randn(24, 64), torch.randn(128, 64, requires_grad=True)
    config = make_config("gemma3", SIZES)
    kept, counted = [], []
    for cap in (0.0, 30.0):
        saved: dict[int, torch.Tensor] = {}  # holds the tensors, so that no address is given twice

        def keep(tensor: torch.Tensor, saved: dict[int, torch.Tensor] = saved) -> torch.Tensor:
            saved[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            cross_entropy_sum(hidden, weight, None, torch.zeros(24, dtype=torch.long), cap=cap)
        kept.append(sum(tensor.untyped_storage().nbytes() for tensor in saved.values()))
        capped = replace(config, output_cap=cap)
        counted.append(training_memory(capped, 1, 24, precision="float32", device="cpu").parts["logits"])
    assert counted[1] - counted[0] == pytest.approx(kept[1] - kept[0], rel=0.01)
    # In chunks, on a CPU, the slope of the cap stands beside the scores.
    large = replace(config, vocab_size=2**20)
    plain, capped_chunks = (
        training_memory(replace(large, output_cap=cap), 1, 64, precision="float32", device="cpu").parts
        for cap in (0.0, 30.0)
    )
    assert capped_chunks["logits"] > 3 * plain["logits"]


def test_the_table_of_the_70b_model() -> None:
    """280 + 280 + 560 GB in float32; mixed precision saves on weights and gradients, and pays for a master
    copy of the weights, so that it comes to the same 16 bytes a parameter."""
    plain = training_memory(LLAMA_70B, 1, 8192, precision="float32").parts
    mixed = training_memory(LLAMA_70B, 1, 8192, precision="mixed").parts
    billion = 1e9 * parameters(LLAMA_70B) / 70e9
    assert [round(plain[part] / billion) for part in ("weights", "gradients", "optimiser")] == [280, 280, 560]
    assert [
        round(mixed[part] / billion) for part in ("weights", "gradients", "optimiser", "master copies")
    ] == [140, 140, 560, 280]
    assert "master copies" not in plain
    # One row of 8,192 tokens, nothing recomputed: the lower end of the table's 200 to 500 GB.
    assert 200e9 < mixed["activations"] < 300e9


def test_checkpointing_trades_memory_for_time() -> None:
    sizes = [
        training_memory(
            make_config("gpt2", SIZES),
            8,
            512,
            precision="bfloat16",
            device="cpu",
            checkpointing=checkpointing,
        ).parts["activations"]
        for checkpointing in ("none", "selective", "full")
    ]
    assert sizes[0] > sizes[1] > sizes[2]
    # Full: a stream's state a block, and one block's worth at a time.
    full = training_memory(LLAMA_70B, 1, 8192, precision="mixed", checkpointing="full").parts["activations"]
    assert full == pytest.approx(80 * 8192 * 8192 * 2, rel=0.35)


def test_sharding_divides_what_it_should() -> None:
    whole = training_memory(LLAMA_70B, 1, 8192, Layout(data=1), "mixed").parts
    for stage, divided in enumerate(
        [(), ("optimiser", "master copies"), ("optimiser", "master copies", "gradients"),
         ("optimiser", "master copies", "gradients", "weights")]
    ):  # fmt: skip
        parts = training_memory(LLAMA_70B, 1, 8192, Layout(data=64, shard=stage), "mixed").parts
        for part in ("weights", "gradients", "master copies", "optimiser"):
            assert parts[part] == pytest.approx(whole[part] / (64 if part in divided else 1))
        assert parts["activations"] == whole["activations"]
    tensor = training_memory(LLAMA_70B, 1, 8192, Layout(tensor=8), "mixed").parts
    assert all(tensor[part] == pytest.approx(whole[part] / 8) for part in whole)
    context = training_memory(LLAMA_70B, 1, 8192, Layout(context=4), "mixed").parts
    assert context["activations"] == pytest.approx(whole["activations"] / 4)
    assert context["weights"] == whole["weights"]
    pipeline = training_memory(LLAMA_70B, 1, 8192, Layout(pipeline=4), "mixed").parts
    assert pipeline["activations"] == whole["activations"]  # four micro-batches in flight, a quarter each
    blocks = parameters(LLAMA_70B) - 2 * 128_256 * 8192
    assert pipeline["weights"] == pytest.approx(2 * (blocks / 4 + 128_256 * 8192), rel=1e-3)


def test_the_peak_lies_between_what_lasts_and_the_sum() -> None:
    config = make_config("headstart-encoder", SIZES)
    memory = training_memory(config, 4, 128, precision="float32", device="cpu")
    lasting = memory.parts["weights"] + memory.parts["optimiser"]
    assert lasting < memory.peak <= memory.total
    tiny_batch = training_memory(config, 1, 8, precision="float32", device="cpu")
    assert tiny_batch.peak >= lasting + tiny_batch.parts["gradients"]


def test_muon_keeps_half_of_what_adamw_keeps_for_blocks() -> None:
    config = make_config("headstart-decoder", SIZES)
    muon, adamw = (
        training_memory(config, 1, 8, optimiser=kind).parts["optimiser"] for kind in ("muon", "adamw")
    )
    assert adamw == 8 * parameters(config)
    assert 0.5 * adamw < muon < adamw


def test_generation_is_weights_and_cache() -> None:
    cache = cache_bytes(LLAMA_70B, 131_072)
    memory = generation_memory(LLAMA_70B, cache)
    assert memory.parts["weights"] == 2 * parameters(LLAMA_70B)
    assert memory.parts["cache"] == cache
    halves = generation_memory(LLAMA_70B, cache, layout=Layout(tensor=2))
    assert halves.total == pytest.approx(memory.total / 2)
